"""Python's operations on whole columns: each proven against Python, or it refuses."""

from penstock.vectorize.kernels.base import (
    TYPES,
    Column,
    Kernel,
    Refused,
    arrow_of,
    call,
    numbers_of,
    options_of,
    scalar_of,
)
from penstock.vectorize.kernels.table import all_kernels, find

__all__ = [
    "TYPES",
    "Column",
    "Kernel",
    "Refused",
    "all_kernels",
    "arrow_of",
    "call",
    "find",
    "numbers_of",
    "options_of",
    "scalar_of",
]

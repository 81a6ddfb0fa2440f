"""Python's operations on whole columns: each proven against Python, or it refuses."""

from penstock.vectorize.kernels import numbers, spellings, texts, times
from penstock.vectorize.kernels.base import (
    KERNELS,
    TYPES,
    Column,
    Kernel,
    Refused,
    arrow_of,
    call,
    find,
    numbers_of,
    scalar_of,
)

__all__ = [
    "KERNELS",
    "TYPES",
    "Column",
    "Kernel",
    "Refused",
    "arrow_of",
    "call",
    "find",
    "numbers",
    "numbers_of",
    "scalar_of",
    "spellings",
    "texts",
    "times",
]

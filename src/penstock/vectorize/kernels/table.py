"""The table of all kernels, filled when somebody first looks for one.

Programs whose steps all run on rows never do, and neither load the kernels nor Arrow's compute functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from penstock.vectorize.kernels.base import KERNELS, Kernel

__all__ = ["all_kernels", "find"]


@cache
def all_kernels() -> dict[tuple[str, tuple[type, ...]], Kernel]:
    """All kernels, by name and operands' classes."""
    from penstock.vectorize.kernels import numbers, spellings, texts, times  # noqa: F401  they enter theirs

    return KERNELS


def find(name: str, kinds: Sequence[type]) -> Kernel | None:
    """The kernel of that name for operands of these classes."""
    return all_kernels().get((name, tuple(kinds)))

"""The values of one key, as ``groupByKey`` and ``cogroup`` give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["ResultIterable"]


class ResultIterable:
    """An iterable with a length, as in PySpark; here it also shows and compares what it holds.

    >>> ResultIterable([1, 2])
    ResultIterable([1, 2])
    >>> list(ResultIterable([1, 2])), len(ResultIterable([1, 2]))
    ([1, 2], 2)
    """

    __slots__ = ("data",)

    def __init__(self, data: list[Any]) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if isinstance(other, ResultIterable) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ResultIterable({self.data!r})"

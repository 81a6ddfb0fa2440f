"""What counts as a pair, and what is said about what does not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, NoReturn

from penstock.chunk import Chunk, Rows, distinct_nans
from penstock.errors import CallSite, KeyTypeError, NotAPairError, locate, shown
from penstock.plan import ChunkStep, raise_located
from penstock.vectorize import Chain, Untraced, halves_of, trace

__all__ = ["PairStep", "checked_pairs", "keys_of", "raise_for_key", "record_of", "with_distinct_nans"]

key_of = itemgetter(0)


def checked_pairs(chunk: Chunk, site: CallSite) -> Iterator[list[Any]]:
    """The chunk's records if all are pairs; else those before the first that is not, then an error.

    A pair is a tuple or a list of two. (A string of two characters can be unpacked too, but nobody
    means that.)
    """
    rows = chunk.rows()
    if not rows:
        return
    bad = _first_non_pair(rows)
    if bad is None:
        yield rows
        return
    if bad:
        yield rows[:bad]
    error = NotAPairError(
        f"{site} needs pairs (key, value), but met {shown(rows[bad])}, "
        f"{_article(type(rows[bad]).__name__)}. Hint: make pairs first, such as "
        f"map(lambda record: (key, record)) or keyBy(...)."
    )
    raise locate(error, site=site, record=shown(rows[bad]))


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _first_non_pair(rows: list[Any]) -> int | None:
    if set(map(type, rows)) == {tuple} and set(map(len, rows)) == {2}:
        return None
    for index, row in enumerate(rows):
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            return index
    return None


def keys_of(pairs: list[Any]) -> list[Any]:
    """The keys, such that a ``dict`` keeps each NaN alone."""
    return distinct_nans(list(map(key_of, pairs)))


def with_distinct_nans(pairs: list[Any]) -> Iterable[tuple[Any, Any]]:
    """The pairs, such that a ``dict`` of their keys keeps each NaN alone; mostly the list itself."""
    keys = list(map(key_of, pairs))
    apart = distinct_nans(keys)
    return pairs if apart is keys else zip(apart, (pair[1] for pair in pairs), strict=True)


_RECORD_AT = {
    "countByValue": 0, "distinct": 0, "intersection": 0, "subtract": 0, "groupBy": 1, "sortBy": 1,
}  # fmt: skip
"""Operations that make pairs by themselves, and which half of a pair is the user's record."""


def record_of(pair: Any, site: CallSite) -> Any:
    """The record that a user knows: the pair, unless an operation made it of one."""
    half = _RECORD_AT.get(site.operation)
    return pair if half is None else pair[half]


def raise_for_key(error: Exception, pair: Any, site: CallSite) -> NoReturn:
    """Raise ``error``, or a clearer one if what is wrong is that the key has no hash."""
    try:
        hash(pair[0])
    except TypeError:
        problem = KeyTypeError(
            f"{site} cannot use {shown(pair[0], 80)} as a key: {_article(type(pair[0]).__name__)} "
            f"has no hash. Hint: use a tuple, a string or a number."
        )
        raise locate(problem, site=site, record=shown(record_of(pair, site))) from None
    raise_located(error, site, record_of(pair, site))


class PairStep(ChunkStep):
    """A step on pairs one by one. Subclasses say what becomes of each."""

    __slots__ = ("name", "site")

    def __init__(self, site: CallSite) -> None:
        self.site = site
        self.name = site.operation

    @abstractmethod
    def on_pairs(self) -> Callable[[Any], Any]:
        """The step as a function of one pair, to be traced."""

    def in_columns(self, chain: Chain) -> Chain | Untraced:
        if halves_of(chain.row_type) is None:
            return Untraced(f"{chain.row_type} is no pair")
        traced = trace(self.on_pairs(), chain.row_type)
        return traced if isinstance(traced, Untraced) else chain.mapped(traced)

    def apply(self, rows: list[Any], out: list[Any]) -> None:
        for pairs in checked_pairs(Rows(rows), self.site):
            self.apply_to_pairs(pairs, out)

    @abstractmethod
    def apply_to_pairs(self, pairs: list[Any], out: list[Any]) -> None:
        """As ``apply``, on records that are known to be pairs."""

"""Which partition a key lives in, and the router that brings records there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.chunk import Chunk, Columns, Grouped, Rows, RowType, Scalar, portable_hash
from penstock.chunk import leaves as leaf
from penstock.errors import ArgumentError, CallSite, SignatureError, shown
from penstock.plan import Form, Router, Task, raise_located, row_type_of
from penstock.rdd.pair import checked_pairs, raise_for_key
from penstock.vectorize import Untraced, codes_of_keys, halves_of

__all__ = ["KeyRouter", "Partitioner", "Partitioning", "RoundRobin", "partitioner_of"]


class Partitioner:
    """``numPartitions`` partitions; a key goes to ``partitionFunc(key) % numPartitions``.

    Two partitioners are equal when both parts are: data that lies by one of them need not move for
    the other. May be given wherever a number of partitions may.

    >>> by_parity = Partitioner(2, lambda number: number)
    >>> by_parity(7)
    1
    """

    __slots__ = ("numPartitions", "partitionFunc")

    def __init__(self, numPartitions: int, partitionFunc: Callable[[Any], int] = portable_hash) -> None:
        self.numPartitions = partition_count(numPartitions, "numPartitions")
        if not callable(partitionFunc):
            raise SignatureError(f"partitionFunc must be a function, not {shown(partitionFunc, 60)}")
        self.partitionFunc = partitionFunc

    def __call__(self, key: Any) -> int:
        return index(self.partitionFunc(key)) % self.numPartitions

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partitioner):
            return NotImplemented
        return self.numPartitions == other.numPartitions and self.partitionFunc == other.partitionFunc

    def __hash__(self) -> int:
        return hash((self.numPartitions, self.partitionFunc))

    def __repr__(self) -> str:
        function = self.partitionFunc
        how = "" if function is portable_hash else f", {getattr(function, '__qualname__', function)}"
        return f"Partitioner({self.numPartitions}{how})"


_HASH_MODULUS = 2**61 - 1

Partitioning = int | Partitioner | None
"""What users may give where a partition count goes."""


def partition_count(count: object, what: str) -> int:
    """A number of partitions that a user gave: an int of at least 1."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise SignatureError(f"{what} must be an int, not {shown(count, 60)}")
    if count < 1:
        raise ArgumentError(f"{what} must be at least 1, not {count}")
    return count


def partitioner_of(
    given: Partitioning, default: Callable[[], int], function: Callable[[Any], int] = portable_hash
) -> Partitioner:
    """The partitioner a user means by a number, by a partitioner, or by nothing."""
    if isinstance(given, Partitioner):
        return given
    if given is not None and not isinstance(given, int):
        raise SignatureError(f"numPartitions must be an int or a Partitioner, not {shown(given, 60)}")
    return Partitioner(default() if given is None else partition_count(given, "numPartitions"), function)


class KeyRouter(Router):
    """Pairs go where the partitioner says."""

    __slots__ = ("name", "partitioner", "site")

    def __init__(self, partitioner: Partitioner, site: CallSite) -> None:
        self.partitioner = partitioner
        self.site = site
        self.name = f"by key to {partitioner!r}"

    def split(self, task: Task, chunks: Iterator[Chunk], targets: int) -> list[list[Chunk]]:
        out: list[list[Chunk]] = [[] for _ in range(targets)]
        known: dict[Any, int] = {}
        for chunk in chunks:
            if isinstance(chunk, (Columns, Grouped)) and self._split_columns(chunk, out):
                continue
            for pairs in checked_pairs(chunk, self.site):
                if targets == 1:
                    out[0].append(Rows(pairs))
                    continue
                buckets: list[list[Any]] = [[] for _ in range(targets)]
                if self.partitioner.partitionFunc is portable_hash:
                    self._split_by_hash(pairs, buckets, known)
                else:
                    self._split_by_function(pairs, buckets)
                for target, bucket in enumerate(buckets):
                    if bucket:
                        out[target].append(Rows(bucket))
        return out

    def form(self, form: Form) -> Form:
        """Pairs stay what they are, wherever they go; see :mod:`penstock.plan.forms`."""
        if isinstance(form, RowType) and halves_of(form) is None:
            return Untraced(f"{form} is no pair")
        if self.partitioner.numPartitions > 1 and self.partitioner.partitionFunc is not portable_hash:
            return Untraced("a partition function of its own is called for each key")
        return form

    def _split_columns(self, chunk: Columns | Grouped, out: list[list[Chunk]]) -> bool:
        """Whether a chunk of pairs in columns was split: its different keys are hashed, and its rows
        taken."""
        if isinstance(chunk, Columns) and halves_of(chunk.row_type) is None:
            return False
        if len(out) == 1:
            out[0].append(chunk)
            return True
        if self.partitioner.partitionFunc is not portable_hash:
            return False
        if isinstance(chunk, Grouped):
            places = _targets_of(chunk.keys.rows(), len(out))
        else:
            if row_type_of(chunk) is None:
                return False
            if chunk.row_type.parts[0] == Scalar(int):
                places = _hashes_of_ints(leaf.numpy_of(int, chunk.leaves[0])) % len(out)
            else:
                codes = codes_of_keys(chunk)
                if codes is None:
                    return False
                places = _targets_of(codes[0], len(out))[codes[1]]
        for target in range(len(out)):
            rows = np.flatnonzero(places == target)
            if len(rows):
                out[target].append(chunk.take(rows))
        return True

    def _split_by_hash(self, pairs: list[Any], buckets: list[list[Any]], known: dict[Any, int]) -> None:
        pair: Any = None
        targets = len(buckets)
        try:
            for pair in pairs:
                key = pair[0]
                target = known.get(key)
                if target is None:
                    target = known[key] = portable_hash(key) % targets
                buckets[target].append(pair)
        except Exception as error:
            raise_for_key(error, pair, self.site)

    def _split_by_function(self, pairs: list[Any], buckets: list[list[Any]]) -> None:
        pair: Any = None
        function, targets = self.partitioner.partitionFunc, len(buckets)
        try:
            for pair in pairs:
                buckets[index(function(pair[0])) % targets].append(pair)
        except Exception as error:
            raise_located(error, self.site, pair)


def _hashes_of_ints(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """``hash`` of each: the remainder by a prime, with the sign of the int, and never -1."""
    sizes = np.where(values < 0, np.uint64(0) - values.view(np.uint64), values.view(np.uint64))
    hashes = (sizes % np.uint64(_HASH_MODULUS)).view(np.int64)
    hashes = np.where(values < 0, -hashes, hashes)
    hashes[hashes == -1] = -2
    return hashes


def _targets_of(keys: list[Any], targets: int) -> npt.NDArray[np.int64]:
    return np.fromiter((portable_hash(key) % targets for key in keys), np.int64, len(keys))


class RoundRobin(Router):
    """Records in turn to each target, beginning with the one that has the source partition's number."""

    name = "round robin"

    def form(self, form: Form) -> Form:
        """Records stay what they are, wherever they go."""
        return form

    def split(self, task: Task, chunks: Iterator[Chunk], targets: int) -> list[list[Chunk]]:
        if targets == 1:
            return [list(chunks)]
        out: list[list[Chunk]] = [[] for _ in range(targets)]
        following = task.partition
        for chunk in chunks:
            in_columns = isinstance(chunk, Columns) and row_type_of(chunk) is not None
            rows: list[Any] = [] if in_columns else chunk.rows()
            for offset in range(min(targets, len(chunk))):
                part: Chunk
                if in_columns:
                    assert isinstance(chunk, Columns)
                    part = chunk.take(np.arange(offset, len(chunk), targets))
                else:
                    part = Rows(rows[offset::targets])
                out[(following + offset) % targets].append(part)
            following += len(chunk)
        return out

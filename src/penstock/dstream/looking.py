"""Looking at state from outside, while batches run: what was committed last, by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from penstock.chunk import Chunk, Columns, Rows, isolated, rows_of
from penstock.dstream.node import StreamNode, Table
from penstock.errors import ArgumentError, KeyTypeError, SignatureError
from penstock.state import NONE_EQUAL, UNKNOWN, counterpart, key_kinds_of
from penstock.vectorize import halves_of

__all__ = ["HeldPairs", "StateView", "Tables"]

_ABSENT: Any = object()


class HeldPairs:
    """Keys with their states as they lie in chunks, each key once: a :class:`Table`."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks

    def __len__(self) -> int:
        return sum(map(len, self._chunks))

    def get(self, key: Any, absent: Any) -> Any:
        """Looks at every key: in columns many at once, without the interpreter."""
        hash(key)
        for chunk in self._chunks:
            pairs = _candidates(chunk, key) if isinstance(chunk, Columns) else chunk.rows()
            for held, state in pairs:
                if held is key or held == key:
                    return state
        return absent

    def first(self, count: int) -> Rows:
        """The first so many, or all."""
        return Rows(list(islice(_pairs_of(self._chunks, count), count)))


def _pairs_of(chunks: Sequence[Chunk], count: int) -> Iterator[Any]:
    for chunk in chunks:
        yield from chunk.slice(0, count).rows()


def _candidates(chunk: Columns, key: Any) -> list[Any]:
    """The pairs of a chunk whose keys may be equal to this one."""
    halves = halves_of(chunk.row_type)
    if halves is None or key_kinds_of(halves[0]) is None:
        return chunk.rows()
    equal = counterpart(key, halves[0])
    if equal is NONE_EQUAL:
        return []
    if equal is UNKNOWN:
        return chunk.rows()
    wanted = Columns.from_rows([equal], halves[0])
    alike = np.ones(len(chunk), bool)
    for leaf, value in zip(chunk.leaves, wanted.leaves, strict=False):  # the keys' leaves come first
        alike &= _same(leaf, value)
    return chunk.take(np.flatnonzero(alike)).rows()


def _same(leaf: pa.Array, value: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    import pyarrow.compute as pc  # slow to import, and seldom needed

    return np.asarray(pc.equal(leaf, value[0]).to_numpy(zero_copy_only=False), bool)


class Tables(Protocol):
    """Where the newest committed versions are."""

    def tables(self, node: StreamNode) -> tuple[int, list[Table]] | None:
        """Those of a node, partition by partition, and of when they are."""


class StateView:
    """The state of one operator as the last complete batch left it, by key; of ``ssc.state(name)``.

    May be used on any thread while batches run. Each call looks at the newest committed version as a whole:
    never at a batch that is running, or that has failed. What it gives is a copy.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     sc.setCheckpointDir(directory)
    ...     ssc = StreamingContext(sc, 1)
    ...     words = ssc.queueStream([[("a", 1), ("b", 2)], [("a", 3)]])
    ...     sums = words.updateStateByKey(lambda values, state: sum(values) + (state or 0)).name("sums")
    ...     sums.foreachRDD(lambda rdd: None)
    ...     ssc.start(availableNow=True)
    ...     ssc.awaitTermination()
    ...     ssc.state("sums").get("a"), ssc.state("sums").count(), "c" in ssc.state("sums")
    (4, 2, False)
    """

    __slots__ = ("_node", "_tables", "name")

    def __init__(self, name: str, node: StreamNode, tables: Tables) -> None:
        self.name = name
        self._node = node
        self._tables = tables

    def __repr__(self) -> str:
        return f"<StateView {self.name} of {self._node.site}>"

    @property
    def time(self) -> int | None:
        """The batch time (ms since the epoch) of the version that is newest now; ``None`` before the first
        complete batch."""
        found = self._tables.tables(self._node)
        return None if found is None else found[0]

    def get(self, key: Any, default: Any = None) -> Any:
        """The state of a key, or ``default`` if it has none. ``KeyTypeError`` for what cannot be a key."""
        found = self._tables.tables(self._node)
        if found is None:
            return default
        _, parts = found
        state = self._part(parts, key).get(key, _ABSENT)
        return default if state is _ABSENT else isolated(state)

    def __contains__(self, key: Any) -> bool:
        return self.get(key, _ABSENT) is not _ABSENT

    def count(self) -> int:
        """How many keys have a state."""
        found = self._tables.tables(self._node)
        return 0 if found is None else sum(map(len, found[1]))

    def items(self, limit: int = 1000) -> list[tuple[Any, Any]]:
        """At most ``limit`` keys with their states, partition by partition in the order in which the keys
        appeared."""
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise SignatureError(f"items needs a number of keys, not {limit!r}")
        if limit < 0:
            raise ArgumentError(f"items needs a number of keys of at least 0, not {limit}")
        found = self._tables.tables(self._node)
        pairs: list[tuple[Any, Any]] = []
        for table in () if found is None else found[1]:
            if len(pairs) >= limit:
                break
            pairs += [isolated((key, state)) for key, state in rows_of([table.first(limit - len(pairs))])]
        return pairs

    def _part(self, parts: Sequence[Table], key: Any) -> Table:
        placing = self._node.placing
        assert placing is not None
        try:
            hash(key)
            return parts[placing(key)]
        except KeyTypeError:
            raise
        except Exception as error:
            raise KeyTypeError(
                f"{key!r} cannot be a key of {self.name}: {type(error).__name__}: {error}"
            ) from error

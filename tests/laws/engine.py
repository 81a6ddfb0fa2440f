"""The engine in all the shapes in which it must do the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from penstock import Conf, Context
from penstock.chunk import CHUNK_ROWS
from penstock.context import StreamingContext
from penstock.errors import failure_of, shown
from penstock.testing import (
    Batches,
    Graph,
    Partitions,
    Raised,
    as_rdd,
    as_stream,
    run_batches,
    same,
)
from penstock.testing.graphs import nodes_of

MASTERS = ("local[1]", "local[2]", "local[4]")
CHUNKS = (CHUNK_ROWS, 1, 2, 3)


@contextmanager
def engine(master: str, chunk_rows: int = CHUNK_ROWS) -> Iterator[Context]:
    """A context whose jobs really go to other threads, and whose chunks hold so few records."""
    limited = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("penstock.") and getattr(module, "CHUNK_ROWS", None) == CHUNK_ROWS
    ]
    conf = Conf().setMaster(master).setAppName("laws").set("penstock.local.inlineRows", 0)
    try:
        for module in limited:
            module.CHUNK_ROWS = chunk_rows  # type: ignore[attr-defined]
        with Context(conf=conf) as context:
            yield context
    finally:
        for module in limited:
            module.CHUNK_ROWS = CHUNK_ROWS  # type: ignore[attr-defined]
        active = StreamingContext.getActive()
        if active is not None:
            active.stop(stopSparkContext=False)


def rdd_outcome(graph: Graph, context: Context) -> Partitions | Raised:
    """The partitions of a graph of RDDs, or how it failed."""
    return outcome(lambda: as_rdd(graph, context).glom().collect())


def stream_outcome(graph: Graph, count: int, context: Context) -> list[Partitions | None] | Raised:
    """The partitions of a stream in each of the first ``count`` batches, or how it failed."""
    inputs = [node for node in nodes_of(graph) if isinstance(node, Batches)]

    def run() -> Any:
        return run_batches(
            tuple(node.batches for node in inputs),
            lambda *streams: as_stream(graph, dict(zip(inputs, streams, strict=True))).glom(),
            numPartitions=inputs[0].slices,
            batches=count,
            context=context,
        )

    return outcome(run)


def outcome(run: Callable[[], Any]) -> Any:
    """What it gives, or how it failed."""
    try:
        return run()
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        return Raised(error, failure.record)


def assert_same(got: Any, wanted: Any, what: object) -> None:
    """Equal in type and value, in depth, in order; or the same exception at the same record."""
    if isinstance(got, Raised) or isinstance(wanted, Raised):
        assert type(got) is type(wanted), f"{what}\n  engine:    {got!r}\n  reference: {wanted!r}"
        assert type(got.error) is type(wanted.error)
        assert got.record == shown(wanted.record), what
        return
    assert same(got, wanted), f"{what}\n  engine:    {got!r}\n  reference: {wanted!r}"

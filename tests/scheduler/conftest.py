"""A context, and drivers on threads of their own with a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import Context, StreamingContext
from penstock.clock import ManualClock


@pytest.fixture
def sc(tmp_path: Path) -> Iterator[Context]:
    with Context("local[2]", "tests") as context:
        context.setCheckpointDir(str(tmp_path / "checkpoints"))
        yield context


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ssc(sc: Context, clock: ManualClock) -> Iterator[StreamingContext]:
    """On a manual clock, without threads: a Stepper runs it."""
    made = StreamingContext(sc, 1, clock=clock)
    yield made
    made.stop(stopSparkContext=False)


@pytest.fixture
def threaded(sc: Context, clock: ManualClock) -> Iterator[StreamingContext]:
    """On a manual clock, with the threads of a real run."""
    made = StreamingContext(sc, 1, clock=clock)
    made._threaded = True
    made._bus._threaded = True
    yield made
    made.stop(stopSparkContext=False)

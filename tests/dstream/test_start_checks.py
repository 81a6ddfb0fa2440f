"""Everything that is wrong with a program is told at its start, at once, with the way out."""

from __future__ import annotations

from operator import add, sub
from typing import Any

import pytest

from penstock import Conf, Context, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import ArgumentError, StateError


@pytest.fixture
def ssc(sc: Context) -> StreamingContext:
    sc._checkpoint_directory = None
    return StreamingContext(sc, 1, clock=ManualClock())


def test_all_problems_at_once(ssc: StreamingContext) -> None:
    pairs = ssc.queueStream([[("a", 1)]])
    pairs.updateStateByKey(lambda values, state: 1).checkpoint(0.5).pprint()
    pairs.reduceByKeyAndWindow(add, sub, 2).pprint()
    pairs.window(4, 2).checkpoint(3).pprint()
    pairs.saveAsTextFiles("p")
    pairs.saveAsTextFiles("p")
    with pytest.raises(ArgumentError) as caught:
        ssc.start()
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 problems:"
    words = ["updateStateByKey", "500 ms", "reduceByKeyAndWindow", "window", "saveAsTextFiles"]
    for line, word in zip(lines[1:], words, strict=True):
        assert word in line
        assert __file__ in line
        assert "Hint: " in line or "Please set it to" in line


def test_a_program_without_outputs(ssc: StreamingContext) -> None:
    ssc.queueStream([[1]]).map(abs)
    with pytest.raises(ArgumentError, match="No output operations registered, so nothing to execute"):
        ssc.start()


def test_streams_that_no_output_reads_are_not_checked(ssc: StreamingContext) -> None:
    pairs = ssc.queueStream([[("a", 1)]])
    pairs.updateStateByKey(lambda values, state: 1)
    pairs.pprint(0)
    ssc.start()
    ssc.stop(False)


def test_a_context_that_could_not_start_is_stopped(ssc: StreamingContext) -> None:
    with pytest.raises(ArgumentError):
        ssc.start()
    with pytest.raises(StateError, match="already been stopped"):
        ssc.start()
    with pytest.raises(StateError, match="after stopping a context"):
        ssc.queueStream([[1]])
    assert StreamingContext.getActive() is None
    assert ssc.awaitTerminationOrTimeout(0) is True


@pytest.mark.parametrize("name", ["no.such.module.Listener", "penstock.NoSuch", "penstock.Context", "plain"])
def test_listeners_that_cannot_be_made_are_among_the_problems(name: str) -> None:
    with Context(conf=Conf().set("spark.streaming.extraListeners", name)) as sc:
        ssc = StreamingContext(sc, 1, clock=ManualClock())
        with pytest.raises(ArgumentError) as caught:
            ssc.start()
        assert name in str(caught.value)
        assert "2 problems" in str(caught.value)


def test_a_stopped_context_cannot_run_batches(ssc: StreamingContext) -> None:
    ssc.queueStream([[1]]).pprint()
    ssc.sparkContext.stop()
    with pytest.raises(StateError, match="this Context has been stopped"):
        ssc.start()


@pytest.mark.parametrize(
    ("duration", "message"),
    [
        (0, "at least 1 ms"),
        (-1, "at least 1 ms"),
        (0.0001, "at least 1 ms"),
        (float("inf"), "at least 1 ms"),
        (1.00005, "whole number of milliseconds"),
    ],
)
def test_batch_durations_are_checked(sc: Context, duration: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=f"batchDuration must be .*{message}"):
        StreamingContext(sc, duration)


def test_a_batch_duration_must_be_given(sc: Context) -> None:
    with pytest.raises(TypeError, match="needs a batchDuration"):
        StreamingContext(sc)
    with pytest.raises(TypeError, match="needs a Context or a Conf, not str"):
        StreamingContext("local", 1)  # type: ignore[arg-type]

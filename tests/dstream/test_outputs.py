"""The output operations: what they print and write, in which order, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Context, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.dstream.outputs import batch_directory
from penstock.errors import ArgumentError, SignatureError, failure_of
from penstock.testing import CollectingSink, Stepper, run_batches

pytestmark = pytest.mark.usefixtures("sc")

LINE = "-" * 43


def header(ms: int) -> str:
    return f"{LINE}\nTime: {datetime.fromtimestamp(ms / 1000)}\n{LINE}\n"


class TestPprint:
    def test_the_text_is_pysparks(self, capsys: pytest.CaptureFixture[str]) -> None:
        batches = [[*range(10)], [*range(11)], [], [("a", 1), "text", None, 1.5]]
        run_batches(batches, lambda s: s.pprint())
        ten = "".join(f"{i}\n" for i in range(10))
        assert capsys.readouterr().out == (
            f"{header(1000)}{ten}\n"
            f"{header(2000)}{ten}...\n\n"
            f"{header(3000)}\n"
            f"{header(4000)}('a', 1)\ntext\nNone\n1.5\n\n"
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("num", "shown"), [(0, "...\n"), (2, "1\n2\n...\n"), (3, "1\n2\n3\n"), (99, "1\n2\n3\n")]
    )
    def test_as_many_as_asked_for(self, capsys: pytest.CaptureFixture[str], num: int, shown: str) -> None:
        run_batches([[1, 2, 3]], lambda s: s.pprint(num))
        assert capsys.readouterr().out == f"{header(1000)}{shown}\n"

    def test_microseconds_only_where_there_are_some(self, capsys: pytest.CaptureFixture[str]) -> None:
        run_batches([[], []], lambda s: s.pprint(), batchDuration=0.5)
        assert ".500000" in header(500)
        assert capsys.readouterr().out == f"{header(500)}\n{header(1000)}\n"

    def test_nothing_at_all_without_an_rdd(self, capsys: pytest.CaptureFixture[str]) -> None:
        run_batches([[1]], lambda s: s.transform(lambda rdd: None).pprint())
        assert capsys.readouterr().out == ""

    def test_a_record_whose_text_fails_prints_no_half_batch(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Shy:
            def __str__(self) -> str:
                raise ValueError("no text")

        with pytest.raises(ValueError, match="no text"):
            run_batches([[1, Shy()]], lambda s: s.pprint())
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("wrong", [-1, 1.5, True, None])
    def test_wrong_numbers(self, wrong: Any) -> None:
        with pytest.raises(SignatureError, match="at least 0"):
            run_batches([[1]], lambda s: s.pprint(wrong))


class TestSaveAsTextFiles:
    def test_a_directory_a_batch(self, tmp_path: Path) -> None:
        prefix = str(tmp_path / "out" / "orders")
        run_batches(
            [["a", ("b", 1)], [], [b"raw"]], lambda s: s.saveAsTextFiles(prefix, "txt"), numPartitions=2
        )
        folders = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert folders == ["orders-1000.txt", "orders-2000.txt", "orders-3000.txt"]
        first, second, third = (tmp_path / "out" / name for name in folders)
        assert (first / "part-00000").read_text() == "a\n"
        assert (first / "part-00001").read_text() == "('b', 1)\n"
        assert b"".join(p.read_bytes() for p in sorted(third.glob("part-*"))) == b"raw\n"
        for folder in (first, second, third):
            assert (folder / "_SUCCESS").exists()
        assert all(part.read_bytes() == b"" for part in second.glob("part-*"))

    @pytest.mark.parametrize(
        ("prefix", "suffix", "name"),
        [
            ("p", None, "p-1000"),
            ("p", "txt", "p-1000.txt"),
            ("p", "", "p-1000"),
            ("", None, "1000"),
            ("", "log", "1000.log"),
            ("a/b", "x", "a/b-1000.x"),
        ],
    )
    def test_names(self, prefix: str, suffix: str | None, name: str) -> None:
        assert batch_directory(prefix, suffix, 1000) == name

    def test_nothing_is_left_of_a_batch_that_fails(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError):
            run_batches(
                [[1, 0]], lambda s: s.map(lambda x: 1 // x).saveAsTextFiles(str(tmp_path / "out" / "p"))
            )
        assert not list((tmp_path / "out").glob("p-*"))

    def test_what_an_earlier_run_left_makes_way(self, tmp_path: Path) -> None:
        prefix = str(tmp_path / "p")
        for value in ("old", "new"):
            run_batches([[value]], lambda s: s.saveAsTextFiles(prefix), numPartitions=1)
        assert (tmp_path / "p-1000" / "part-00000").read_text() == "new\n"

    def test_without_an_rdd_nothing_is_written(self, tmp_path: Path) -> None:
        run_batches([[1]], lambda s: s.transform(lambda rdd: None).saveAsTextFiles(str(tmp_path / "p")))
        assert not list(tmp_path.glob("p-*"))

    def test_two_outputs_never_write_to_one_place(self, tmp_path: Path) -> None:
        prefix = str(tmp_path / "p")

        def build(stream: DStream) -> None:
            stream.saveAsTextFiles(prefix, "txt")
            stream.map(abs).saveAsTextFiles(prefix, "txt")
            stream.saveAsTextFiles(prefix, "log")

        with pytest.raises(ArgumentError) as caught:
            run_batches([[1]], build)
        assert str(caught.value).count("writes to") == 1
        assert "Hint: give each its own prefix or suffix" in str(caught.value)
        assert __file__ in str(caught.value)

    @pytest.mark.parametrize("other", ["{0}/./out/p", "{0}//out/../out/p", "file://{0}/out/p"])
    def test_one_place_has_many_spellings(self, tmp_path: Path, other: str) -> None:
        def build(stream: DStream) -> None:
            stream.saveAsTextFiles(f"{tmp_path}/out/p")
            stream.map(abs).saveAsJsonFiles(other.format(tmp_path))

        with pytest.raises(ArgumentError, match=r"writes to .*, and .* which may be the same"):
            run_batches([[1]], build)


def outputs(sc: Context, batches: list[Any], *actions: Callable[..., Any]) -> Exception | None:
    """Run one output for each action; what the first batch raised."""
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    stream = ssc.queueStream(batches)
    for action in actions:
        stream.foreachRDD(action)
    with Stepper(ssc, clock) as stepper:
        try:
            stepper.step()
        except Exception as error:
            return error
    return None


def test_outputs_run_in_the_order_in_which_they_were_registered(sc: Context) -> None:
    order: list[str] = []
    outputs(sc, [[1]], *(lambda rdd, name=name: order.append(name) for name in "cab"))
    assert order == ["c", "a", "b"]


def test_the_others_run_when_one_fails_and_the_first_error_counts(sc: Context) -> None:
    order: list[str] = []

    def fail(rdd: RDD, name: str = "first") -> None:
        order.append(name)
        raise ValueError(name)

    error = outputs(
        sc,
        [[1]],
        lambda rdd: order.append("a"),
        fail,
        lambda rdd: fail(rdd, "second"),
        lambda rdd: order.append("b"),
    )
    assert order == ["a", "first", "second", "b"]
    assert str(error) == "first"


def test_an_error_names_the_output_the_batch_and_the_line(sc: Context) -> None:
    def fail(rdd: RDD) -> None:
        raise ValueError("sink is full")

    error = outputs(sc, [[1]], fail)
    assert error is not None
    failure = failure_of(error)
    assert failure is not None
    assert failure.batch_time_ms == 1000
    assert failure.output is not None
    assert failure.output.startswith(f"foreachRDD ({__file__}:")
    assert any(note.startswith("in the batch 1000 ms of the output foreachRDD (") for note in error.__notes__)


def test_an_error_in_a_function_of_a_stream_names_where_the_stream_was_made(sc: Context) -> None:
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    stream = ssc.queueStream([[1, 2, 0]])
    inverse = stream.map(lambda x: 1 // x)
    inverse.foreachRDD(CollectingSink())
    with Stepper(ssc, clock) as stepper, pytest.raises(ZeroDivisionError) as caught:
        stepper.step()
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.site is not None
    assert (failure.site.operation, failure.site.file) == ("map", __file__)
    assert failure.record == "0"
    assert failure.batch_time_ms == 1000
    assert failure.output is not None
    assert failure.output.startswith("foreachRDD")


def test_an_error_in_what_an_output_does_with_the_rdd_names_the_line_in_the_output(sc: Context) -> None:
    def action(rdd: RDD) -> None:
        rdd.map(lambda x: x / 0).collect()

    error = outputs(sc, [[1]], action)
    assert error is not None
    failure = failure_of(error)
    assert failure is not None
    assert failure.site is not None
    assert failure.site.line == action.__code__.co_firstlineno + 1


def test_exit_in_an_output_fails_the_batch_and_nothing_else(sc: Context) -> None:
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    sink = CollectingSink()
    ssc.queueStream([[1], [2]]).foreachRDD(
        lambda time, rdd: sys.exit(1) if time.timestamp() == 1 else sink(time, rdd)
    )
    with Stepper(ssc, clock) as stepper:
        with pytest.raises(SystemExit):
            stepper.step()
        ssc.driver.error = None
        stepper.step()
    assert sink.batches == [[2]]

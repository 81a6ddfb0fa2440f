"""``penstock checkpoint ...``: what it says, and what it never changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock import Context, StreamingContext
from penstock.cli import main
from penstock.clock import ManualClock
from penstock.testing import Stepper

PROGRAM = """
from penstock import Conf, Context, StreamingContext
from penstock.clock import ManualClock


def setup(parts=2, name="totals", output=None):
    conf = Conf().setMaster("local[2]").set("penstock.streaming.onFailure", "skip")
    conf.set("penstock.streaming.retries", "0")
    ssc = StreamingContext(Context._active or Context(conf=conf), 1, clock=ManualClock())
    pairs = ssc.queueStream([[("a", 1)], [("a", 2)], [("b", 3)]])
    totals = pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0), parts).name(name)
    totals.foreachRDD(write)
    return ssc


def other():
    return setup(5, "figures")


def wrong():
    return 7


def write(time, rdd):
    from pathlib import Path

    place = Path(__file__).parent / "results"
    if not place.exists() and time.timestamp() == 2.0:
        raise OSError("there is no place for results")
    place.mkdir(exist_ok=True)
    (place / f"{time.timestamp():g}").write_text(str(sorted(rdd.collect())))
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    yield str(file)
    if Context._active is not None:
        Context._active.stop()


@pytest.fixture
def recorded(program: str, tmp_path: Path) -> str:
    """A checkpoint of three batches, of which the second was given up."""
    from penstock.cli.checkpoint import made_by

    directory = str(tmp_path / "checkpoint")
    clock = ManualClock()
    ssc = StreamingContext.getOrCreate(directory, lambda: made_by(f"{program}:setup"), upgrade=True)
    ssc._clock = clock
    results = tmp_path / "results"
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        (results / "1").unlink()
        results.rmdir()
        stepper.step()
        stepper.step()
    ssc.sparkContext.stop()
    return directory


def command(*arguments: str) -> Result:
    line = ["checkpoint", *arguments]
    return CliRunner().invoke(main, line, prog_name="penstock", catch_exceptions=False)


def files(directory: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(directory).rglob("*") if path.is_file()}


def test_show(recorded: str) -> None:
    before = files(recorded)
    result = command("show", recorded)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == f"Checkpoint {recorded}"
    assert lines[1] == "  3 batches of 1 s in 1 run"
    assert lines[2].endswith("(3000 ms)")
    assert any(line.startswith("  totals: updateStateByKey (") and "2 keys at most" in line for line in lines)
    assert "  queueStream-1: queue" in lines
    (lost,) = [line for line in lines if "(2000 ms)" in line]
    assert "foreachRDD (" in lost
    assert lost.endswith("OSError: there is no place for results; its records are kept")
    assert files(recorded) == before


def test_verify(recorded: str) -> None:
    result = command("verify", recorded)
    assert result.exit_code == 0
    assert "8 records, whole" in result.output
    assert "go on after the batch 1970-01-01" in result.output
    journal = next((Path(recorded) / "journal").iterdir())
    content = bytearray(journal.read_bytes())
    content[200] ^= 4
    journal.write_bytes(bytes(content))
    result = command("verify", recorded)
    assert result.exit_code == 1
    assert f"{journal}: " in result.output


def test_diff(recorded: str, program: str) -> None:
    same = command("diff", recorded, f"{program}:setup")
    assert same.exit_code == 0
    assert [line.split()[0] for line in same.output.splitlines()] == ["kept", "kept"]
    Context._active.stop()  # type: ignore[union-attr]
    other = command("diff", recorded, f"{program}:other")
    assert [line.split(":")[0].split() for line in other.output.splitlines()] == [
        ["new", "figures"],
        ["missing", "totals"],
        ["kept", "queueStream-1"],
    ]


def test_replay(recorded: str, program: str, tmp_path: Path) -> None:
    assert not (tmp_path / "results" / "2").exists()
    result = command("replay", recorded, f"{program}:setup")
    assert result.exit_code == 0
    assert result.output.startswith("replayed: foreachRDD (")
    assert (tmp_path / "results" / "2").read_text() == "[('a', 3)]"
    Context._active.stop()  # type: ignore[union-attr]
    again = command("replay", recorded, f"{program}:setup")
    assert again.output == "Nothing was given up, or all of it has been replayed.\n"
    assert "given up" not in command("show", recorded).output


def test_replay_with_another_program(recorded: str, tmp_path: Path) -> None:
    file = tmp_path / "other.py"
    file.write_text(PROGRAM.replace("totals.foreachRDD(write)", "totals.pprint()"))
    result = command("replay", recorded, f"{file}:setup")
    assert result.exit_code == 2
    assert "the program's output number 1 is no foreachRDD" in result.output


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("program", "'program' names no function"),
        ("nowhere.py:setup", "there is no file nowhere.py"),
        ("no_such_module:setup", "no_such_module cannot be imported"),
        ("{program}:missing", "has no function missing"),
        ("{program}:wrong", "must return a StreamingContext, not int"),
    ],
)
def test_a_program_that_is_none(recorded: str, program: str, named: str, message: str) -> None:
    result = command("diff", recorded, named.format(program=program))
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("name", ["show", "verify"])
def test_a_folder_without_a_checkpoint(name: str, tmp_path: Path) -> None:
    result = command(name, str(tmp_path))
    assert result.exit_code == 2
    assert f"there is no checkpoint in {tmp_path}" in result.output

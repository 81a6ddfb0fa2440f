"""The ledger: an output that was completed is not run again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import cloudpickle
import fsspec
import pytest

from penstock import RDD, Ledger
from penstock.dstream import DStream, ledger
from penstock.errors import ArgumentError, SignatureError
from penstock.storage import LocalStorage, Storage
from penstock.storage.faulty import Fault, FaultyStorage
from penstock.storage.resolve import wrapping
from penstock.testing import crash_everywhere, run_batches


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "ledger")
        return
    yield f"memory://{tmp_path}"
    if fsspec.filesystem("memory").exists(str(tmp_path)):
        fsspec.filesystem("memory").rm(str(tmp_path), recursive=True)


def test_a_batch_runs_once_for_each_name(place: str) -> None:
    kept = Ledger(place)
    done = []
    for name in ("mail", "mail", "bell", "mail"):
        with kept.once(1.5, name=name) as fresh:
            if fresh:
                done.append(name)
    assert done == ["mail", "bell"]
    assert Ledger(place).is_done(1.5, name="mail")
    assert not Ledger(place).is_done(2.5, name="mail")


def test_what_fails_is_not_recorded(place: str) -> None:
    kept = Ledger(place)
    with pytest.raises(ZeroDivisionError), kept.once(1.0, name="mail"):
        1 / 0  # noqa: B018
    assert not kept.is_done(1.0, name="mail")


@pytest.mark.usefixtures("sc")
def test_functions_of_one_and_of_two_arguments(place: str) -> None:
    kept = Ledger(place)
    seen: list[Any] = []

    def both(time: datetime, rdd: RDD) -> None:
        seen.append((time.timestamp(), rdd.collect()))

    def alone(rdd: RDD) -> None:
        seen.append(rdd.collect())

    def build(stream: DStream) -> None:
        stream.foreachRDD(kept.once(both))
        stream.foreachRDD(kept.once(alone))
        stream.foreachRDD(kept.once(lambda rdd: seen.append("third"), name="third"))

    run_batches([[1], []], build)
    assert seen == [(1.0, [1]), [1], "third", (2.0, []), [], "third"]
    run_batches([[1], [], [3]], build)
    assert seen[6:] == [(3.0, [3]), [3], "third"]


@pytest.mark.usefixtures("sc")
def test_two_outputs_need_names(place: str) -> None:
    sent: list[Any] = []

    def send(rdd: RDD) -> None:
        sent.extend(rdd.collect())

    def build(stream: DStream, name: str | None = None) -> None:
        stream.foreachRDD(Ledger(place).once(send))
        stream.map(lambda n: -n).foreachRDD(Ledger(place).once(send, name=name))

    with pytest.raises(ArgumentError, match=r"writes to send in Ledger\(.* Hint"):
        run_batches([[1]], build)
    run_batches([[1]], lambda s: build(s, "negative"))
    assert sent == [1, -1]


def test_names_that_will_not_do(place: str) -> None:
    kept = Ledger(place)
    for wrong in ("", "a/b", "..", ".hidden", "a b", "<lambda>", None, 7):
        with pytest.raises(SignatureError, match="Hint"):
            kept.once(1.0, name=wrong)
    with pytest.raises(SignatureError, match="name"):
        kept.once(lambda rdd: None)
    with pytest.raises(SignatureError, match="1 or 2 arguments"):
        kept.once(lambda: None, name="none")
    with pytest.raises(SignatureError, match="time"):
        kept.once("noon", name="mail")
    for keep in (0, -1, True, 1.5):
        with pytest.raises(ArgumentError, match="at least one"):
            Ledger(place, keep=keep)  # type: ignore[arg-type]


def test_it_stays_small(place: str) -> None:
    kept = Ledger(place, keep=10)
    for batch in range(1, 102):
        with kept.once(float(batch), name="mail") as fresh:
            assert fresh
    left = [batch for batch in range(1, 102) if kept.is_done(float(batch), name="mail")]
    assert left == list(range(92, 102))


def test_it_goes_with_a_function_that_is_pickled(place: str) -> None:
    kept = cloudpickle.loads(cloudpickle.dumps(Ledger(place, keep=5).once(print, name="mail")))
    assert kept._ledger.key(1.0, name="mail") == "mail/1000"
    assert repr(kept._ledger).startswith("Ledger(")


def test_a_record_that_cannot_be_written_fails_the_batch(tmp_path: Path) -> None:
    def broken(storage: Storage) -> Storage:
        return FaultyStorage(storage, [Fault(1, "create_if_absent")])

    with wrapping(broken):
        kept = Ledger(str(tmp_path))
        with pytest.raises(OSError, match="Input/output"), kept.once(1.0, name="mail"):
            pass
        with kept.once(1.0, name="mail") as fresh:
            assert fresh


@pytest.mark.usefixtures("sc")
def test_a_crash_doubles_nothing_but_what_was_done_and_not_yet_recorded() -> None:
    """Each batch's output is one file; what was done before is done at most once more, and never left out."""
    counts: dict[int, int] = {}

    def build(stream: DStream, folder: str) -> None:
        kept = Ledger(folder + "/.ledger")

        def send(time: datetime, rdd: RDD) -> None:
            ms = round(time.timestamp() * 1000)
            counts[ms] = counts.get(ms, 0) + 1
            Path(folder, f"sent-{ms}").write_text(json.dumps(rdd.collect()))

        stream.foreachRDD(kept.once(send))

    crashes = crash_everywhere(build, [["a"], ["b"]], every=17, twice=0)
    assert sum(counts.values()) <= 2 * crashes.lives


def test_records_are_files_that_say_what_they_are(tmp_path: Path) -> None:
    with Ledger(str(tmp_path)).once(1.0, name="mail"):
        pass
    assert os.listdir(tmp_path / "mail") == ["1000"]
    assert json.loads(LocalStorage().read(str(tmp_path / "mail/1000"))) == {"batch_ms": 1000}
    assert ledger.__all__ == ["Ledger"]

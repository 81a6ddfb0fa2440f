"""Exceptions: what they are besides ours, and what they know of where they happened."""

from __future__ import annotations

import inspect
import pickle

import pytest

from penstock import errors
from penstock.errors import CallSite, Failure, PenstockError, failure_of, joined, locate, shown

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BaseException)]


def test_all_of_them_are_ours_and_are_in_the_drawing() -> None:
    assert all(issubclass(kind, PenstockError) for kind in CLASSES)
    drawing = errors.__doc__ or ""
    assert all(kind.__name__ in drawing for kind in CLASSES)
    assert all(kind.__name__ in errors.__all__ for kind in CLASSES)


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [
        (errors.ArgumentError, ValueError),
        (errors.SignatureError, TypeError),
        (errors.SettingError, ValueError),
        (errors.StateError, RuntimeError),
        (errors.UnsupportedError, RuntimeError),
        (errors.NotAPairError, TypeError),
        (errors.KeyTypeError, TypeError),
        (errors.RowTypeError, TypeError),
        (errors.EmptyError, ValueError),
        (errors.StorageError, OSError),
        (errors.InputVanished, FileNotFoundError),
        (errors.OutputExists, FileExistsError),
    ],
)
def test_a_program_for_pyspark_still_catches_them(ours: type, builtin: type) -> None:
    assert issubclass(ours, builtin)


@pytest.mark.parametrize("kind", CLASSES)
def test_they_survive_a_pickle_with_what_they_know(kind: type[PenstockError]) -> None:
    error = locate(kind("what"), site=CallSite("map", "app.py", 3), record="7")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert failure_of(again) == failure_of(error)


class TestLocate:
    def test_facts_and_notes(self) -> None:
        error = ValueError("mine")
        same = locate(error, site=CallSite("map", "app.py", 3), record="'x'")
        assert same is error
        locate(error, partition=2)
        locate(error, batch_time_ms=5000, output="pprint (app.py:9)")
        assert failure_of(error) == Failure(CallSite("map", "app.py", 3), 2, "'x'", 5000, "pprint (app.py:9)")
        assert error.__notes__ == [
            "in map (app.py:3) of partition 2, at the record 'x'",
            "in the batch 5000 ms of the output pprint (app.py:9)",
        ]
        assert str(error) == "mine"  # the message is the user's

    def test_the_innermost_knows_best(self) -> None:
        error = locate(ValueError(), site=CallSite("map", "app.py", 3), record="1")
        locate(error, site=CallSite("reduceByKey", "app.py", 9), record="2", batch_time_ms=1)
        failure = failure_of(error)
        assert failure is not None
        assert (str(failure.site), failure.record, failure.batch_time_ms) == ("map (app.py:3)", "1", 1)

    def test_the_same_fact_twice_is_one_note(self) -> None:
        error = locate(ValueError(), batch_time_ms=5)
        locate(error, batch_time_ms=5)
        assert error.__notes__ == ["in the batch 5 ms"]

    def test_notes_of_the_user_stay(self) -> None:
        error = ValueError()
        error.add_note("mine")
        locate(locate(error, batch_time_ms=5), partition=1, site=CallSite("map"))
        assert "mine" in error.__notes__
        assert len(error.__notes__) == 3

    def test_nothing_known(self) -> None:
        assert failure_of(ValueError()) is None
        assert failure_of(locate(ValueError())) == Failure()


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Huge:
    def __repr__(self) -> str:
        return "x" * 10_000


def test_records_in_messages() -> None:
    assert shown(("a", 1)) == "('a', 1)"
    assert shown(Rude()) == "<Rude whose repr raises RuntimeError>"
    assert len(shown(Huge())) == 200
    assert shown(Huge(), 10) == "xxxxxxx..."


def test_sites() -> None:
    assert str(CallSite("map", "app.py", 31)) == "map (app.py:31)"
    assert str(CallSite("map")) == "map"


def test_problems_are_told_together() -> None:
    assert joined(["one"]) == "one"
    assert joined(["one", "two"]) == "2 problems:\n  - one\n  - two"
    assert joined(iter(["one"])) == "one"

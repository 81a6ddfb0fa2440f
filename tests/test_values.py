"""Data classes that are made when they are first used are data classes."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest

from penstock.values import dataclass


def classes() -> tuple[Any, Any, Any]:
    """New ones, which nobody has used yet."""

    @dataclass(frozen=True)
    class Frozen:
        x: int
        y: list[int] = field(default_factory=list)

    @dataclass
    class Changing:
        x: int = 1

    @dataclass(frozen=True, eq=False)
    class Alone:
        x: int = 1

    return Frozen, Changing, Alone


@dataclass(frozen=True)
class Stored:
    x: int
    y: str = "y"


@dataclass(frozen=True)
class Below(Stored):
    z: int = 0

    def __repr__(self) -> str:
        return f"Below {self.x} {self.z}"


@dataclass
class Said:
    """What it is."""

    x: int


def test_instances() -> None:
    frozen, changing, alone = classes()
    assert frozen(1) == frozen(1, [])
    assert frozen(1).y is not frozen(1).y
    assert repr(changing()).endswith("Changing(x=1)")
    assert changing(2) != changing()
    assert alone() != alone()
    assert len({alone(), alone()}) == 2
    with pytest.raises(FrozenInstanceError):
        frozen(1).x = 2
    with pytest.raises(TypeError, match="missing"):
        frozen()
    with pytest.raises(TypeError, match="unhashable"):
        hash(changing())


@pytest.mark.parametrize("first", ["init", "repr", "eq", "hash"])
def test_whatever_is_asked_first(first: str) -> None:
    frozen, _, _ = classes()
    made = object.__new__(frozen)
    made.__dict__.update(x=1, y=())
    if first == "repr":
        assert repr(made).endswith("Frozen(x=1, y=())")
    elif first == "eq":
        assert made == frozen(1, ())
    elif first == "hash":
        assert hash(made) == hash(frozen(1, ()))
    assert frozen(1, ()) == made


def test_fields_of_a_class_without_instances() -> None:
    frozen, changing, _ = classes()
    assert dataclasses.is_dataclass(changing)
    assert [each.name for each in dataclasses.fields(frozen)] == ["x", "y"]


def test_what_help_says() -> None:
    assert Stored(1).__doc__ == "Stored(x: 'int', y: 'str' = 'y')"
    assert Stored.__init__.__qualname__ == "Stored.__init__"
    assert Said(1).__doc__ == "What it is."


def test_classes_that_derive() -> None:
    assert repr(Below(1, z=2)) == "Below 1 2"
    assert Below(1) == Below(1, "y", 0)
    assert Below(1) != Stored(1)
    assert dataclasses.asdict(Below(1)) == {"x": 1, "y": "y", "z": 0}
    assert dataclasses.replace(Below(1), x=3).x == 3
    match Below(4):
        case Below(x, y, z):
            assert (x, y, z) == (4, "y", 0)


@pytest.mark.parametrize("value", [Stored(1), Below(2, "a", 3)])
def test_they_are_pickled_and_copied(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value


def test_the_state_of_a_class_that_had_slots_is_read() -> None:
    made = object.__new__(Stored)
    made.__setstate__([1, "b"])
    assert made == Stored(1, "b")


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """Threads take turns within a few lines of Python."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient_threads")
def test_threads_that_make_the_first_instances_together() -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):

            @dataclass(frozen=True)
            class Above:
                x: int

            @dataclass(frozen=True, eq=False)
            class Lower(Above):
                y: int
                z: list[int] = field(default_factory=list)

            assert {(made.x, made.y, len(made.z)) for made in pool.map(Lower, range(8), [5] * 8)} == {
                (x, 5, 0) for x in range(8)
            }

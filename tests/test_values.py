"""Data classes that are made when they are first used are data classes."""

from __future__ import annotations

import copy
import dataclasses
import pickle
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

"""Records that can be columns are nothing but their fields; all others are refused, with the reason."""

from __future__ import annotations

import pickle
import subprocess
import sys
from abc import ABC
from collections import namedtuple
from dataclasses import InitVar, dataclass, field
from functools import total_ordering
from typing import Any, Generic, NamedTuple, TypeVar

import cloudpickle
import pytest

from penstock.chunk import (
    Record,
    Scalar,
    exact_row_type,
)
from penstock.chunk.records import record_fields, row_class
from penstock.errors import RowTypeError
from tests.chunk.samples import (
    Changeable,
    Derived,
    Empty,
    Frozen,
    Keyword,
    Order,
    Point,
    Slotted,
    Trade,
    Untyped,
)

INT, STR = Scalar(int), Scalar(str)

T = TypeVar("T")


def odd_classes() -> dict[str, tuple[type, str]]:
    """Classes that look like records and are more than their fields, and what the refusal says."""

    @dataclass
    class OwnInit:
        a: int

        def __init__(self, a: int) -> None:
            self.a = a + 1

    @dataclass
    class PostInit:
        a: int

        def __post_init__(self) -> None:
            self.a += 1

    @dataclass
    class OwnNew:
        a: int

        def __new__(cls, a: int) -> OwnNew:
            return super().__new__(cls)

    @dataclass
    class OwnEq:
        a: int

        def __eq__(self, other: object) -> bool:
            return True

    @dataclass(frozen=True)
    class OwnHash:
        a: int

        def __hash__(self) -> int:
            return 1

    @dataclass
    class OwnGetattr:
        a: int

        def __getattr__(self, name: str) -> int:
            return 1

    @dataclass
    class OwnGetattribute:
        a: int

        def __getattribute__(self, name: str) -> Any:
            return object.__getattribute__(self, name)

    @dataclass
    class OwnSetattr:
        a: int

        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

    @dataclass
    class OwnReduce:
        a: int

        def __reduce__(self) -> Any:
            return (int, (1,))

    @dataclass
    class OwnDeepcopy:
        a: int

        def __deepcopy__(self, memo: Any) -> Any:
            return self

    @dataclass
    class OwnBool:
        a: int

        def __bool__(self) -> bool:
            return False

    @total_ordering
    @dataclass
    class Ordered:
        a: int

        def __lt__(self, other: Ordered) -> bool:
            return self.a > other.a

    @dataclass
    class NotInInit:
        a: int
        b: int = field(init=False, default=1)

    @dataclass
    class NotCompared:
        a: int
        b: int = field(compare=False, default=1)

    @dataclass
    class WithInitVar:
        a: int
        b: InitVar[int]

    @dataclass(eq=False)
    class WithoutEq:
        a: int

    @dataclass(init=False)
    class WithoutInit:
        a: int

    @dataclass
    class Descriptor:
        a: int
        b: int = property(lambda self: 1)  # type: ignore[assignment]

    class Plain:
        __slots__ = ()

    @dataclass
    class FromPlain(Plain):
        a: int

    class Undecorated(Order):
        pass

    @dataclass(slots=True)
    class SlotsOverDict(Order):
        buy: bool = True

    @dataclass
    class ExtraSlot:
        __slots__ = ("a", "b")
        a: int

    @dataclass
    class Abstract(ABC):
        a: int

    @dataclass
    class OfT(Generic[T]):
        a: T

    class TupleSubclass(Point):
        pass

    class TupleSlots(Point):
        __slots__ = ()

    class TupleEq(NamedTuple):
        a: int

        def __eq__(self, other: object) -> bool:
            return True

    class TupleIter(NamedTuple):
        a: int

        def __iter__(self) -> Any:
            return iter(())

    patched = namedtuple("patched", "a")
    patched.__new__ = lambda cls, a: tuple.__new__(cls, (a + 1,))  # type: ignore[assignment, method-assign]

    class Neither:
        pass

    return {
        "OwnInit": (OwnInit, "__init__"),
        "PostInit": (PostInit, "__post_init__"),
        "OwnNew": (OwnNew, "__new__"),
        "OwnEq": (OwnEq, "__eq__"),
        "OwnHash": (OwnHash, "__hash__"),
        "OwnGetattr": (OwnGetattr, "__getattr__"),
        "OwnGetattribute": (OwnGetattribute, "__getattribute__"),
        "OwnSetattr": (OwnSetattr, "__setattr__"),
        "OwnReduce": (OwnReduce, "__reduce__"),
        "OwnDeepcopy": (OwnDeepcopy, "__deepcopy__"),
        "OwnBool": (OwnBool, "__bool__"),
        "Ordered": (Ordered, "__ge__"),
        "NotInInit": (NotInInit, "init=False"),
        "NotCompared": (NotCompared, "compare=False"),
        "WithInitVar": (WithInitVar, "InitVar"),
        "WithoutEq": (WithoutEq, "eq=False"),
        "WithoutInit": (WithoutInit, "init=False"),
        "Descriptor": (Descriptor, "descriptor"),
        "FromPlain": (FromPlain, "no dataclass"),
        "Undecorated": (Undecorated, "neither a dataclass nor a NamedTuple"),
        "SlotsOverDict": (SlotsOverDict, "beside its fields"),
        "ExtraSlot": (ExtraSlot, "beside its fields"),
        "Abstract": (Abstract, "metaclass ABCMeta"),
        "OfT": (OfT, "no dataclass"),
        "TupleSubclass": (TupleSubclass, "subclass of a NamedTuple"),
        "TupleSlots": (TupleSlots, "subclass of a NamedTuple"),
        "TupleEq": (TupleEq, "__eq__"),
        "TupleIter": (TupleIter, "__iter__"),
        "patched": (patched, "__new__"),
        "Neither": (Neither, "neither a dataclass nor a NamedTuple"),
        "object": (object, "neither a dataclass nor a NamedTuple"),
    }


class TestRecordClasses:
    @pytest.mark.parametrize("name", odd_classes())
    def test_class_that_is_more_than_its_fields_stays_rows(self, name: str) -> None:
        cls, reason = odd_classes()[name]
        with pytest.raises(RowTypeError, match="stay rows") as caught:
            record_fields(cls)
        assert reason in str(caught.value)

    @pytest.mark.parametrize(
        ("cls", "names"),
        [
            (Point, ("x", "y")),
            (Trade, ("symbol", "at", "note")),
            (Untyped, ("a", "b")),
            (Order, ("id", "price", "symbol")),
            (Derived, ("id", "price", "symbol", "buy")),
            (Frozen, ("id", "price")),
            (Slotted, ("id", "name")),
            (Changeable, ("id", "frozen")),
            (Keyword, ("id", "b")),
            (Empty, ()),
        ],
    )
    def test_plain_records_are_their_fields(self, cls: type, names: tuple[str, ...]) -> None:
        assert record_fields(cls) == names

    def test_hand_written_methods_of_a_program_without_a_file_are_recognised(self) -> None:
        """A generated method's code is in the file ``<string>``, and so is all of ``python -c``."""
        program = (
            "from dataclasses import dataclass\n"
            "from penstock.chunk.records import record_fields\n"
            "from penstock.errors import RowTypeError\n"
            "@dataclass\nclass Mine:\n  a: int\n  def __eq__(self, other): return True\n"
            "try: record_fields(Mine)\n"
            "except RowTypeError as error: print('own __eq__' in str(error))\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "True"

    @pytest.mark.parametrize("cls", [Point, Trade, Untyped, Order, Derived, Frozen, Slotted, Keyword])
    def test_classes_pickled_by_value_stay_plain(self, cls: type) -> None:
        """The classes of a user's script reach a worker process as cloudpickle rebuilds them."""
        program = (
            "import sys, cloudpickle\n"
            "from penstock.chunk.records import record_fields\n"
            "print(*record_fields(cloudpickle.load(sys.stdin.buffer)))\n"
        )
        module = sys.modules[cls.__module__]
        cloudpickle.register_pickle_by_value(module)
        try:
            pickled = cloudpickle.dumps(cls)
        finally:
            cloudpickle.unregister_pickle_by_value(module)
        done = subprocess.run([sys.executable, "-c", program], input=pickled, capture_output=True, check=True)
        assert tuple(done.stdout.decode().split()) == record_fields(cls)

    def test_named_tuple_pickled_by_value_may_hold_nothing_beside_its_fields(self) -> None:
        """It comes back without its ``__slots__``, so that attributes can be added."""
        members = {name: value for name, value in vars(Untyped).items() if name != "__slots__"}
        cls: Any = type("Untyped", (tuple,), members)
        assert record_fields(cls) == ("a", "b")
        assert exact_row_type([cls(1, "a")]) == Record(cls, (("a", INT), ("b", STR)))
        more = cls(1, "a")
        more.extra = 1
        with pytest.raises(RowTypeError, match=r"record 1 .* more or less than its fields"):
            exact_row_type([cls(1, "a"), more])

    def test_record_with_other_fields_than_its_class_is_refused(self) -> None:
        with pytest.raises(RowTypeError, match="fields of Point"):
            Record(Point, (("x", INT),))


class TestRowClass:
    def test_same_names_same_class(self) -> None:
        assert row_class(("a", "b")) is row_class(("a", "b"))
        assert row_class(("a", "b")) is not row_class(("b", "a"))

    @pytest.mark.parametrize(
        "names",
        [
            (),
            ("a b",),
            ("class",),
            ("_1", "_2"),
            ("a", "a"),
            ("1",),
            ("",),
            ("\ufb01",),
            ("a", "__b"),
            ("a.b",),
            ("a,b",),
        ],
        ids=str,
    )
    def test_names_that_cannot_be_fields(self, names: tuple[str, ...]) -> None:
        assert row_class(names) is None

    @pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))  # older ones name in ASCII
    @pytest.mark.parametrize("names", [("id", "price"), ("가격",), ("count", "index")], ids=str)
    def test_class_and_instances_are_picklable(self, names: tuple[str, ...], protocol: int) -> None:
        cls: Any = row_class(names)
        row = cls(*range(len(names)))
        assert record_fields(cls) == names
        for library in (pickle, cloudpickle):
            assert library.loads(library.dumps(cls, protocol)) is cls
            assert type(library.loads(library.dumps(row, protocol))) is cls

    def test_another_process_makes_the_class_anew(self) -> None:
        cls: Any = row_class(("id", "price"))
        program = "import sys, pickle; rows = pickle.load(sys.stdin.buffer); print(rows, rows[0].price)"
        pickled = pickle.dumps([cls(1, 51.0)])
        done = subprocess.run([sys.executable, "-c", program], input=pickled, capture_output=True, check=True)
        assert done.stdout.decode().strip() == "[Row(id=1, price=51.0)] 51.0"

    def test_module_has_no_other_such_names(self) -> None:
        import penstock.chunk.records as records

        for name in ("Row:a b", "Row:", "Row", "nothing"):
            with pytest.raises(AttributeError):
                getattr(records, name)

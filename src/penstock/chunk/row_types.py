"""Row types: how columns look as Python objects, exactly.

::

    RowType
    ├── Scalar(int)                          values of exactly this class, one column
    ├── Optional(Scalar(int))                such a value, or None
    ├── Tuple((Scalar(int), Scalar(str)))    tuples of exactly this length
    └── Record(Order, (("id", Scalar(int)), ...))  instances of a NamedTuple or dataclass

*Exactly* means that every value's class is the one named, no subclass of it, and that the column
gives back the same value: an ``int`` between -2**63 and 2**63-1, a ``float`` bit by bit, a ``str``
that UTF-8 can hold, a ``datetime`` without time zone and fold. ``1``, ``1.0`` and ``True`` have three
different row types. A ``Decimal`` has none: each carries its own number of digits (``1.0`` and
``1.00`` are equal but print differently), and what its arithmetic gives depends on the thread's context.

**Layout.** The leaves of a row type are its scalars from left to right, one Arrow array each. An
``Optional`` scalar's nulls are in its own array. Anything else that is ``Optional`` has an array of
bools before its own leaves, true where the value is there; where it is not, its leaves mean nothing
(they are null as a rule).
"""

from __future__ import annotations

import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from penstock.chunk.records import record_fields
from penstock.errors import RowTypeError
from penstock.values import dataclass

__all__ = ["SCALARS", "Optional", "Record", "RowType", "Scalar", "Tuple", "row_type_of_class"]

SCALARS: dict[type, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    datetime: pa.timestamp("us"),
    date: pa.date32(),
    type(None): pa.null(),
}
"""The classes that have a column of their own, and the type of its array."""


class RowType(ABC):
    """How each record of a chunk looks. Immutable, comparable, hashable, picklable."""

    __slots__ = ()

    @property
    @abstractmethod
    def parts(self) -> tuple[RowType, ...]:
        """The row types of what a value is made of, from left to right."""

    @property
    def leaf_types(self) -> tuple[pa.DataType, ...]:
        """The types of the arrays, in the order of the layout."""
        return tuple(leaf for part in self.parts for leaf in part.leaf_types)

    @property
    def leaf_count(self) -> int:
        """How many arrays: where the leaves of the next part begin."""
        return sum(part.leaf_count for part in self.parts)


@dataclass(frozen=True)
class Scalar(RowType):
    """Values of exactly ``python_type``, a key of :data:`SCALARS`."""

    python_type: type

    def __post_init__(self) -> None:
        if self.python_type not in SCALARS:
            known = ", ".join(kind.__name__ for kind in SCALARS)
            raise RowTypeError(f"{self.python_type!r} has no column; the classes that have one are {known}")

    @property
    def parts(self) -> tuple[RowType, ...]:
        return ()

    @property
    def leaf_types(self) -> tuple[pa.DataType, ...]:
        return (SCALARS[self.python_type],)

    @property
    def leaf_count(self) -> int:
        return 1

    def __str__(self) -> str:
        return "None" if self.python_type is type(None) else self.python_type.__name__


@dataclass(frozen=True)
class Optional(RowType):
    """A value of ``inner``, or ``None``. ``inner`` itself has no ``None``."""

    inner: RowType

    def __post_init__(self) -> None:
        if isinstance(self.inner, Optional) or self.inner == Scalar(type(None)):
            raise RowTypeError(f"{self.inner} is None already sometimes: it cannot be optional once more")

    @property
    def parts(self) -> tuple[RowType, ...]:
        return (self.inner,)

    @property
    def leaf_types(self) -> tuple[pa.DataType, ...]:
        return (
            self.inner.leaf_types if isinstance(self.inner, Scalar) else (pa.bool_(), *self.inner.leaf_types)
        )

    @property
    def leaf_count(self) -> int:
        return self.inner.leaf_count + (not isinstance(self.inner, Scalar))

    def __str__(self) -> str:
        return f"{self.inner} | None"


@dataclass(frozen=True)
class Tuple(RowType):
    """Plain tuples with these items.

    >>> print(Tuple((Scalar(int), Optional(Scalar(str)))))
    tuple[int, str | None]
    """

    items: tuple[RowType, ...]

    @property
    def parts(self) -> tuple[RowType, ...]:
        return self.items

    def __str__(self) -> str:
        return f"tuple[{', '.join(map(str, self.items)) or '()'}]"


@dataclass(frozen=True)
class Record(RowType):
    """Instances of exactly ``cls``, with the fields' names and row types in the order of the class.

    Raises: :class:`RowTypeError` for a class whose instances are more than their fields.
    """

    cls: type
    fields: tuple[tuple[str, RowType], ...]

    def __post_init__(self) -> None:
        if record_fields(self.cls) != self.names:
            raise RowTypeError(f"the fields of {self.cls.__qualname__} are not {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.fields)

    @property
    def parts(self) -> tuple[RowType, ...]:
        return tuple(part for _, part in self.fields)

    def __str__(self) -> str:
        return f"{self.cls.__name__}({', '.join(f'{name}: {part}' for name, part in self.fields)})"


def row_type_of_class(annotation: Any) -> RowType:
    """The row type that a class's annotations promise (Python does not enforce them: check the rows).

    Takes ``int float str bool bytes datetime date None``, ``X | None``, ``tuple[X, Y]``, and
    NamedTuples and dataclasses of these. ``float`` is a float here, never an int in its place.

    >>> print(row_type_of_class(tuple[int, tuple[str, float | None]]))
    tuple[int, tuple[str, float | None]]

    Raises: :class:`RowTypeError` naming the field that has no column.
    """
    return _of_annotation(annotation, ())


def _of_annotation(annotation: Any, above: tuple[Any, ...]) -> RowType:
    if annotation is None:
        return Scalar(type(None))
    if isinstance(annotation, typing.NewType):
        return _of_annotation(annotation.__supertype__, above)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _of_annotation(arguments[0], above)
    if origin is typing.Union or origin is types.UnionType:
        given = [each for each in arguments if each is not type(None)]
        if len(given) == 1:
            return Optional(_of_annotation(given[0], above))
    elif origin is tuple and Ellipsis not in arguments:
        return Tuple(tuple(_of_annotation(each, above) for each in arguments))
    elif annotation in SCALARS:
        return Scalar(annotation)
    elif origin is None and isinstance(annotation, type):
        return Record(annotation, tuple(_fields_of(annotation, above)))
    raise RowTypeError(f"{annotation!r} has no column: values of several classes or lengths stay rows")


def _fields_of(cls: type, above: tuple[Any, ...]) -> Iterator[tuple[str, RowType]]:
    if cls in above:
        raise RowTypeError(f"{cls.__qualname__} holds records of its own class: such records stay rows")
    names = record_fields(cls)
    try:
        hints = typing.get_type_hints(cls)
    except Exception as problem:  # the text of an annotation can be anything
        raise RowTypeError(f"an annotation of {cls.__qualname__} cannot be read: {problem}") from problem
    for name in names:
        if name not in hints:
            raise RowTypeError(f"the field {name} of {cls.__qualname__} has no annotation")
        try:
            yield name, _of_annotation(hints[name], (*above, cls))
        except RowTypeError as problem:
            raise RowTypeError(f"the field {name} of {cls.__qualname__}: {problem}") from None

"""Classes whose instances are nothing but their fields, so that columns can hold them.

Two kinds are: a NamedTuple, and a dataclass made by the decorator alone. What a column keeps of a
record is its class and its fields' values; a new instance with these must be indistinguishable from
the one that was taken apart. Hence no hand-written method through which instances are made, read,
changed, compared, hashed, copied or taken apart, no state beside the fields, and equality on all of
them. ``frozen``, ``slots``, ``order``, ``kw_only``, ``unsafe_hash``, defaults, class variables,
ordinary methods, properties and ``__str__`` or ``__add__`` do no harm.

Instances are taken apart and made without running the user's code. A class that reached this process
by value, as those of a user's script do, has lost its ``__slots__`` on the way (cloudpickle leaves them
out): its instances have a ``__dict__``, which must then hold the fields, or of a NamedTuple nothing.
"""

from __future__ import annotations

import unicodedata
from collections import deque, namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from itertools import repeat
from keyword import iskeyword
from operator import attrgetter
from types import MemberDescriptorType
from typing import Any, cast

from penstock.errors import RowTypeError

__all__ = ["columns_of", "is_generated", "record_fields", "row_class", "values_of"]

_TELLING_NAMES = (
    "__new__ __init__ __post_init__ __getattr__ __getattribute__ __setattr__ __delattr__ __del__ "
    "__eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __bool__ __len__ __iter__ __reversed__ __getitem__ "
    "__contains__ __copy__ __deepcopy__ __replace__ __reduce__ __reduce_ex__ __getstate__ __setstate__ "
    "__getnewargs__ __getnewargs_ex__ __class__"
)
_TELLING = frozenset(_TELLING_NAMES.split())
"""Special methods that make a record more, or less, than its fields."""
_PLAIN = namedtuple("_PLAIN", "field")


def is_generated(cls: type, name: str) -> bool:
    """Whether ``@dataclass`` wrote this method of this very class (or its ``__hash__ = None``).

    The decorator compiles methods inside a function of a fixed name, on every version of Python.
    """
    method = vars(cls).get(name)
    if method is None:
        return name == "__hash__" and name in vars(cls)
    if getattr(method, "__module__", None) == "dataclasses":
        return True
    code = getattr(method, "__code__", None)
    return getattr(code, "co_qualname", None) == f"__create_fn__.<locals>.{name}"


def record_fields(cls: type) -> tuple[str, ...]:
    """The names of the fields, in order, of a class whose instances are nothing but their fields.

    Raises: :class:`RowTypeError` with the reason if they are more than that; such records stay rows.
    """
    if type(cls) is not type:
        raise _stays_rows(cls, f"has the metaclass {type(cls).__qualname__}")
    if "__dataclass_fields__" in vars(cls):
        return _dataclass_fields(cls)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _namedtuple_fields(cls)
    raise _stays_rows(cls, "is neither a dataclass nor a NamedTuple")


def _namedtuple_fields(cls: Any) -> tuple[str, ...]:
    if cls.__bases__ != (tuple,):
        raise _stays_rows(cls, "is a subclass of a NamedTuple")
    for name in sorted(_TELLING & vars(cls).keys()):
        given = getattr(cls, name)
        made_by = getattr(given, "__globals__", {}).get("__name__", "")
        if name == "__new__" and made_by.startswith("namedtuple_"):
            continue
        if name not in ("__getnewargs__", "__replace__") or not _same_code(
            given, getattr(_PLAIN, name, None)
        ):
            raise _stays_rows(cls, f"has its own {name}")
    return tuple(cls._fields)


def _same_code(one: Any, other: Any) -> bool:
    return bool(getattr(one, "__code__", one) == getattr(other, "__code__", other))


def _dataclass_fields(cls: Any) -> tuple[str, ...]:
    names = tuple(each.name for each in fields(cls))
    slots: list[str] = []
    for base in cls.__mro__[:-1]:
        if "__dataclass_fields__" not in vars(base):
            raise _stays_rows(cls, f"derives from {base.__qualname__}, which is no dataclass")
        for name in sorted(_TELLING & vars(base).keys()):
            if not is_generated(base, name):
                owner = "its own" if base is cls else f"{base.__qualname__}'s"
                raise _stays_rows(cls, f"has {owner} {name}")
        slots += [name for name, value in vars(base).items() if isinstance(value, MemberDescriptorType)]
    for each in fields(cls):
        if not each.init or not each.compare:
            raise _stays_rows(
                cls, f"has the field {each.name} with {'compare' if each.init else 'init'}=False"
            )
    for name in ("__init__", "__eq__"):
        if not is_generated(cls, name):
            raise _stays_rows(cls, f"was declared with {name[2:-2]}=False")
    code = cls.__init__.__code__
    parameters = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    if set(parameters) != set(names):
        raise _stays_rows(cls, "has an InitVar")
    if slots and (cls.__dictoffset__ or set(slots) != set(names)):
        raise _stays_rows(cls, "has slots, or a __dict__, beside its fields")
    for name in names:
        descriptor = type(getattr(cls, name, None))
        if not slots and (hasattr(descriptor, "__set__") or hasattr(descriptor, "__delete__")):
            raise _stays_rows(cls, f"keeps its field {name} in a descriptor")
    return names


def _stays_rows(cls: type, why: str) -> RowTypeError:
    return RowTypeError(
        f"records of {cls.__qualname__} stay rows: the class {why}. "
        f"Hint: a plain NamedTuple or dataclass can be a column."
    )


def columns_of(kind: type, names: tuple[str, ...], values: Sequence[Any]) -> list[Sequence[Any]] | None:
    """The items of plain tuples, or the fields of records, one sequence each.

    All values are of exactly the class ``kind``, and ``names`` are its :func:`record_fields` (of a
    tuple: none). ``None`` if the tuples differ in length, or a record holds more or less than its fields
    since an attribute was added or deleted.
    """
    if not values:
        return [()] * len(names)
    if issubclass(kind, tuple):
        lengths = set(map(len, values))
        fitting = len(lengths) == 1 if kind is tuple else lengths == {len(names)}
        if kind.__dictoffset__ and any(map(vars, values)):
            return None
        return [*zip(*values, strict=True)] if fitting else None
    if not kind.__dictoffset__:
        try:
            return [list(map(attrgetter(name), values)) for name in names]
        except AttributeError:  # a slot that was never set, or deleted
            return None
    held: list[dict[str, Any]] = list(map(vars, values))
    return [*zip(*map(dict.values, held), strict=True)] if set(map(tuple, held)) == {names} else None


def values_of(kind: type, names: tuple[str, ...], columns: Sequence[Sequence[Any]], count: int) -> list[Any]:
    """The inverse of :func:`columns_of`: ``count`` tuples or new records."""
    if issubclass(kind, tuple):
        items: Iterator[Any] = zip(*columns, strict=True) if columns else repeat((), count)
        return list(items if kind is tuple else map(tuple.__new__, repeat(kind), items))
    if columns and kind.__setattr__ is object.__setattr__ and _takes_positions(kind):
        return list(map(kind, *columns))  # the generated __init__ does nothing but store, and is fastest
    records = list(map(object.__new__, repeat(kind, count)))
    for name, column in zip(names, columns, strict=True):
        if kind.__dictoffset__:
            setting = map(object.__setattr__, records, repeat(name), column)
        else:
            setting = map(getattr(kind, name).__set__, records, column)
        deque(setting, maxlen=0)  # runs the loop in C
    return records


def _takes_positions(cls: Any) -> bool:
    return not cls.__init__.__code__.co_kwonlyargcount


@cache
def row_class(names: tuple[str, ...]) -> type | None:
    """The NamedTuple class ``Row`` with these fields, the same class for the same names.

    ``None`` if the names cannot all be fields: not identifiers, keywords, twice the same, or with a
    leading underscore. Classes and instances can be pickled; another process makes the class anew.

    >>> row_class(("id", "price"))(1, 51.0)
    Row(id=1, price=51.0)
    >>> row_class(("id", "a price")) is None
    True
    """
    if len(set(names)) < len(names) or not names or not all(map(_can_be_field, names)):
        return None
    make: Any = namedtuple  # names that are data are beyond a type checker
    made = make("Row", names)
    made.__module__ = __name__
    made.__qualname__ = _QUALNAME + ",".join(names)
    return cast(type, made)


def _can_be_field(name: str) -> bool:
    plain = name.isidentifier() and not iskeyword(name) and not name.startswith("_")
    return plain and unicodedata.normalize("NFKC", name) == name  # the parser would normalise it


_QUALNAME = "Row:"


def __getattr__(name: str) -> Any:
    """``Row:id,price`` is the class with these fields: pickle finds classes by module and name."""
    if name.startswith(_QUALNAME):
        found = row_class(tuple(name.removeprefix(_QUALNAME).split(",")))
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Symbols: what a function is given in place of a record's values while it is traced.

A symbol stands for a value of one class that nobody knows yet. Operators on it make expressions; where Python
asks whether it is true, the path forks (see :mod:`penstock.vectorize.paths`). Tuples, lists and dicts that a
function makes are real ones with symbols in them; ``None`` is real, too, since an optional value is forked
when it is read. All that would let a symbol escape into ordinary values (a hash, an index, an iteration) is
refused, so nothing can be concluded from a symbol that does not hold for each row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, NoReturn

from penstock.vectorize.expressions import Call, Constant, Expression
from penstock.vectorize.kernels import Kernel, find
from penstock.vectorize.paths import Path, Untraceable

__all__ = ["Symbol", "built", "holds_symbols", "lifted", "method"]

KINDS: frozenset[type] = frozenset({int, float, str, bool, bytes, datetime, date, timedelta})
"""The classes of values that expressions are made of."""

_FAMILIES: dict[type, str] = {
    int: "number", float: "number", bool: "number", str: "text", bytes: "bytes",
    datetime: "datetime", date: "date", timedelta: "timedelta",
}  # fmt: skip
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def lifted(value: Any) -> Expression | None:
    """The expression of a symbol, or of a plain constant; ``None`` for all else."""
    if type(value) is Symbol:
        return value.expression
    kind = type(value)
    if kind not in KINDS:
        return None
    if kind is int and not _INT_MIN <= value <= _INT_MAX:
        raise Untraceable("an int of more than 64 bits")
    if kind is datetime and (value.tzinfo is not None or value.fold):
        raise Untraceable("a datetime with a time zone")
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Untraceable("a str with a lone surrogate") from None
    return Constant(kind, value)


def built(path: Path, name: str, *operands: Expression, parameters: tuple[Any, ...] = ()) -> Symbol:
    """The symbol of an operation; bools count as ints where only ints are known.

    Raises: :class:`Untraceable` where there is no kernel.
    """
    for parameter in parameters:
        for text in parameter if isinstance(parameter, tuple) else (parameter,):
            if type(text) is str:
                lifted(text)
    kernel = find(name, [operand.kind for operand in operands])
    if kernel is None and any(operand.kind is bool for operand in operands):
        operands = tuple(_as_int(operand) for operand in operands)
        kernel = find(name, [operand.kind for operand in operands])
    if kernel is None:
        kinds = " and ".join(operand.kind.__name__ for operand in operands)
        raise Untraceable(f"{_shown(name)} of {kinds} has no column form")
    return Symbol(applied(path, kernel, operands, parameters), path)


def applied(
    path: Path, kernel: Kernel, operands: tuple[Expression, ...], parameters: tuple[Any, ...] = ()
) -> Expression:
    """A kernel on operands, on the rows that come here."""
    if kernel.total:
        return Call(kernel.gives, kernel, operands, parameters)
    made = Call(kernel.gives, kernel, operands, parameters, path.live)
    path.made.append(made)
    return made


def _as_int(operand: Expression) -> Expression:
    if operand.kind is not bool:
        return operand
    if isinstance(operand, Constant):
        return Constant(int, int(operand.value))
    kernel = find("int", [bool])
    assert kernel is not None
    return Call(int, kernel, (operand,))


def _shown(name: str) -> str:
    return name.replace("_", " ") if "." not in name else f"{name}()"


def holds_symbols(value: Any) -> bool:
    """Whether a symbol is, or is in, this value."""
    if type(value) in KINDS or value is None:
        return False
    if isinstance(value, (tuple, list, frozenset, set)):
        return any(map(holds_symbols, value))
    if isinstance(value, dict):
        return any(map(holds_symbols, value.values()))
    return hasattr(type(value), "_penstock_symbolic")


def _operator(name: str) -> Callable[[Symbol, Any], Any]:
    def apply(self: Symbol, other: Any) -> Any:
        operand = lifted(other)
        if operand is None:
            return _not_here(name, other)
        return built(self._path, name, self.expression, operand)

    return apply


def _reflected(name: str) -> Callable[[Symbol, Any], Any]:
    def apply(self: Symbol, other: Any) -> Any:
        operand = lifted(other)
        if operand is None:
            return _not_here(name, other)
        return built(self._path, name, operand, self.expression)

    return apply


def _unary(name: str) -> Callable[[Symbol], Any]:
    return lambda self: built(self._path, name, self.expression)


def _not_here(name: str, other: Any) -> NoReturn:
    raise Untraceable(f"{_shown(name)} with a {type(other).__name__} has no column form")


def _equality(name: str, different: bool) -> Callable[[Symbol, Any], Any]:
    def apply(self: Symbol, other: Any) -> Any:
        operand = None if other is None else lifted(other)
        if operand is None:
            if other is None or type(other) in (tuple, list, dict):
                return different
            return _not_here(name, other)
        one, two = _FAMILIES[self.expression.kind], _FAMILIES[operand.kind]
        if one != two:
            if {one, two} == {"date", "datetime"}:
                raise Untraceable("a date against a datetime has no column form")
            return different
        if self.expression.kind is float and self.expression == operand:
            return built(self._path, f"{name}_itself", self.expression)
        return built(self._path, name, self.expression, operand)

    return apply


def refusing(what: str) -> Callable[..., Any]:
    def refuse(self: Any, *arguments: Any) -> NoReturn:
        raise Untraceable(what)

    return refuse


class Symbol:
    """A value that is another one in each row."""

    __slots__ = ("_path", "expression")
    _penstock_symbolic = True

    def __init__(self, expression: Expression, path: Path) -> None:
        self.expression = expression
        self._path = path

    __add__, __radd__ = _operator("add"), _reflected("add")
    __sub__, __rsub__ = _operator("sub"), _reflected("sub")
    __truediv__, __rtruediv__ = _operator("truediv"), _reflected("truediv")
    __floordiv__, __rfloordiv__ = _operator("floordiv"), _reflected("floordiv")
    __mod__, __rmod__ = _operator("mod"), _reflected("mod")
    __matmul__, __rmatmul__ = __mod__, __rmod__  # as twins have it; see there
    __and__, __rand__ = _operator("and"), _reflected("and")
    __or__, __ror__ = _operator("or"), _reflected("or")
    __xor__, __rxor__ = _operator("xor"), _reflected("xor")
    __lt__, __le__ = _operator("lt"), _operator("le")
    __gt__, __ge__ = _operator("gt"), _operator("ge")
    __eq__, __ne__ = _equality("eq", False), _equality("ne", True)
    __neg__, __abs__ = _unary("neg"), _unary("abs")
    __invert__ = _unary("invert")
    __floor__, __ceil__, __trunc__ = _unary("floor"), _unary("ceil"), _unary("trunc")

    __hash__ = refusing("a value that must be known at once, as a key of a dict or set")
    __index__ = refusing("an index that is another one in each row")
    __int__ = __float__ = __complex__ = __index__
    __iter__ = refusing("iterating over a value of a column")
    __len__ = refusing("a length that must be known at once")
    __repr__ = __str__ = refusing("text that must be known at once")
    __call__ = refusing("calling a value of a column")
    __enter__ = __exit__ = refusing("a with statement")

    def __pos__(self) -> Any:
        return self if self.expression.kind is float else _unary("pos")(self)

    def __mul__(self, other: Any) -> Any:
        return self._times(other, reflected=False)

    def __rmul__(self, other: Any) -> Any:
        return self._times(other, reflected=True)

    def _times(self, other: Any, *, reflected: bool) -> Any:
        kind = self.expression.kind
        if kind is str and type(other) is int:
            return self._method("repeat", (), (other,))
        if type(other) is Symbol and {kind, other.expression.kind} == {str, int}:
            text, times = (self, other) if kind is str else (other, self)
            return text._method("repeat", (times.expression,), ())
        if reflected:
            return _reflected("mul")(self, other)
        return _operator("mul")(self, other)

    def __divmod__(self, other: Any) -> Any:
        return (self // other, self % other)

    def __rdivmod__(self, other: Any) -> Any:
        return (other // self, other % self)

    def __pow__(self, exponent: Any, modulus: Any = None) -> Any:
        return self._shifted("power", exponent, lambda n: 0 <= n < 64 and modulus is None)

    def __lshift__(self, places: Any) -> Any:
        return self._shifted("lshift", places, lambda n: 0 <= n < 63)

    def __rshift__(self, places: Any) -> Any:
        return self._shifted("rshift", places, lambda n: n >= 0)

    def _shifted(self, name: str, by: Any, fits: Callable[[int], bool]) -> Any:
        """Operations whose second operand must be a constant."""
        if (
            type(by) is not int
            or not fits(by)
            or (name == "power" and self.expression.kind is float and by != 2)
        ):
            raise Untraceable(f"{name} of these operands has no column form")
        return built(self._path, name, self.expression, parameters=(by,))

    def __rpow__(self, base: Any) -> Any:
        raise Untraceable("an exponent that is another one in each row")

    __rlshift__ = __rrshift__ = __rpow__

    def __round__(self, digits: Any = None) -> Any:
        if digits is None:
            return built(self._path, "round", self.expression)
        if type(digits) is not int or not 0 <= digits <= 15:
            raise Untraceable("round() to a number of digits that is no constant from 0 to 15")
        return built(self._path, "round_to", self.expression, parameters=(digits,))

    def __bool__(self) -> bool:
        return self._path.decide(truth_of(self).expression)

    def __contains__(self, part: Any) -> bool:
        if self.expression.kind is not str:
            raise Untraceable("in, of what is no text")
        if type(part) is str:
            found = self._method("contains", (), (part,))
        elif type(part) is Symbol:
            found = built(self._path, "contains", self.expression, part.expression)
        else:
            raise Untraceable(f"in, with a {type(part).__name__}")
        return bool(found)

    def __getitem__(self, index: Any) -> Any:
        if self.expression.kind is str:
            if type(index) is int:
                return self._method("item", (), (index,))
            if type(index) is slice and all(type(part) in (int, type(None)) for part in _parts(index)):
                return self._method("slice", (), _parts(index))
        raise Untraceable("an item or slice that is not constant")

    def __format__(self, spec: str) -> str:
        if spec:
            text = built(self._path, "format", self.expression, parameters=(spec,))
        else:
            text = self if self.expression.kind is str else built(self._path, "str", self.expression)
        return self._path.placeholder(text.expression)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return method(self, name)

    def _method(self, name: str, operands: tuple[Expression, ...], parameters: tuple[Any, ...]) -> Symbol:
        return built(self._path, name, self.expression, *operands, parameters=parameters)


def _parts(given: slice) -> tuple[Any, Any, Any]:
    return (given.start, given.stop, given.step)


def truth_of(symbol: Symbol) -> Symbol:
    """Whether the value counts as true."""
    if symbol.expression.kind is bool:
        return symbol
    return built(symbol._path, "truth", symbol.expression)


_TEXT_METHODS: dict[str, int] = {
    "lower": 0, "upper": 0, "title": 0, "capitalize": 0, "swapcase": 0, "casefold": 0,
    "isdigit": 0, "isalpha": 0, "isalnum": 0, "islower": 0, "isupper": 0, "isspace": 0, "isdecimal": 0,
    "isnumeric": 0, "isascii": 0, "istitle": 0, "isprintable": 0, "isidentifier": 0, "index": 1, "rindex": 1,
    "startswith": 1, "endswith": 1, "removeprefix": 1, "removesuffix": 1, "find": 1, "rfind": 1, "count": 1,
    "zfill": 1,
}  # fmt: skip
"""Methods of text that take so many constants, exactly."""
_TIME_FIELDS: dict[type, tuple[str, ...]] = {
    datetime: ("year", "month", "day", "hour", "minute", "second", "microsecond"),
    date: ("year", "month", "day"),
    timedelta: ("days", "seconds", "microseconds"),
}
_TIME_METHODS: dict[type, tuple[str, ...]] = {
    datetime: ("weekday", "isoweekday", "toordinal", "date", "isoformat"),
    date: ("weekday", "isoweekday", "toordinal", "isoformat"),
    timedelta: ("total_seconds",),
}


def method(symbol: Symbol, name: str) -> Any:
    """An attribute of a value: a field, or a method to be called."""
    kind = symbol.expression.kind
    if kind is str and hasattr(str, name):
        return _text_method(symbol, name)
    if name in _TIME_FIELDS.get(kind, ()):
        return built(symbol._path, name, symbol.expression)
    if name in _TIME_METHODS.get(kind, ()):
        return _calling(symbol, name, name, 0)
    if kind in (datetime, date) and name == "replace":
        return _replacing(symbol, f"{kind.__name__}.replace")
    if kind in (datetime, date) and name == "strftime":
        return _calling(symbol, name, name, 1)
    if kind in (int, bool) and name in ("real", "numerator"):
        return +symbol
    if not hasattr(kind, name):
        raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
    raise Untraceable(f"{kind.__name__}.{name} has no column form")


def _calling(symbol: Symbol, kernel: str, name: str, count: int) -> Callable[..., Any]:
    def run(*arguments: Any, **named: Any) -> Any:
        if named or len(arguments) != count or holds_symbols(arguments):
            raise Untraceable(f"{name}() with these arguments has no column form")
        return built(symbol._path, kernel, symbol.expression, parameters=arguments)

    return run


def _text_method(symbol: Symbol, name: str) -> Callable[..., Any]:
    if name in _TEXT_METHODS:
        return _calling(symbol, f"str.{name}", name, _TEXT_METHODS[name])

    def run(*arguments: Any, **named: Any) -> Any:
        if not named and not holds_symbols(arguments):
            if name in ("strip", "lstrip", "rstrip"):
                if not arguments or arguments == (None,):
                    return built(symbol._path, f"str.{name}", symbol.expression)
                if len(arguments) == 1 and type(arguments[0]) is str:
                    return built(symbol._path, f"str.{name}_of", symbol.expression, parameters=arguments)
            if name == "replace" and len(arguments) in (2, 3) and type(arguments[0]) is str:
                return built(symbol._path, "str.replace", symbol.expression, parameters=arguments)
            if name in ("rjust", "ljust", "center") and arguments and type(arguments[0]) is int:
                return built(symbol._path, f"str.{name}", symbol.expression, parameters=arguments)
        if name == "split" and set(named) <= {"sep", "maxsplit"} and not holds_symbols(arguments):
            return SplitText(symbol, *_split_arguments(*arguments, **named))
        raise Untraceable(f"str.{name}() with these arguments has no column form")

    return run


def _split_arguments(sep: Any = None, maxsplit: Any = -1) -> tuple[str | None, int]:
    if not (sep is None or (type(sep) is str and sep)) or type(maxsplit) is not int:
        raise Untraceable("split() with these arguments has no column form")
    return sep, maxsplit


def _replacing(symbol: Symbol, kernel: str) -> Callable[..., Any]:
    def run(*arguments: Any, **named: Any) -> Any:
        if arguments or not named or any(type(value) is not int for value in named.values()):
            raise Untraceable("replace() with these arguments has no column form")
        return built(symbol._path, kernel, symbol.expression, parameters=(tuple(named.items()),))

    return run


class SplitText:
    """What ``text.split(sep)`` gives: so many texts, and how many that are is not known."""

    __slots__ = ("maxsplit", "sep", "text")
    _penstock_symbolic = True

    def __init__(self, text: Symbol, sep: str | None, maxsplit: int) -> None:
        self.text = text
        self.sep = sep
        self.maxsplit = maxsplit

    def __getitem__(self, index: Any) -> Any:
        if type(index) is not int:
            raise Untraceable("an item of split() that is not constant")
        return self.text._method("split_item", (), (self.sep, self.maxsplit, index))

    def length(self) -> Symbol:
        """``len(text.split(sep))``."""
        return self.text._method("split_count", (), (self.sep, self.maxsplit))

    __iter__ = refusing("going through the texts of split(), whose number differs from row to row")
    __repr__ = __str__ = __format__ = __iter__
    __len__ = __bool__ = __eq__ = __contains__ = __add__ = __iter__
    __hash__ = __iter__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Untraceable(f"{name} of what split() gives has no column form")

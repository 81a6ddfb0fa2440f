"""The fields of a record class, as its annotations say.

A record class is a NamedTuple or a plain dataclass. Each field is of one of these classes:

=====================================  ====================================================================
``int``, ``float``, ``Decimal``        numbers in plain decimal notation
``str``                                any text
``bool``                               ``true`` or ``false``, or the two words of :class:`Words`
``datetime``, ``date``                 ISO without zone, or as :class:`Format` says
``Literal["A", "B"]``, ``Literal[1]``  one of these
``X | None``                           one of the above, or ``None`` where the field is empty
=====================================  ====================================================================
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from penstock.chunk.records import record_fields
from penstock.chunk.row_types import Optional, Record, RowType, Scalar
from penstock.errors import ArgumentError, RowTypeError, SignatureError
from penstock.formats.kinds import Choice, Decimals, Floats, Kind, Texts, WholeNumbers
from penstock.formats.moments import Dates, Moments, WrittenMoments, format_problem
from penstock.values import dataclass

__all__ = ["Field", "Format", "Words", "fields_of", "row_type_of_fields"]


@dataclass(frozen=True)
class Words:
    """How a ``bool`` is written: ``Annotated[bool, Words("B", "S")]`` is true for ``B``, false for ``S``.

    >>> Words("yes", "no")
    Words(true='yes', false='no')
    """

    true: str
    false: str


@dataclass(frozen=True)
class Format:
    """How a ``datetime`` or ``date`` is written: ``Annotated[date, Format("%d.%m.%Y")]``.

    The parts are ``%Y %m %d %H %M %S %f``, of four, two, and (``%f``) one to six digits; ``%%`` is a per cent
    sign. Year, month and day must be there.

    >>> Format("%d/%m/%Y %H:%M")
    Format(text='%d/%m/%Y %H:%M')
    """

    text: str


@dataclass(frozen=True)
class Field:
    """A field of a record class: what its texts mean, and whether it may be empty."""

    name: str
    kind: Kind
    optional: bool


def fields_of(
    cls: type, words: Mapping[str, tuple[str, str]] | None, formats: Mapping[str, str] | None, operation: str
) -> tuple[Field, ...]:
    """The fields of a record class, in order; ``words`` and ``formats`` say what the annotations do not.

    Raises: :class:`SignatureError` for a class that is none, or a field that no text can become;
    :class:`ArgumentError` for words and formats that cannot be meant.
    """
    if not isinstance(cls, type):
        raise SignatureError(f"{operation} needs a record class, not {cls!r}. Hint: a NamedTuple.")
    try:
        names = record_fields(cls)
    except RowTypeError as problem:
        raise SignatureError(f"{operation} cannot make records of {cls.__qualname__}: {problem}") from None
    if not names:
        raise SignatureError(f"{operation} needs a record class with fields: {cls.__qualname__} has none")
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as problem:  # the text of an annotation can be anything
        raise SignatureError(f"an annotation of {cls.__qualname__} cannot be read: {problem}") from problem
    given: dict[str, list[Words | Format]] = {name: [] for name in names}
    for name, option in _options(words, formats, operation):
        if name not in given:
            raise ArgumentError(
                f"{operation} is told about {name!r}, which is no field of {cls.__qualname__}"
            )
        given[name].append(option)
    return tuple(_field(cls, name, hints.get(name), given[name], operation) for name in names)


def _options(
    words: Mapping[str, tuple[str, str]] | None, formats: Mapping[str, str] | None, operation: str
) -> Iterator[tuple[str, Words | Format]]:
    for name, pair in (words or {}).items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise SignatureError(f"words of {name} for {operation} should be (true, false), not {pair!r}")
        yield name, Words(*pair)
    for name, text in (formats or {}).items():
        yield name, Format(text)


def _field(cls: type, name: str, annotation: Any, options: list[Words | Format], operation: str) -> Field:
    def problem(what: str, hint: str = "") -> SignatureError:
        way_out = f" Hint: {hint}." if hint else ""
        return SignatureError(f"{operation}: the field {name} of {cls.__qualname__} {what}.{way_out}")

    if annotation is None:
        raise problem("has no annotation", f"say {name}: str")
    optional = False
    while True:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            options = [*options, *(each for each in arguments[1:] if isinstance(each, (Words, Format)))]
            annotation = arguments[0]
        elif origin is typing.Union or origin is types.UnionType:
            kept = [each for each in arguments if each is not type(None)]
            if len(kept) != 1 or len(kept) == len(arguments):
                raise problem(f"is {annotation}: only one class, or one and None, will do")
            annotation, optional = kept[0], True
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            break
    if len(options) > 1:
        raise ArgumentError(
            f"{operation} is told twice how the field {name} of {cls.__qualname__} is written"
        )
    option = options[0] if options else None
    if isinstance(option, Words) and annotation is not bool:
        raise problem("has words for true and false, but is no bool")
    if isinstance(option, Format) and annotation not in (date, datetime):
        raise problem("has a format, but is neither a datetime nor a date")
    if origin is typing.Literal:
        kinds = {type(each) for each in arguments}
        if kinds != {str} and kinds != {int}:
            raise problem(f"is {annotation}: its values should all be strings, or all be numbers")
        _must_be_words([str(each) for each in arguments], name, operation)
        return Field(name, Choice({str(each): each for each in arguments}), optional)
    if annotation is bool:
        word = option if isinstance(option, Words) else Words("true", "false")
        _must_be_words([word.true, word.false], name, operation)
        return Field(name, Choice({word.true: True, word.false: False}), optional)
    if isinstance(option, Format):
        wrong = format_problem(option.text, annotation) if isinstance(option.text, str) else "it is no text"
        if wrong:
            raise ArgumentError(f"the format {option.text!r} of {name} for {operation} will not do: {wrong}")
        return Field(name, WrittenMoments(option.text, annotation), optional)
    made = _KINDS.get(annotation)
    if made is None:
        shown = getattr(annotation, "__qualname__", annotation)
        raise problem(
            f"is of the class {shown}, which no text becomes",
            "int, float, str, bool, datetime, date, Decimal, Literal, or one of these or None",
        )
    return Field(name, made(), optional)


def _must_be_words(words: list[str], name: str, operation: str) -> None:
    for word in words:
        if not isinstance(word, str) or not word or any(each in word for each in '"\r\n'):
            raise ArgumentError(
                f"{word!r} cannot stand for a value of {name} in {operation}: a word is a text that is not "
                f"empty, without quotes and line ends"
            )
    if len(set(words)) < len(words):
        raise ArgumentError(f"{operation} cannot tell the values of {name} apart: {', '.join(words)}")


_KINDS: dict[Any, type[Kind]] = {
    int: WholeNumbers,
    float: Floats,
    str: Texts,
    datetime: Moments,
    date: Dates,
    Decimal: Decimals,
}


def row_type_of_fields(cls: type, fields: tuple[Field, ...]) -> RowType | None:
    """How records with these fields look as columns; ``None`` if a field has no column."""
    parts: list[tuple[str, RowType]] = []
    for field in fields:
        if field.kind.leaf_type is None:
            return None
        inner = Scalar(field.kind.leaf_type)
        parts.append((field.name, Optional(inner) if field.optional else inner))
    return Record(cls, tuple(parts))

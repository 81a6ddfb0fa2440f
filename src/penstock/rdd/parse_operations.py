"""Typed input: lines of text become records of a class, and the lines that are none are not lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from penstock.formats import CsvFormat, JsonFormat, LineFormat
from penstock.rdd.handle import Handle
from penstock.rdd.parsing import Parse, parsed, rejects_of

__all__ = ["ParseOperations"]


class ParseOperations(Handle):
    """Parsing of lines: ``str``, ``bytes``, ``SourceLine``; those of files never become Python strings."""

    __slots__ = ()

    def parseCsv(
        self,
        cls: type,
        *,
        onError: str = "quarantine",
        sep: str = ",",
        header: bool = False,
        words: Mapping[str, tuple[str, str]] | None = None,
        formats: Mapping[str, str] | None = None,
        check: Callable[[Any], Any] | None = None,
    ) -> Self:
        """Each line as a record of ``cls``, a NamedTuple or dataclass of ``int``, ``float``, ``str``,
        ``bool``, ``datetime``, ``date``, ``Decimal``, ``Literal`` or one of these or ``None``; strict, as
        ``docs/formats.md`` says.

        ``onError``: ``quarantine`` puts lines that are no record into ``.rejects``, ``drop`` forgets them,
        ``fail`` raises ``DataError`` at the first. ``header=True`` skips lines that are the fields' names.
        ``words={"buy": ("B", "S")}`` says how a bool is written, ``formats={"day": "%d.%m.%Y"}`` a time.
        ``check(record)`` is a further rule: a record for which it is false is refused.

        >>> from typing import NamedTuple
        >>> class Order(NamedTuple):
        ...     id: int
        ...     price: float
        >>> orders = sc.parallelize(["1,51.00", "2,x"]).parseCsv(Order)
        >>> orders.collect(), orders.rejects.map(lambda reject: reject.text).collect()
        ([Order(id=1, price=51.0)], ['2,x'])
        """
        format = CsvFormat(cls, sep=sep, header=header, words=words, formats=formats)
        return self._parsed(format, onError, check, "parseCsv")

    def parseJson(
        self,
        cls: type,
        *,
        onError: str = "quarantine",
        unknown: str = "refuse",
        words: Mapping[str, tuple[str, str]] | None = None,
        formats: Mapping[str, str] | None = None,
        check: Callable[[Any], Any] | None = None,
    ) -> Self:
        """Each line, a JSON object, as a record of ``cls``; classes and arguments as for ``parseCsv``.

        ``unknown``: ``refuse`` refuses a line with a name that is no field (a misspelled name would make an
        optional field ``None`` in silence), ``ignore`` ignores the name.

        >>> from typing import NamedTuple
        >>> class Order(NamedTuple):
        ...     id: int
        >>> sc.parallelize(['{"id": 1}', '{"id": 1.0}']).parseJson(Order, onError="drop").collect()
        [Order(id=1)]
        """
        format = JsonFormat(cls, unknown=unknown, words=words, formats=formats)
        return self._parsed(format, onError, check, "parseJson")

    @property
    def rejects(self) -> Self:
        """The lines that ``parseCsv`` or ``parseJson`` refused, as ``Reject(source, number, text, reason)``.

        ``StateError`` for any other RDD, and with another ``onError`` than ``quarantine``. An RDD keeps
        nothing by itself: who reads both the records and the rejects has the lines parsed twice.

        >>> from typing import NamedTuple
        >>> class Order(NamedTuple):
        ...     id: int
        >>> sc.parallelize(["x"]).parseCsv(Order).rejects.map(lambda reject: reject.reason).collect()
        ["field 1 (id) is 'x': must be a whole number, such as 710 or -5"]
        """
        return self._derive(rejects_of(self.plan, self._site("rejects")))

    def _parsed(
        self, format: LineFormat, on_error: str, check: Callable[[Any], Any] | None, operation: str
    ) -> Self:
        return self._derive(parsed(self.plan, Parse(format, on_error, check, self._site(operation))))

"""Typed input of streams: one parse a batch, read by the records and by the rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from penstock.dstream.handle import Handle
from penstock.dstream.inputs import Input
from penstock.dstream.node import StreamNode, Transformed
from penstock.errors import CallSite, StateError
from penstock.formats import CsvFormat, JsonFormat, LineFormat
from penstock.plan import Narrow, call_site
from penstock.rdd import RDD, Accepted, Parse, Rejected, no_rejects

__all__ = ["Parsing", "Records"]


class Parsed(Transformed):
    """The lines of a batch, parsed: records and rejects in one. Runs no code of the user's but ``check``."""

    def __init__(self, dependency: StreamNode, step: Parse) -> None:
        super().__init__(
            step.site,
            (dependency,),
            lambda time, rdds: _through(rdds[0], Narrow(step.site, rdds[0].plan, step)),
        )
        self.eager = step.is_pure


class Records(Transformed):
    """The records of a parse, or of an input that may refuse something, without the rejects."""

    def __init__(self, site: CallSite, dependency: StreamNode) -> None:
        super().__init__(
            site, (dependency,), lambda time, rdds: _through(rdds[0], Narrow(site, rdds[0].plan, Accepted()))
        )


def _through(rdd: RDD, plan: Narrow) -> RDD:
    return RDD(plan, rdd.context)


class Parsing(Handle):
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
        ``docs/formats.md`` says. All arguments are those of ``RDD.parseCsv``.

        >>> from typing import NamedTuple
        >>> class Order(NamedTuple):
        ...     id: int
        ...     price: float
        >>> run_batches([["1,51.00", "2,x"], []], lambda lines: lines.parseCsv(Order))
        [[Order(id=1, price=51.0)], []]
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
        """Each line, a JSON object, as a record of ``cls``. All arguments are those of ``RDD.parseJson``.

        >>> from typing import NamedTuple
        >>> class Order(NamedTuple):
        ...     id: int
        >>> run_batches([['{"id": 1}', "[]"]], lambda lines: lines.parseJson(Order))
        [[Order(id=1)]]
        """
        format = JsonFormat(cls, unknown=unknown, words=words, formats=formats)
        return self._parsed(format, onError, check, "parseJson")

    @property
    def rejects(self) -> Self:
        """The lines that ``parseCsv`` or ``parseJson`` refused, as ``Reject(source, number, text, reason)``.
        A batch's lines are parsed once for the records and the rejects. Of ``ssc.binaryRecordsStream`` and
        ``ssc.fileStream`` what is no record in their files.

        ``StateError`` for any other stream, and with another ``onError`` than ``quarantine``.

        >>> from typing import NamedTuple
        >>> class Order(NamedTuple):
        ...     id: int
        >>> run_batches([["1", "x"]], lambda lines: lines.parseCsv(Order).rejects.map(lambda r: r.text))
        [['x']]
        """
        site = call_site("rejects")
        if not isinstance(self._node, Records):
            raise StateError(no_rejects(site))
        return self._derive(
            Transformed(
                site,
                self._node.dependencies,
                lambda time, rdds: _through(rdds[0], Narrow(site, rdds[0].plan, Rejected())),
            )
        )

    @property
    def _named_node(self) -> StreamNode:
        node = self._node
        of_input = isinstance(node, Records) and isinstance(node.dependencies[0], Input)
        return node.dependencies[0] if of_input else node.named

    def _parsed(
        self, format: LineFormat, on_error: str, check: Callable[[Any], Any] | None, operation: str
    ) -> Self:
        site = call_site(operation)
        node = Parsed(self._node, Parse(format, on_error, check, site))
        return self._derive(Records(site, node) if on_error == "quarantine" else node)

"""The dashboard on Bytewax: a dataflow of one worker, with lines as items.

Lines are parsed one by one, as items are in Bytewax. What is keyed are sums of a file and not orders: a
shuffle costs, and the figures need all keys in one place. The end of a file is an item of its own, so that
nothing depends on how Bytewax cuts items into batches. Nothing is written for recovery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeGuard

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from benchmarks.dashboard import Figured, Report, lines_of, rejects_file, write_rejects, write_report
from benchmarks.peers.lines import MalformedOrder, Order, parse_order


class Line(NamedTuple):
    """A line of a file, numbered from 1; number 0 says that the file is over."""

    file: str
    number: int
    text: str


class Refused(NamedTuple):
    """A line that is no order."""

    line: Line


Item = Order | Refused | Line


def run(directory: Path, output: Path) -> None:
    """All files of ``directory``, one after the other."""
    flow = Dataflow("dashboard")
    lines = op.input("lines", flow, _Files(directory))
    read = op.map("parse", lines, _parsed)
    told = op.branch("refused", read, _is_refused)
    op.output("rejects", told.trues, _Rejects(output))
    summed = op.flat_map_batch("sum", told.falses, _Summed())
    keyed = op.key_on("together", summed, lambda sums: "all")
    figured = op.stateful_map("figures", keyed, _figured)
    op.output("reports", op.key_rm("reports alone", figured), _Reports(output))
    run_main(flow)  # type: ignore[no-untyped-call]


def _is_refused(item: Item) -> TypeGuard[Refused]:
    return isinstance(item, Refused)


def _parsed(line: Line) -> Item:
    if not line.number:
        return line
    try:
        return parse_order(line.text)
    except MalformedOrder:
        return Refused(line)


class _Sums(NamedTuple):
    sides: Counter[str]
    clients: Counter[int]
    symbols: Counter[str]


class _Summed:
    """The sums of each file, once it is over; Bytewax calls it with items in their order."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._sums = _Sums(Counter(), Counter(), Counter())

    def __call__(self, items: list[Item]) -> Iterator[_Sums]:
        sides, clients, symbols = self._sums
        for item in items:
            if isinstance(item, Order):
                sides["B" if item.buy else "S"] += 1
                clients[item.client_id] += item.amount * round(item.price * 100)
                symbols[item.symbol] += item.amount
            else:
                yield self._sums
                self._begin()
                sides, clients, symbols = self._sums


def _figured(state: Figured | None, sums: _Sums) -> tuple[Figured, Report]:
    state = state or Figured()
    return state, state.after(*sums)


class _Files(FixedPartitionedSource[Line, None]):
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def list_parts(self) -> list[str]:
        return ["all"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _FilesInTurn:
        return _FilesInTurn(self._directory)


class _FilesInTurn(StatefulSourcePartition[Line, None]):
    def __init__(self, directory: Path) -> None:
        self._files = iter(sorted(directory.iterdir()))

    def next_batch(self) -> Iterable[Line]:
        file = next(self._files)  # StopIteration ends the input
        lines = [Line(file.name, at, text) for at, text in enumerate(lines_of(file.read_bytes()), 1)]
        return [*lines, Line(file.name, 0, "")]

    def snapshot(self) -> None:
        return None


class _Rejects(DynamicSink[Refused]):
    def __init__(self, output: Path) -> None:
        self._output = output

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _RejectsFile:
        return _RejectsFile(self._output)


class _RejectsFile(StatelessSinkPartition[Refused]):
    def __init__(self, output: Path) -> None:
        self._file = rejects_file(output)

    def write_batch(self, items: list[Refused]) -> None:
        for (line,) in items:
            write_rejects(self._file, line.file, [(line.number, line.text)])

    def close(self) -> None:
        self._file.close()


class _Reports(DynamicSink[Report]):
    def __init__(self, output: Path) -> None:
        self._output = output

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _ReportFiles:
        return _ReportFiles(self._output)


class _ReportFiles(StatelessSinkPartition[Report]):
    def __init__(self, output: Path) -> None:
        self._output = output
        self._number = 0

    def write_batch(self, items: list[Report]) -> None:
        for report in items:
            write_report(self._output, self._number, report)
            self._number += 1

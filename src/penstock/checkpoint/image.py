"""What a checkpoint says: the records of its files, one after the other, and what they come to.

==========  =====================================================================================
``kind``    what it says
==========  =====================================================================================
claim       a run will begin
begin       a run begins, or goes on: the program's operators and inputs, where each input is
intent      what belongs to a batch that has been planned
commit      a batch is over: what it has changed in tables, the new slides of windows, lost outputs
image       what all records before come to, without tables and slides, which follow it
table       the table of one partition of an operator
slide       what a stream held in one batch
end         the image is whole
==========  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from typing import Any

from penstock.chunk import Chunk
from penstock.encoding import Frame, Plain, Trust, decoded
from penstock.errors import CorruptCheckpoint
from penstock.state import TableChange, change_in, change_out, changed, chunk_out
from penstock.values import dataclass

__all__ = [
    "Commit",
    "Image",
    "InputRecord",
    "OperatorRecord",
    "Plain",
    "Record",
    "StoredSlide",
    "begin_record",
    "intent_record",
]

Record = tuple[dict[str, Any], list[Any]]
"""The head of a frame and its parts, ready to be written."""


@dataclass(frozen=True)
class OperatorRecord:
    """One stream whose data lives on from batch to batch.

    ``kind`` is ``table`` (states by key) or ``slides`` (what windows read of it); ``operation`` and ``where``
    say which line of the program made it; ``remember_ms`` is for how long slides are needed.
    """

    kind: str
    operation: str
    where: str
    partitions: int
    remember_ms: int = 0


@dataclass(frozen=True)
class InputRecord:
    """One input: its source by name, and where that was when the run began."""

    source: str
    operation: str
    where: str
    position: Any = None


@dataclass
class Commit:
    """What a batch leaves behind. ``slides`` hold the chunks of each partition; ``lost`` the outputs that
    were given up, with what is needed to write them again. ``given_up``: the batch was, maybe with all its
    outputs done."""

    time: int
    tables: dict[str, list[TableChange]] = field(default_factory=dict)
    slides: dict[str, list[list[Chunk]]] = field(default_factory=dict)
    lost: list[dict[str, Any]] = field(default_factory=list)
    given_up: bool = False

    def record(self) -> Record:
        """As it is written."""
        parts: list[Any] = []
        tables = [
            {"name": name, "partition": index, "of": len(changes), **change_out(change, parts)}
            for name, changes in self.tables.items()
            for index, change in enumerate(changes)
        ]
        slides = [
            {
                "name": name,
                "chunks": [[chunk_out(chunk, parts) for chunk in chunks] for chunks in partitions],
            }
            for name, partitions in self.slides.items()
        ]
        head = {"kind": "commit", "time": self.time, "tables": tables, "slides": slides, "lost": self.lost}
        if self.given_up:
            head["given_up"] = True
        return head, parts


@dataclass(frozen=True)
class _StoredTable:
    """A change of a table as it was read: nothing in it is decoded yet."""

    head: dict[str, Any]
    parts: list[bytes]

    def decoded(self, trust: Trust) -> TableChange:
        return change_in(self.head, self.parts, trust)


@dataclass(frozen=True)
class StoredSlide:
    """What a stream held in a batch, as it was read."""

    heads: list[list[dict[str, Any]]]
    parts: list[bytes]

    def decoded(self, trust: Trust) -> list[list[Chunk]]:
        """The chunks of each partition."""
        return [[decoded(head, self.parts[head["part"]], trust) for head in heads] for heads in self.heads]


class Image:
    """What the records up to one of them come to.

    ``run`` is the name under which outputs are written, the same for all runs that go on from one another.
    ``zero_ms`` is the moment from which slides are counted. ``last_ms`` is the newest batch time that was
    planned, ``committed_ms`` the newest that is over; ``planned`` are the intents of batches that are not
    over.
    """

    def __init__(self) -> None:
        self.run = ""
        self.interval_ms = 0
        self.zero_ms = 0
        self.last_ms: int | None = None
        self.committed_ms: int | None = None
        self.batches = 0
        self.runs = 0
        self.operators: dict[str, OperatorRecord] = {}
        self.inputs: dict[str, InputRecord] = {}
        self.planned: dict[int, dict[str, Any]] = {}
        self.taken: dict[str, list[Any]] = {}  # by input, the intents since the newest position
        self.lost: list[dict[str, Any]] = []
        self.given_up: list[int] = []  # the times of batches that were, with or without outputs that are lost
        self._tables: dict[tuple[str, int], list[_StoredTable]] = {}
        self._slides: dict[str, dict[int, StoredSlide]] = {}

    # Reading

    def apply(self, frame: Frame) -> None:
        """One record more. ``CorruptCheckpoint`` for one that says nothing this version understands."""
        head = frame.head
        reader = {
            "claim": lambda head, parts: None,
            "begin": self._begin,
            "intent": self._intent,
            "commit": self._commit,
            "image": self._image,
            "table": self._table,
            "slide": self._slide,
        }.get(head["kind"])
        if reader is None:
            raise CorruptCheckpoint(f"a record of the unknown kind {head['kind']!r}")
        reader(head, frame.parts)

    def _begin(self, head: dict[str, Any], parts: list[memoryview]) -> None:
        self.run = head["run"]
        self.interval_ms = head["interval"]
        self.zero_ms = head["zero"]
        self.operators = {name: OperatorRecord(**each) for name, each in head["operators"].items()}
        self.inputs = {name: InputRecord(**each) for name, each in head["inputs"].items()}
        self.taken = {}
        self.runs += 1
        tables = {key: stored for key, stored in self._tables.items() if key[0] in self.operators}
        self._tables = {key: [*stored, _closing(stored)] for key, stored in tables.items()}
        self._slides = {name: held for name, held in self._slides.items() if name in self.operators}
        for intents in self.planned.values():
            for name in intents.keys() - self.inputs.keys():
                del intents[name]

    def _intent(self, head: dict[str, Any], parts: list[memoryview]) -> None:
        time = head["time"]
        self.planned[time] = head["inputs"]
        self.last_ms = time if self.last_ms is None else max(self.last_ms, time)
        for name, intent in head["inputs"].items():
            self.taken.setdefault(name, []).append(intent)
        for name, position in head.get("positions", {}).items():
            old = self.inputs[name]
            self.inputs[name] = InputRecord(old.source, old.operation, old.where, position)
            self.taken[name] = []

    def _commit(self, head: dict[str, Any], parts: list[memoryview]) -> None:
        time = head["time"]
        if self.committed_ms is not None and time <= self.committed_ms:
            return  # said twice, as the first time seemed to have failed
        self.committed_ms = time
        self.last_ms = time if self.last_ms is None else max(self.last_ms, time)
        self.planned.pop(time, None)
        self.batches += 1
        self.lost = [*self.lost, *head["lost"]][-_MOST_LOST:]
        if head.get("given_up") or head["lost"]:
            self.given_up = [*self.given_up, time][-_MOST_LOST:]
        for table in head["tables"]:
            self._table({**table, "time": time}, parts)
        for slide in head["slides"]:
            self._slide({**slide, "time": time}, parts)
        for name, held in self._slides.items():
            reach = self.operators[name].remember_ms if name in self.operators else 0
            for old in [at for at in held if at <= time - reach]:
                del held[old]

    def _image(self, head: dict[str, Any], parts: list[memoryview]) -> None:
        for name in _FIGURES:
            setattr(self, name, head[name])
        self.given_up = head.get("given_up", sorted({entry["time"] for entry in self.lost}))
        self.operators = {name: OperatorRecord(**each) for name, each in head["operators"].items()}
        self.inputs = {name: InputRecord(**each) for name, each in head["inputs"].items()}
        self.planned = {int(time): intents for time, intents in head["planned"].items()}

    def _table(self, head: dict[str, Any], parts: list[memoryview]) -> None:
        numbers = iter(range(len(parts)))
        places: dict[int, int] = {}
        for at in (*head["numbers"], *(chunk["part"] for chunk in head["chunks"])):
            if at is not None:
                places[at] = next(numbers)
        own = {
            **head,
            "numbers": [None if at is None else places[at] for at in head["numbers"]],
            "chunks": [{**chunk, "part": places[chunk["part"]]} for chunk in head["chunks"]],
        }
        stored = _StoredTable(own, [bytes(parts[at]) for at in places])
        name, index = head["name"], head["partition"]
        known = self._tables.setdefault((name, index), [])
        if head["whole"]:  # by as many partitions as there are now, each at once with the others
            known.clear()
            for key in [key for key in self._tables if key[0] == name and key[1] >= head["of"]]:
                del self._tables[key]
        known.append(stored)

    def _slide(self, head: dict[str, Any], parts: list[memoryview]) -> None:
        own: list[bytes] = []
        heads: list[list[dict[str, Any]]] = []
        for chunks in head["chunks"]:
            heads.append([])
            for chunk in chunks:
                heads[-1].append({**chunk, "part": len(own)})
                own.append(bytes(parts[chunk["part"]]))
        self._slides.setdefault(head["name"], {})[head["time"]] = StoredSlide(heads, own)

    # Writing

    def records(self, trust: Trust) -> Iterator[Record]:
        """All of it, as a reader who begins here wants it."""
        head: dict[str, Any] = {name: getattr(self, name) for name in _FIGURES}
        head["kind"] = "image"
        head["given_up"] = self.given_up
        head["operators"] = {name: asdict(each) for name, each in self.operators.items()}
        head["inputs"] = {name: asdict(each) for name, each in self.inputs.items()}
        head["planned"] = {str(time): intents for time, intents in self.planned.items()}
        yield head, []
        for name, index in sorted(self._tables):
            parts: list[Any] = []
            change = changed([each.decoded(trust) for each in self._tables[name, index]], close=False)
            head = {"kind": "table", "name": name, "partition": index, "of": index + 1}
            head["time"] = self.tables_at(name)
            yield {**head, **change_out(change, parts)}, parts
        for name, held in self._slides.items():
            for time, slide in held.items():
                yield {"kind": "slide", "name": name, "time": time, "chunks": slide.heads}, list(slide.parts)
        yield {"kind": "end"}, []

    # What is in it

    def tables(self, name: str, trust: Trust) -> list[TableChange]:
        """The table of each partition of an operator, without holes."""
        indexes = sorted(index for known, index in self._tables if known == name)
        return [
            changed([each.decoded(trust) for each in self._tables[name, index]], close=True)
            for index in indexes
        ]

    def tables_at(self, name: str) -> int:
        """The batch time of the version that an operator's tables are."""
        times: list[int] = [
            held[-1].head["time"] for (known, _), held in self._tables.items() if known == name
        ]
        return max(times)

    def table_sizes(self, name: str) -> tuple[int, int]:
        """Slots and bytes of an operator's tables, without decoding them."""
        held = [stored for (known, _), stored in self._tables.items() if known == name]
        size = sum(len(part) for stored in held for each in stored for part in each.parts)
        return sum(stored[-1].head["length"] for stored in held), size

    def slides(self, name: str) -> Mapping[int, StoredSlide]:
        """What a stream held, by batch time."""
        return self._slides.get(name, {})


_MOST_LOST = 10_000  # outputs that were given up; of so many the oldest are of no use to anybody

_FIGURES = ("run", "interval_ms", "zero_ms", "last_ms", "committed_ms", "batches", "runs", "taken", "lost")


def _closing(stored: Sequence[_StoredTable]) -> _StoredTable:
    """The change that closes up all holes: who reads the table numbers its slots anew."""
    length = stored[-1].head["length"]
    times = None if stored[-1].head["numbers"][1] is None else 0
    head = {"numbers": [0, times, None], "length": length, "chunks": [], "whole": False, "closes": True}
    head["time"] = stored[-1].head["time"]
    return _StoredTable(head, [b""])


def begin_record(
    run: str,
    interval_ms: int,
    zero_ms: int,
    operators: Mapping[str, OperatorRecord],
    inputs: Mapping[str, InputRecord],
    **more: Any,
) -> Record:
    """A run begins, or goes on: what is kept of before is what has the name of one of its operators."""
    head = {
        "kind": "begin",
        "run": run,
        "interval": interval_ms,
        "zero": zero_ms,
        "operators": {name: asdict(each) for name, each in operators.items()},
        "inputs": {name: asdict(each) for name, each in inputs.items()},
        **more,
    }
    return head, []


def intent_record(time: int, inputs: Mapping[str, Any], positions: Mapping[str, Any] | None = None) -> Record:
    """What belongs to a batch: of each input what :func:`intent_out` gives."""
    head = {"kind": "intent", "time": time, "inputs": dict(inputs)}
    if positions:
        head["positions"] = dict(positions)
    return head, []

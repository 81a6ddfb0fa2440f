"""Blocks: what a receiver has stored, a partition of a batch each; in memory, in a file, or in both."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, BinaryIO, Protocol

from penstock.chunk import CHUNK_ROWS, Chunk, Lines, Rows, RowType
from penstock.encoding import PREAMBLE, Frame, Frames, Plain, Trust, decoded, encoded, framed, pickled
from penstock.errors import CorruptCheckpoint
from penstock.plan import PartitionReader, Task
from penstock.values import dataclass

__all__ = [
    "Block",
    "BlockReader",
    "Notes",
    "Place",
    "Refusal",
    "Spill",
    "block_in",
    "block_out",
    "chunks_in",
    "drop_unwritable",
]

Refusal = tuple[str, int, str, str]
"""A line that was not taken: source, number, the beginning of its text, why. The fields of a ``Reject``."""

_MOST_REFUSALS = 100  # that one block keeps; all are counted
_SPILL_BYTES = 64 << 20  # of a temporary file, before the next is begun


@dataclass
class Notes:
    """What there is to say of received text: stretches that were not UTF-8, lines that were too long."""

    bad_utf8: int = 0
    too_long: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def add(self, other: Notes) -> None:
        """Put two into one; of the refused lines the first ones are kept."""
        self.bad_utf8 += other.bad_utf8
        self.too_long += other.too_long
        self.refused += other.refused[: _MOST_REFUSALS - len(self.refused)]

    def told(self) -> dict[str, Any]:
        """As the metadata of a batch has them; what is nothing is left out."""
        found = {"bad_utf8": self.bad_utf8, "too_long": self.too_long, "rejects": list(self.refused)}
        return {name: value for name, value in found.items() if value}


class Place(Protocol):
    """Where in a file a block lies."""

    def read(self) -> list[Chunk]:
        """Its chunks, which are the caller's."""

    def forget(self) -> None:
        """Nobody will read it again."""


@dataclass(eq=False)
class Block:
    """Records that were stored together. ``nbytes`` is about what they take in memory; ``metadata`` what the
    receiver gave with them. ``number`` counts the stored blocks of an input. ``over``: its batch is."""

    chunks: list[Chunk] | None
    records: int
    nbytes: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    number: int = -1
    place: Place | None = None
    over: bool = False

    def read(self) -> Iterator[Chunk]:
        """The chunks; they are the caller's."""
        held = self.chunks
        if held is not None:
            for chunk in held:
                yield chunk.isolated()
            return
        assert self.place is not None
        yield from self.place.read()


class BlockReader(PartitionReader):
    """The records of a block."""

    __slots__ = ("_block", "_row_type")

    def __init__(self, block: Block, row_type: RowType | None) -> None:
        self._block = block
        self._row_type = row_type

    def read(self, task: Task) -> Iterator[Chunk]:
        for chunk in self._block.read():
            if isinstance(chunk, Lines):
                yield from chunk.pieces(CHUNK_ROWS)
            elif len(chunk) <= CHUNK_ROWS:
                yield chunk
            else:
                for at in range(0, len(chunk), CHUNK_ROWS):
                    yield chunk.slice(at, at + CHUNK_ROWS)

    @property
    def travels(self) -> bool:
        return False  # blocks are in the memory of the process that receives them

    @property
    def rows_hint(self) -> int:
        return self._block.records

    @property
    def bytes_hint(self) -> int:
        return self._block.nbytes

    @property
    def row_type(self) -> RowType | None:
        return self._row_type


# ------------------------------------------------------------------------------------- as bytes


def block_out(block: Block) -> bytes:
    """A block as a frame."""
    assert block.chunks is not None
    heads, parts = [], []
    for chunk in block.chunks:
        head, part = encoded(chunk)
        heads.append(head)
        parts.append(part)
    head = {
        "kind": "block",
        "number": block.number,
        "records": block.records,
        "bytes": block.nbytes,
        "metadata": Plain.write(dict(block.metadata)),
        "notes": [block.notes.bad_utf8, block.notes.too_long, Plain.write(block.notes.refused)],
        "chunks": heads,
    }
    return framed(head, parts)


def drop_unwritable(block: Block) -> int:
    """Leave those records of a block out that have no form as bytes; how many they are."""
    assert block.chunks is not None
    chunks: list[Chunk] = []
    for chunk in block.chunks:
        kept = Rows([row for row in chunk.rows() if _is_writable(row)]) if isinstance(chunk, Rows) else chunk
        if len(kept):
            chunks.append(kept)
    dropped = block.records - sum(map(len, chunks))
    block.chunks = chunks
    block.records -= dropped
    return dropped


def _is_writable(record: Any) -> bool:
    try:
        pickled(record)
    except MemoryError:
        raise
    except Exception:
        return False
    return True


def block_in(frame: Frame, place: Place, trust: Trust) -> Block:
    """The block of a frame, without its chunks."""
    head = frame.head
    bad_utf8, too_long, refused = head["notes"]
    return Block(
        None,
        head["records"],
        head["bytes"],
        Plain.read(head["metadata"], trust),
        Notes(bad_utf8, too_long, Plain.read(refused, trust)),
        head["number"],
        place,
    )


def chunks_in(data: bytes, name: str, trust: Trust) -> list[Chunk]:
    """The chunks of the one frame that ``data`` is. ``CorruptCheckpoint`` if it is not whole."""
    frames = Frames(PREAMBLE + data, name)
    for frame in frames:
        return [
            decoded(head, part, trust) for head, part in zip(frame.head["chunks"], frame.parts, strict=True)
        ]
    raise CorruptCheckpoint(frames.damage or f"{name} does not hold the block that it should")


# ------------------------------------------------------------------------------ temporary files


class Spill:
    """Blocks for which there is no room in memory, in temporary files without a name: whatever becomes of
    the process, nothing is left of them. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: _SpillFile | None = None
        self._files: set[_SpillFile] = set()

    def write(self, block: Block) -> Place:
        """Put a block into a file. Raises ``OSError`` if there is no room there either."""
        data = block_out(block)
        with self._lock:
            if self._file is None or self._file.size >= _SPILL_BYTES:
                before, self._file = self._file, _SpillFile(self)
                self._files.add(self._file)
                if before is not None:
                    before.close_if_unused()
            file = self._file
            start = file.size
            file.write(data)
            file.left += 1
            return _Spilled(file, start, start + len(data))

    def forget(self, file: _SpillFile) -> None:
        """One block less is in a file; one without blocks is gone, unless more will come."""
        with self._lock:
            file.left -= 1
            if file is not self._file:
                file.close_if_unused()

    def close(self) -> None:
        """Give all files back."""
        with self._lock:
            for file in self._files:
                file.close()
            self._files.clear()
            self._file = None


class _SpillFile:
    def __init__(self, spill: Spill) -> None:
        self.spill = spill
        self.size = 0
        self.left = 0
        import tempfile

        self._file: BinaryIO = tempfile.TemporaryFile(prefix="penstock-blocks-", buffering=0)  # noqa: SIM115
        self._lock = threading.Lock()  # of where the file is read and written

    def write(self, data: bytes) -> None:
        with self._lock:
            self._file.seek(self.size)
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        self.size += len(data)

    def read(self, start: int, stop: int) -> bytes:
        pieces, at = [], start
        with self._lock:
            self._file.seek(start)
            while at < stop and (piece := self._file.read(stop - at)):
                pieces.append(piece)
                at += len(piece)
        return b"".join(pieces)

    def close_if_unused(self) -> None:
        if not self.left:
            self.spill._files.discard(self)
            self.close()

    def close(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._file.close()


@dataclass(frozen=True)
class _Spilled:
    file: _SpillFile
    start: int
    stop: int

    def read(self) -> list[Chunk]:
        return chunks_in(self.file.read(self.start, self.stop), "a temporary file of blocks", _trusted)

    def forget(self) -> None:
        self.file.spill.forget(self.file)


def _trusted() -> None:
    """Nobody else can have written to a file without a name."""

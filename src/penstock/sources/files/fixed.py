"""Records of a fixed length: ``bytes``, or columns by a NumPy record type.

What is left behind the last whole record of a file is no record: it becomes a reject, or fails the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Record, Rows, RowType, Scalar, Tuple, row_type_of_class
from penstock.chunk.records import row_class
from penstock.errors import ArgumentError, CorruptInput, RowTypeError, SignatureError
from penstock.plan import PartitionReader, Task
from penstock.sources.files.planned import open_content
from penstock.sources.rejects import Reject, Rejects
from penstock.storage import FileInfo, Storage

__all__ = ["FixedRecords", "RecordLayout", "must_be_partial", "record_length"]

_log = logging.getLogger(__name__)
_CHUNK_BYTES = 8 << 20

Partial = Literal["reject", "fail"]


class RecordLayout:
    """What the bytes of a record mean, by a NumPy dtype: how its records look as columns.

    A dtype with fields gives records of ``cls``, a NamedTuple or dataclass with the same names, or of a
    NamedTuple ``Row`` (plain tuples where the names cannot be attributes); any other gives its values. Taken
    are whole numbers of up to 64 bits, floats of up to 64, bools, and bytes: ``S8`` without the zeros behind
    it, ``V8`` as they are.

    >>> layout = RecordLayout(np.dtype([("id", "<i8"), ("price", "<f8")]))
    >>> print(layout.row_type)
    Row(id: int, price: float)
    >>> layout.columns(np.array([(1, 51.0)], layout.dtype).tobytes()).rows()
    [Row(id=1, price=51.0)]
    """

    def __init__(self, dtype: Any, cls: type | None = None) -> None:
        try:
            self.dtype = np.dtype(dtype)
        except TypeError as error:
            raise SignatureError(f"dtype should be a NumPy record type, not {dtype!r}: {error}") from None
        names = self.dtype.names
        if names is None:
            if cls is not None:
                raise ArgumentError(f"{cls.__qualname__} needs a dtype with fields, not {self.dtype}")
            self.row_type: RowType = Scalar(_scalar_of(self.dtype, str(self.dtype)))
            return
        fields = [(name, Scalar(_scalar_of(self.dtype[name], f"the field {name}"))) for name in names]
        parts = tuple(part for _, part in fields)
        if cls is None:
            found = row_class(names)
            self.row_type = Tuple(parts) if found is None else Record(found, tuple(fields))
            return
        wanted = row_type_of_class(cls)
        if not isinstance(wanted, Record) or list(wanted.fields) != fields:
            shown = ", ".join(f"{name}: {part}" for name, part in fields)
            raise ArgumentError(
                f"records of the dtype have the fields {shown}, which are not those of {wanted}. "
                f"Hint: the same names in the same order, with these classes."
            )
        self.row_type = wanted

    def columns(self, data: bytes | memoryview) -> Columns:
        """Whole records as columns, without a Python object for any."""
        values = np.frombuffer(data, self.dtype)
        names = self.dtype.names
        held = [values] if names is None else [values[name] for name in names]
        return Columns(self.row_type, [_array(each) for each in held], len(values))


def _scalar_of(dtype: np.dtype[Any], what: str) -> type:
    kind, size = dtype.kind, dtype.itemsize
    if kind == "i" or (kind == "u" and size < 8):
        return int
    if kind == "f" and size <= 8:
        return float
    if kind == "b":
        return bool
    if kind in "SV" and size and dtype.subdtype is None and dtype.names is None:
        return bytes
    hints = {
        "u": "read it as int64, <i8, if no value is 2**63 or more",
        "M": "read it as int64, since NaT is no datetime",
        "m": "read it as int64",
        "U": "read it as bytes, S or V, and decode them",
        "V": "one field for each value, without records and arrays in them",
    }
    hint = hints.get(kind, "whole numbers, floats, bools and bytes")
    raise RowTypeError(f"{what} is of the type {dtype}, which is no exact Python class. Hint: {hint}.")


def _array(values: np.ndarray[Any, Any]) -> pa.Array:
    kind = values.dtype.kind
    if kind in "iu":
        return pa.array(values.astype(np.int64))
    if kind == "f":
        return pa.array(values.astype(np.float64))
    if kind == "b":
        return pa.array(np.ascontiguousarray(values).view(np.uint8) != 0)
    plain = np.ascontiguousarray(values)
    if kind == "S":
        return pa.array(plain, pa.binary())
    fixed = pa.binary(plain.dtype.itemsize)
    return pa.Array.from_buffers(fixed, len(plain), [None, pa.py_buffer(plain.tobytes())]).cast(pa.binary())


def record_length(length: int | None, dtype: Any, cls: type | None) -> tuple[int, RecordLayout | None]:
    """How long binary records are, and what their bytes mean if that was said."""
    if dtype is None:
        if cls is not None:
            raise ArgumentError("cls says of which class records are that a dtype describes: give both")
        if length is None:
            raise SignatureError("binary records need a recordLength, or a dtype")
        if isinstance(length, bool) or not isinstance(length, int):
            raise SignatureError(f"recordLength must be an int, not {length!r}")
        if length < 1:
            raise ArgumentError(f"recordLength must be at least 1, not {length}")
        return length, None
    layout = RecordLayout(dtype, cls)
    size = layout.dtype.itemsize
    if not size:
        raise ArgumentError(f"dtype should describe records of one byte or more, not {layout.dtype}")
    if length is not None and length != size:
        raise ArgumentError(f"records of this dtype have {size} bytes, not recordLength={length}")
    return size, layout


def must_be_partial(partial: object) -> Partial:
    """What is to become of an incomplete record; ``ArgumentError`` for anything else."""
    if partial == "reject" or partial == "fail":
        return "reject" if partial == "reject" else "fail"
    raise ArgumentError(f"partial should be 'reject' or 'fail', not {partial!r}")


class FixedRecords(PartitionReader):
    """Records of ``length`` bytes each, as ``bytes`` or, with a ``layout``, as columns.

    ``partial`` is what becomes of the bytes behind the last whole record: ``fail`` is ``CorruptInput`` before
    anything is read, ``reject`` a :class:`Rejects` at the end.
    """

    __slots__ = ("file", "layout", "length", "origin", "partial", "storage")

    def __init__(
        self,
        storage: Storage,
        file: FileInfo,
        length: int,
        origin: Hashable = None,
        *,
        partial: Partial = "fail",
        layout: RecordLayout | None = None,
    ) -> None:
        self.storage = storage
        self.file = file
        self.length = length
        self.origin = origin
        self.partial = partial
        self.layout = layout

    @property
    def travels(self) -> bool:
        return not self.storage.of_this_process

    @property
    def row_type(self) -> RowType | None:
        return None if self.layout is None else self.layout.row_type

    @property
    def bytes_hint(self) -> int:
        return self.file.size

    def read(self, task: Task) -> Iterator[Chunk]:
        path, size, length = self.file.path, self.file.size, self.length
        whole, left = divmod(size, length)
        if left and self.partial == "fail":
            raise CorruptInput(
                f"{self.storage.url(path)} has {size} bytes, which is no whole number of records "
                f"of {length} bytes. Hint: partial='reject' takes the whole ones."
            )
        step = length * max(1, min(CHUNK_ROWS, _CHUNK_BYTES // length))
        tail = b""
        with open_content(self.storage, path, size, decompress=False) as content:
            while data := content.read(step):
                end = len(data) - len(data) % length
                tail = data[end:]
                if not end:
                    continue
                if self.layout is not None:
                    yield self.layout.columns(memoryview(data)[:end])
                else:
                    yield Rows([data[at : at + length] for at in range(0, end, length)])
        place = (self.origin, path, 0)
        task.metrics.note("records", place, whole)
        task.metrics.note("bytes", place, size)
        if tail:
            url = self.storage.url(path)
            _log.warning("%s ends with %d bytes that are no record of %d bytes", url, left, length)
            task.metrics.note("partial_records", place, 1)
            task.metrics.note("partial_bytes", place, left)
            reason = f"{left} bytes are left at the end of the file, a record has {length}"
            yield Rejects([Reject(url, whole + 1, tail.hex(), reason)])

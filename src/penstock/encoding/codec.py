"""Chunks as bytes. What is columns, or could be, is stored as Arrow's own messages; text that nobody has
looked at, as it is; all other Python objects are pickled, and read back only from files that can be trusted.

=========  ========================================  ===========================================
``kind``   what else the description holds            the part
=========  ========================================  ===========================================
columns    ``type``: the row type, ``length``         an Arrow IPC record batch message, a column a leaf
lines      ``source``, ``number`` of the first line   the bytes of the lines
pickle     ``length``                                 a pickled list of the records
=========  ========================================  ===========================================
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pyarrow as pa

from penstock.chunk import Chunk, Columns, Lines, Optional, Record, Rows, RowType, Scalar, Tuple
from penstock.chunk.row_types import SCALARS
from penstock.encoding.pickling import pickled
from penstock.errors import CorruptCheckpoint, RowTypeError

__all__ = ["Description", "Trust", "decoded", "encoded"]

Description = dict[str, Any]
"""What of a chunk is stored as JSON."""

Trust = Callable[[], None]
"""Raises where pickled objects must not be read."""

_SCALARS = {str(Scalar(kind)): Scalar(kind) for kind in SCALARS}


def encoded(chunk: Chunk) -> tuple[Description, Any]:
    """A chunk as a description and a buffer.

    >>> description, data = encoded(Rows([("EPE", 710)]))
    >>> description["type"], decoded(description, data, lambda: None).rows()
    ({'tuple': ['str', 'int']}, [('EPE', 710)])
    """
    if isinstance(chunk, Lines):
        return {"kind": "lines", "source": chunk.source, "number": chunk.number}, chunk.data
    if not isinstance(chunk, Columns):
        rows = chunk.rows()
        try:
            chunk = Columns.from_rows(rows)
        except RowTypeError:
            return {"kind": "pickle", "length": len(rows)}, pickled(rows)
    kind = _type_out(chunk.row_type)
    if kind is None:
        rows = chunk.rows()
        return {"kind": "pickle", "length": len(rows)}, pickled(rows)
    batch = pa.RecordBatch.from_arrays(list(chunk.leaves), schema=_schema(chunk.row_type))
    return {"kind": "columns", "type": kind, "length": len(chunk)}, batch.serialize()


def decoded(description: Description, data: Any, trust: Trust) -> Chunk:
    """The chunk of a description and a buffer; ``trust`` is called before anything is unpickled."""
    kind = description["kind"]
    if kind == "lines":
        return Lines(bytes(data), description["source"], description["number"])
    if kind == "columns":
        row_type = _type_in(description["type"])
        batch = pa.ipc.read_record_batch(pa.py_buffer(bytes(data)), _schema(row_type))
        return Columns(row_type, batch.columns, description["length"])
    if kind == "pickle":
        trust()
        return Rows(_unpickled(data))
    raise CorruptCheckpoint(f"a checkpoint holds a chunk of the unknown kind {kind!r}")


def _unpickled(data: Any) -> Any:
    try:
        return pickle.load(io.BytesIO(data))
    except (AttributeError, ImportError) as error:
        error.add_note(
            "while reading a checkpoint: a class of its records cannot be found. Hint: define it in a module "
            "under the name that it had."
        )
        raise


@lru_cache(maxsize=256)
def _schema(row_type: RowType) -> pa.Schema:
    return pa.schema([pa.field(str(index), kind) for index, kind in enumerate(row_type.leaf_types)])


@lru_cache(maxsize=256)
def _type_out(row_type: RowType) -> Any:
    """A row type as JSON; ``None`` if it holds a class that could not be found by its name."""
    if isinstance(row_type, Scalar):
        return str(row_type)
    parts = [_type_out(part) for part in row_type.parts]
    if None in parts:
        return None
    if isinstance(row_type, Optional):
        return {"optional": parts[0]}
    if isinstance(row_type, Record):
        cls = row_type.cls
        if _found(cls.__module__, cls.__qualname__) is not cls:
            return None
        fields = [*zip(row_type.names, parts, strict=True)]
        return {"record": [cls.__module__, cls.__qualname__], "fields": fields}
    return {"tuple": parts}


def _type_in(kind: Any) -> RowType:
    if isinstance(kind, str):
        return _SCALARS[kind]
    if "optional" in kind:
        return Optional(_type_in(kind["optional"]))
    if "tuple" in kind:
        return Tuple(tuple(map(_type_in, kind["tuple"])))
    module, name = kind["record"]
    fields = tuple((field, _type_in(part)) for field, part in kind["fields"])
    try:
        return Record(_found(module, name), fields)
    except (RowTypeError, AttributeError, TypeError) as error:
        names = ", ".join(field for field, _ in fields)
        raise CorruptCheckpoint(
            f"the checkpoint holds records of the class {name} of {module} with the fields {names}, "
            f"and there is no such class now"
        ) from error


def _found(module: str, name: str) -> Any:
    """The class of that name, ``None`` if there is none."""
    if module not in sys.modules:
        try:
            importlib.import_module(module)
        except ImportError:
            return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found

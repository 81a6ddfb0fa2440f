"""``flatMap`` on columns: a function that gives a tuple or list of known length, or the pieces of a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.chunk import Columns, RowType, Scalar
from penstock.vectorize.kernels import Refused, call, options_of
from penstock.vectorize.programs import REFUSALS, Evaluation
from penstock.vectorize.tracing import Split, Traced, Untraced, trace_items

__all__ = ["Flattening", "flattening"]

_TEXT = Scalar(str)
_PYTHON_ONLY = np.array([0x1C, 0x1D, 0x1E, 0x1F], np.uint8)
"""Separators that are white space to Python, and not to Arrow."""


class Flattening:
    """What a traced function of ``flatMap`` makes of chunks."""

    __slots__ = ("_made", "row_type")

    def __init__(self, made: Traced | Split) -> None:
        self._made = made
        self.row_type: RowType = _TEXT if isinstance(made, Split) else made.row_type.parts[0]

    def attempt(self, chunk: Columns) -> Columns | None:
        """All items of all records, in order; ``None`` if Python has to make them."""
        evaluation = Evaluation(chunk.leaves, len(chunk))
        try:
            if isinstance(self._made, Split):
                return _pieces(evaluation.array(self._made.text, len(chunk)), self._made)
            return self._items(self._made, evaluation, len(chunk))
        except REFUSALS:
            return None

    def _items(self, traced: Traced, evaluation: Evaluation, length: int) -> Columns:
        if any(evaluation.any_true(each) for each in traced.refusals):
            raise Refused("a row goes a way that has no column form")
        arrays = [evaluation.array(each, length) for each in traced.outputs]
        count, width = len(traced.row_type.parts), self.row_type.leaf_count
        places = np.arange(count * length).reshape(count, length).T.ravel()
        order = pa.Array.from_buffers(
            pa.int64(), count * length, [None, pa.py_buffer(np.ascontiguousarray(places))]
        )
        leaves = [pa.concat_arrays(arrays[at::width]).take(order) for at in range(width)]
        return Columns(self.row_type, leaves, count * length)


def flattening(function: Callable[[Any], Iterable[Any]], row_type: RowType) -> Flattening | Untraced:
    """The column form of a function of ``flatMap``, or why it has none.

    >>> flattening(str.split, Scalar(str)).row_type
    Scalar(python_type=<class 'str'>)
    """
    found = trace_items(function, row_type)
    return found if isinstance(found, Untraced) else Flattening(found)


def _pieces(texts: pa.Array, split: Split) -> Columns:
    if split.sep is None:
        pieces = _words(texts, split.maxsplit)
    else:
        limit = None if split.maxsplit < 0 else split.maxsplit
        options = options_of("SplitPatternOptions", split.sep, max_splits=limit)
        pieces = call("split_pattern", texts, options=options).flatten()
    return Columns(_TEXT, [pieces], len(pieces))


def _words(texts: pa.Array, maxsplit: int) -> pa.Array:
    """``split()``: at any white space, and no piece is empty."""
    if maxsplit >= 0:
        raise Refused("split() at white space, so many times")
    data = texts.buffers()[2]
    held = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    if len(held) and (held.max() >= 0x80 or np.isin(held, _PYTHON_ONLY).any()):
        raise Refused("white space outside of ASCII")
    pieces = call("ascii_split_whitespace", texts).flatten()
    lengths = np.diff(np.frombuffer(pieces.buffers()[1], np.int32)[pieces.offset :][: len(pieces) + 1])
    if len(lengths) and not lengths.all():
        return pieces.filter(call("not_equal", pieces, _EMPTY))
    return pieces


_EMPTY = pa.Array.from_buffers(
    pa.string(), 1, [None, pa.py_buffer(np.zeros(2, np.int32)), pa.py_buffer(b"")]
)[0]

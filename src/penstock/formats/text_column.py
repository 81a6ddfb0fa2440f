"""A column of texts that nobody has converted yet, seen as bytes and offsets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk.leaves import Mask, packed

__all__ = ["TextColumn", "digits_in"]

_DIGIT_0 = np.uint8(48)
_DIGIT_9 = np.uint8(9)


class TextColumn:
    """The texts of one field of many lines.

    ``array`` is an Arrow array of strings; where the field may be left out, empty texts are null in it and
    false in ``present`` (which is ``None`` if none is left out). ``data`` is all texts' bytes in one, text
    ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
    """

    __slots__ = ("_lengths", "array", "data", "offsets", "present")

    def __init__(self, array: pa.Array, optional: bool) -> None:
        _, places, data = array.buffers()
        count = len(array)
        offsets = np.frombuffer(places, np.int32, count + 1, array.offset * 4)
        held = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
        self.data: npt.NDArray[np.uint8] = held[offsets[0] : offsets[-1]]
        self.offsets: npt.NDArray[np.int32] = offsets - offsets[0] if offsets[0] else offsets
        self._lengths: npt.NDArray[np.int32] | None = None
        self.present: Mask | None = None
        if optional and count and not self.lengths.min():
            self.present = self.lengths > 0
            shifted = pa.py_buffer(np.ascontiguousarray(self.offsets))
            own = pa.py_buffer(np.ascontiguousarray(self.data))
            array = pa.Array.from_buffers(pa.string(), count, [packed(self.present), shifted, own])
        self.array = array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """How many bytes each text has."""
        if self._lengths is None:
            self._lengths = self.offsets[1:] - self.offsets[:-1]
        return self._lengths

    def left_in(self, doubtful: Mask) -> Mask:
        """``doubtful`` without the texts that are left out."""
        return doubtful if self.present is None else doubtful & self.present

    def where(self, bytes_: Mask) -> Mask:
        """The texts that have at least one of the marked bytes."""
        found = np.zeros(len(self), np.bool_)
        found[np.searchsorted(self.offsets, np.flatnonzero(bytes_), side="right") - 1] = True
        return found

    def begin_with(self, byte: int) -> Mask:
        """The texts whose first byte is this one."""
        found = np.zeros(len(self), np.bool_)
        held = self.lengths > 0
        found[held] = self.data[self.offsets[:-1][held]] == byte
        return found


def digits_in(data: npt.NDArray[np.uint8]) -> Mask:
    """Which bytes are the digits 0 to 9."""
    return data - _DIGIT_0 <= _DIGIT_9

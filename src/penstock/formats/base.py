"""The contract of a format: what turns lines of text into records of one class.

A format reads whole blocks of lines into Arrow columns, and single lines into records, and both ways
accept the same lines, give the same values and refuse for the same reasons: what a block holds that is
not plainly good is read line by line.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from penstock.chunk import Chunk, RowType

__all__ = ["Block", "LineFormat", "MalformedLine", "Refused", "shown_text"]

_SHOWN_MAX = 40  # characters of a text that a reason shows


class MalformedLine(ValueError):
    """A line that is no record. ``str()`` of it is the reason: one line of ASCII, of bounded length.

    >>> str(MalformedLine("an empty line"))
    'an empty line'
    """


class Refused(NamedTuple):
    """A line of a block that is no record: its place in the block (from 0), its text, and the reason."""

    place: int
    text: str
    reason: str


class Block(NamedTuple):
    """What a block of ``lines`` lines holds: ``good`` records, ``refused`` lines, and the places of
    ``skipped`` lines, which are neither (headers). All in the order of the lines."""

    good: Chunk
    refused: Sequence[Refused]
    skipped: Sequence[int]
    lines: int

    def places(self) -> npt.NDArray[np.int64]:
        """In which line of the block (from 0) each good record stands."""
        others = [*(each.place for each in self.refused), *self.skipped]
        every = np.arange(self.lines)
        return np.delete(every, others) if others else every


class LineFormat(ABC):
    """Reads lines of text as records of the class ``cls``."""

    cls: type
    row_type: RowType | None
    """How the records look as columns; ``None`` for records that stay rows."""

    @abstractmethod
    def parse_line(self, text: str) -> Any:
        """The record that a line, without its end, holds. ``None`` for a line to skip, such as a header.

        Raises: :class:`MalformedLine`, and nothing else, for text that is no record.
        """

    @abstractmethod
    def parse_block(self, data: bytes, count: int | None = None) -> Block:
        r"""The records of whole lines: valid UTF-8, lines end with ``\n``, the last may lack its end. There
        are ``count`` of them, if somebody has counted already.

        The good records are ``Columns`` where there are many of them and they have a row type.
        """


def shown_text(text: str) -> str:
    """The text as an ASCII literal (so that digits of other scripts show), cut if it is long.

    >>> shown_text("\\uff11"), shown_text("x" * 50)
    ("'\\\\uff11'", "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'... (50 characters)")
    """
    if len(text) <= _SHOWN_MAX:
        return ascii(text)
    return f"{text[:_SHOWN_MAX]!a}... ({len(text)} characters)"

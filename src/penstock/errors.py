"""Every exception Penstock raises by itself, sorted by culprit.

::

    PenstockError
    ├── UsageError              the program is wrong; nothing has run yet
    │   ├── ArgumentError         (ValueError)    a value that cannot be meant
    │   ├── SignatureError        (TypeError)     a function or object of the wrong shape
    │   ├── SettingError          (ValueError)    an unknown key, or a value of the wrong type
    │   ├── StateError            (RuntimeError)  the right call at the wrong time
    │   └── UnsupportedError      (RuntimeError)  this executor or version cannot do it
    ├── DataError               the records are wrong
    │   ├── NotAPairError         (TypeError)     a ...ByKey operation met something else
    │   ├── KeyTypeError          (TypeError)     a key that cannot be grouped or placed
    │   ├── RowTypeError          (TypeError)     values that no column type describes exactly
    │   └── EmptyError            (ValueError)    a figure of nothing, such as max()
    ├── WorkerLost              (RuntimeError)  a process that worked for the program died
    └── StorageError            (OSError)       files and directories are wrong
        ├── InputVanished         (FileNotFoundError)
        ├── InputChanged
        ├── CorruptInput          a file that does not hold what its name promises
        ├── CorruptCheckpoint     nothing of a checkpoint can be gone on from
        ├── CheckpointTaken       another run goes on from this checkpoint
        └── OutputExists          (FileExistsError)

Each class also derives from the built-in exception in brackets, so that ``except ValueError``
keeps working in a program that was written for PySpark.

An exception raised by a *user's* function is never wrapped: it is raised as it is, with notes
(:pep:`678`) that say where it happened. :func:`failure_of` reads the same facts as data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from penstock.values import dataclass

__all__ = [
    "ArgumentError",
    "CallSite",
    "CheckpointTaken",
    "CorruptCheckpoint",
    "CorruptInput",
    "DataError",
    "EmptyError",
    "Failure",
    "InputChanged",
    "InputVanished",
    "KeyTypeError",
    "NotAPairError",
    "OutputExists",
    "PenstockError",
    "RowTypeError",
    "SettingError",
    "SignatureError",
    "StateError",
    "StorageError",
    "UnsupportedError",
    "UsageError",
    "WorkerLost",
    "failure_of",
    "joined",
    "locate",
]


class PenstockError(Exception):
    """The root: ``except PenstockError`` catches all that Penstock raises by itself."""


class UsageError(PenstockError):
    """The program asks for something that cannot be meant. Raised before anything runs."""


class ArgumentError(UsageError, ValueError):
    """A value that cannot be meant, such as a window that is no multiple of the batch interval."""


class SignatureError(UsageError, TypeError):
    """An argument of the wrong kind, or a function that takes the wrong number of arguments."""


class SettingError(UsageError, ValueError):
    """An unknown ``penstock.`` key, or a value that does not fit the key's type."""


class StateError(UsageError, RuntimeError):
    """The right call at the wrong time, such as a new stream after the start."""


class UnsupportedError(UsageError, RuntimeError):
    """The chosen executor, store or version cannot do this; the message says what can."""


class DataError(PenstockError):
    """The records are not what the operator needs."""


class NotAPairError(DataError, TypeError):
    """A ``...ByKey`` operation, or another one on pairs, met a record that is not a pair."""


class KeyTypeError(DataError, TypeError):
    """A key that cannot be hashed, or whose hash differs from one process to the next."""


class RowTypeError(DataError, TypeError):
    """Values that no row type describes exactly (mixed types, or a type Arrow has no column for)."""


class EmptyError(DataError, ValueError):
    """A figure of nothing, such as ``max()`` or ``reduce()`` of an empty RDD."""


class WorkerLost(PenstockError, RuntimeError):
    """A process that worked for the program has died, again and again."""


class StorageError(PenstockError, OSError):
    """A file or directory is not as it must be."""


class InputVanished(StorageError, FileNotFoundError):
    """A file that was there when it was listed is gone when it is read."""


class InputChanged(StorageError):
    """A file is shorter than it was when it was listed: what was promised to the batch is gone."""


class CorruptInput(StorageError):
    """A file does not hold what its name promises, such as a ``.gz`` that is not gzip."""


class CorruptCheckpoint(StorageError):
    """A checkpoint, or a file of one, that cannot be read; the message names the file."""


class CheckpointTaken(StorageError):
    """Another run has taken the checkpoint over, so this one must not go on."""


class OutputExists(StorageError, FileExistsError):
    """The directory to write is there already, and nothing says it may be replaced."""


@dataclass(frozen=True)
class CallSite:
    """The line of the user's program that asked for an operation.

    >>> str(CallSite("reduceByKey", "app.py", 31))
    'reduceByKey (app.py:31)'
    """

    operation: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.operation} ({self.file}:{self.line})" if self.file else self.operation


@dataclass(frozen=True)
class Failure:
    """Where a user's function failed. What is not known is ``None``.

    ``record`` is the record the function was given, ``index`` its position in the chunk's input,
    ``batch_time_ms`` the batch (milliseconds since the epoch), ``output`` the output operation.
    """

    site: CallSite | None = None
    partition: int | None = None
    record: str | None = None
    batch_time_ms: int | None = None
    output: str | None = None

    def notes(self) -> Iterable[str]:
        """The facts as sentences, for people."""
        if self.site is not None:
            where = f" of partition {self.partition}" if self.partition is not None else ""
            what = f", at the record {self.record}" if self.record is not None else ""
            yield f"in {self.site}{where}{what}"
        if self.batch_time_ms is not None:
            output = f" of the output {self.output}" if self.output else ""
            yield f"in the batch {self.batch_time_ms} ms{output}"


_ATTRIBUTE = "__penstock_failure__"


def failure_of(error: BaseException) -> Failure | None:
    """What is known of where ``error`` happened, or ``None`` if no user's function raised it.

    >>> error = locate(ZeroDivisionError("division by zero"), site=CallSite("map", "app.py", 3))
    >>> failure_of(error).site.line
    3
    """
    found = getattr(error, _ATTRIBUTE, None)
    return found if isinstance(found, Failure) else None


def locate(error: BaseException, **facts: Any) -> BaseException:
    """Add facts (fields of :class:`Failure`) to an exception, as data and as notes; return it.

    Facts that an inner layer has given are kept: the innermost knows best.
    """
    known = failure_of(error) or Failure()
    news = {name: value for name, value in facts.items() if getattr(known, name) is None}
    merged = replace(known, **news)
    try:
        error.__dict__[_ATTRIBUTE] = merged
    except AttributeError:  # an exception class without a __dict__: the notes must do
        pass
    ours = set(known.notes())
    kept = [note for note in getattr(error, "__notes__", ()) if note not in ours]
    error.__notes__ = [*kept, *merged.notes()]
    return error


def shown(record: object, limit: int = 200) -> str:
    """``repr`` of a record for a message: cut to ``limit`` characters, and never raising."""
    try:
        text = repr(record)
    except Exception as problem:
        text = f"<{type(record).__qualname__} whose repr raises {type(problem).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def joined(problems: Iterable[str]) -> str:
    """Several problems as one message: alone on one line, or one a line.

    >>> joined(["a"])
    'a'
    >>> print(joined(["a", "b"]))
    2 problems:
      - a
      - b
    """
    listed = list(problems)
    if len(listed) == 1:
        return listed[0]
    return f"{len(listed)} problems:" + "".join(f"\n  - {problem}" for problem in listed)

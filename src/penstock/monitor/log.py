"""The batch log: what the history of a run is made of, in files beside its checkpoint.

::

    DIR/batches.0000000003.jsonl    a record a line, see ``history``; the first says what the application is,
    DIR/batches.0000000004.jsonl    the second what came before the file

Files are small, and each is written whole, so that a reader never sees half a line on any store. The oldest
goes when there are too many. Nothing here is needed to go on: what cannot be written is left out, and said
once in the program's log.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator

from penstock.errors import StateError
from penstock.monitor.history import AnyRecord, History, Newest, Record
from penstock.monitor.web import json_text
from penstock.storage import Storage, join, storage_for

__all__ = ["BatchLog", "LogReader", "read_log"]

_log = logging.getLogger(__name__)
_FILE = re.compile(r"batches\.(\d{10})\.jsonl")
_FILES = 16  # that the log is divided into
_WAITING_MAX = 10_000  # records that wait to be written
_EVERY_S = 1.0


class BatchLog:
    """Writes records of ``history`` into a directory, at most ``limit_bytes`` of them, every second or so,
    on a thread of its own. Only batches that are over are written."""

    def __init__(self, location: str, history: History, limit_bytes: int) -> None:
        self._storage, self._path = storage_for(location)
        self._history = history
        self._file_bytes = max(4096, limit_bytes // _FILES)
        self._waiting = Newest(_WAITING_MAX)
        self._lines: list[str] = []
        self._size = 0
        self._number = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._complained = False
        self._written = History(1)  # what the lines so far come to

    def put(self, record: AnyRecord) -> None:
        """One more record. Never waits."""
        if record["kind"] != "batch" or record["status"] in ("completed", "failed"):
            self._waiting.put(record)
            if self._thread is None and record["kind"] == "batch":
                self._thread = threading.Thread(target=self._run, name="penstock-batch-log", daemon=True)
                self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left; gives up after a while."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._over.wait(_EVERY_S):
            self._write_down()
        self._write_down()

    def _write_down(self) -> None:
        records, lost = self._waiting.taken()
        try:
            if lost:
                self._complain(f"{lost} records came faster than they could be written")
            if records:
                self._append(records)
        except Exception as error:
            self._complain(f"{type(error).__name__}: {error}")

    def _complain(self, why: str) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("the batch log in %s is not whole: %s", self._storage.url(self._path), why)

    def _append(self, records: list[AnyRecord]) -> None:
        if not self._number:
            self._number = max(_numbers(self._storage, self._path), default=0)
            self._begin()
        for record in records:
            line = json_text(dict(record))
            if self._size + len(line) > self._file_bytes and len(self._lines) > 2:
                self._flush()
                self._begin()
            self._written.apply(record)
            self._lines.append(line)
            self._size += len(line) + 1
        self._flush()

    def _begin(self) -> None:
        """The next file: it stands by itself, whatever becomes of those before it."""
        self._number += 1
        first: list[AnyRecord] = [
            self._history.application,
            {"kind": "totals", "totals": self._written.totals()},
        ]
        first += [
            {"kind": "explained", "output": output, "text": text}
            for output, text in self._written.explained().items()
        ]
        self._lines = [json_text(dict(record)) for record in first]
        self._size = sum(map(len, self._lines))
        for number in sorted(_numbers(self._storage, self._path)):
            if number <= self._number - _FILES:
                self._storage.remove(join(self._path, _name(number)))

    def _flush(self) -> None:
        self._storage.write_atomic(
            join(self._path, _name(self._number)), ("\n".join(self._lines) + "\n").encode()
        )


def _name(number: int) -> str:
    return f"batches.{number:010d}.jsonl"


def _numbers(storage: Storage, path: str) -> list[int]:
    try:
        names = storage.list_names(path).files
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _FILE.fullmatch(name)))


def read_log(location: str) -> Iterator[Record]:
    """The records of a log, the oldest first. What is no record is left out. ``StateError`` if there is no
    log."""
    return LogReader(location).news()


class LogReader:
    """Reads a log, and what is written to it later. ``StateError`` if there is no log."""

    def __init__(self, location: str) -> None:
        self._storage, self._path = storage_for(location)
        self._read: dict[int, int] = {}  # bytes of each file
        if not _numbers(self._storage, self._path):
            raise StateError(
                f"there is no batch log in {location}. Hint: it lies beside the checkpoint, "
                f"ssc.checkpoint(DIR), of a program that has run."
            )

    def news(self) -> Iterator[Record]:
        """The records since the last call, the oldest first; in the first one all. A file is only opened if
        it has become longer."""
        sizes = self._sizes()
        self._read = {number: self._read.get(number, 0) for number in sizes}
        for number, size in sorted(sizes.items()):
            begin = self._read[number] if self._read[number] <= size else 0  # else it is another file
            if begin == size:
                continue
            try:
                data = self._storage.read(join(self._path, _name(number)), begin)
            except FileNotFoundError:  # it was the oldest, and has just gone
                continue
            self._read[number] = begin + len(data)
            for line in data.decode(errors="replace").splitlines():
                record = _record_of(line)
                if record is not None:
                    yield record

    def _sizes(self) -> dict[int, int]:
        try:
            entries = self._storage.list_directory(self._path)
        except FileNotFoundError:
            return {}
        found = ((_FILE.fullmatch(entry.path.rpartition("/")[2]), entry.size) for entry in entries)
        return {int(match[1]): size for match, size in found if match}


def _record_of(line: str) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("kind"), str) else None

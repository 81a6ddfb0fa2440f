"""Why a stream takes each file of a directory, or does not: what ``penstock files explain`` says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import field
from typing import Any, NamedTuple

from penstock.checkpoint import Checkpoint, Plain, recorded_batches
from penstock.clock import Clock, SystemClock
from penstock.errors import ArgumentError, StateError
from penstock.sources import COPYING, is_visible
from penstock.storage import FileInfo, Storage, globs, has_wildcard, join, name_of, parent_of, storage_for
from penstock.times import BatchTime, local_datetime
from penstock.values import dataclass

__all__ = ["Explained", "Question", "Report", "explained", "printed"]

_ATTENTION = ("unreadable", "changed")


class Question(NamedTuple):
    """The options of the command, which are those of a stream."""

    directory: str
    checkpoint: str | None = None
    input: str | None = None
    all_files: bool = False
    recursive: bool = False
    globs: tuple[str, ...] = ()
    stable_for_s: float = 0
    max_files: int | None = None
    max_bytes: int | None = None
    archive: str | None = None


class Explained(NamedTuple):
    """What becomes of a file. ``verdict`` is a word for programs, ``why`` a sentence for people."""

    path: str
    size: int
    verdict: str
    why: str


class _Batch(NamedTuple):
    time: int
    size: int
    mtime_ns: int


@dataclass
class _History:
    """What a checkpoint knows of files."""

    batches: dict[str, _Batch] = field(default_factory=dict)
    known: Mapping[str, set[str]] = field(default_factory=dict)
    committed_ms: int | None = None
    given_up: set[int] = field(default_factory=set)

    def knows(self, path: str) -> bool:
        return name_of(path) in self.known.get(parent_of(path), ())


class Report(NamedTuple):
    """All that was found; ``began`` says whether it is about a stream that has begun."""

    directory: str
    files: list[Explained]
    began: bool

    @property
    def counts(self) -> dict[str, int]:
        """How many files there are of each verdict."""
        return dict(sorted(Counter(each.verdict for each in self.files).items()))

    @property
    def needs_attention(self) -> bool:
        """Whether somebody has to do something about a file."""
        return any(each.verdict in _ATTENTION for each in self.files)


def explained(question: Question, clock: Clock | None = None) -> Report:
    """Why each file is taken, or is not. ``FileNotFoundError`` if there is no such directory."""
    storage, pattern = storage_for(question.directory)
    history = None if question.checkpoint is None else _history(question, storage.url(pattern))
    stream = _Stream(question, storage, pattern, history, (clock or SystemClock()).now_ms())
    return Report(question.directory, stream.report(), history is not None)


def _history(question: Question, url: str) -> _History:
    assert question.checkpoint is not None
    checkpoint = Checkpoint(question.checkpoint)
    image = checkpoint.load()
    if image is None:
        raise StateError(f"there is no checkpoint in {question.checkpoint}")
    of_files = [name for name, each in image.inputs.items() if each.source.startswith("files ")]
    chosen = [name for name in of_files if image.inputs[name].source == f"files {url}"]
    if question.input is not None:
        chosen = [name for name in of_files if name == question.input]
    if len(chosen) != 1:
        named = ", ".join(f"{name} ({image.inputs[name].source})" for name in of_files) or "none"
        raise ArgumentError(
            f"the checkpoint should have one input that is {question.input or 'files ' + url}; "
            f"its inputs of files are {named}. Hint: --input NAME."
        )
    name = chosen[0]
    history = _History(committed_ms=image.committed_ms)
    history.given_up = set(image.given_up)
    position = Plain.read(image.inputs[name].position, checkpoint.trust)
    names = position[0] if isinstance(position, tuple) else position or {}
    known: dict[str, set[str]] = {path: set(held) for path, held in names.items()}
    for batch in recorded_batches(question.checkpoint):
        if name not in batch.intents:
            continue
        intent = batch.intents[name]
        for path in intent.metadata.get("gone", ()):
            history.batches.pop(path, None)
            known.get(parent_of(path), set()).discard(name_of(path))
        for path, size, mtime_ns in intent.items:
            history.batches[path] = _Batch(batch.time, size, mtime_ns)
            known.setdefault(parent_of(path), set()).add(name_of(path))
    history.known = known
    return history


class _Stream:
    """What a stream with these options would make of the files."""

    def __init__(
        self, question: Question, storage: Storage, pattern: str, history: _History | None, now_ms: int
    ) -> None:
        self.question = question
        self.storage = storage
        self.pattern = pattern
        self.history = history
        self.now_ms = now_ms
        self.archive = None if question.archive is None else storage_for(question.archive)[1]
        self.matchers = [globs.matcher(each) for one in question.globs for each in globs.alternatives(one)]

    def report(self) -> list[Explained]:
        found = sorted(dict.fromkeys(self._files()), key=lambda each: each[0].path)
        files: list[Explained] = []
        taken, size = 0, 0
        full = False
        for info, why_not in found:
            verdict, why = self._verdict(info, why_not)
            if verdict == "next":
                most, most_bytes = self.question.max_files, self.question.max_bytes
                over = most is not None and taken >= most
                large = most_bytes is not None and size + info.size > most_bytes
                full = full or over or (large and taken > 0)
                if full:
                    limit = "maxFilesPerBatch" if over or most_bytes is None else "maxBytesPerBatch"
                    verdict, why = "waiting", f"waits in line: the next batch is full ({limit})"
                else:
                    taken, size = taken + 1, size + info.size
            if not info.size and verdict in ("next", "waiting", "taken", "planned"):
                why += "; it is empty, so it holds no records"
            files.append(Explained(self.storage.url(info.path), info.size, verdict, why))
        return files

    # Which files there are

    def _files(self) -> Iterator[tuple[FileInfo, str]]:
        """Every file, with why the stream does not even see it, or nothing."""
        if not has_wildcard(self.pattern):
            yield from self._below(globs.literal(self.pattern), "")
            return
        for match in self.storage.glob(self.pattern):
            if match.is_directory:
                yield from self._below(match.path, "")
            else:
                yield match, ""

    def _below(
        self, directory: str, why_not: str, above: frozenset[Hashable] = frozenset()
    ) -> Iterator[tuple[FileInfo, str]]:
        archive = self.archive
        if archive is not None and (directory == archive or directory.startswith(f"{archive}/")):
            why_not = "archive"
        try:
            infos = self.storage.list_directory(directory)
            above |= {self.storage.identity(directory)}
        except PermissionError:
            yield FileInfo(directory, 0, 0, True), why_not
            return
        for info in infos:
            path = join(directory, info.name)
            if not info.is_directory:
                yield info._replace(path=path), why_not
                continue
            why = "" if self.question.recursive else "subdirectory"
            if not is_visible(info.name):
                why = f"is in {info.name}, and hidden directories are left alone"
            if self.storage.identity(path) not in above:
                yield from self._below(path, why_not or why, above)

    # What becomes of one

    def _verdict(self, info: FileInfo, why_not: str) -> tuple[str, str]:
        name = info.name
        if why_not == "archive":
            return "archived", "is in the archive, which is not read"
        if why_not == "subdirectory":
            return "subdirectory", "is in a directory below: recursive=True, or a pattern, takes it"
        if why_not:
            return "hidden", why_not
        if name.startswith("."):
            return "hidden", "its name begins with a dot: rename it when it is whole"
        if name.startswith("_"):
            return "hidden", "its name begins with _, as those of markers and logs: rename it"
        if info.is_directory:
            return "unreadable", (
                "is a directory that cannot be listed: what is in it is not taken; look at its permissions"
            )
        if name.endswith(COPYING):
            return "copying", f"its name ends with {COPYING}: it is being copied, or that was broken off"
        if self.history is not None:
            before = self._before(info, self.history)
            if before is not None:
                return before
        if self.matchers and not any(each.fullmatch(name) for each in self.matchers):
            return "filtered", f"its name does not match {' or '.join(self.question.globs)}"
        if not self._can_be_read(info):
            return "unreadable", "cannot be opened: its batch would fail; look at its permissions"
        if self.history is None and not self.question.all_files:
            return "old", "is there before a stream starts now: newFilesOnly=False takes it"
        age_s = self.now_ms / 1000 - info.mtime_ns / 1e9
        if self.question.stable_for_s and info.mtime_ns and age_s < self.question.stable_for_s:
            return "growing", f"has changed {max(age_s, 0):.1f} s ago, less than stableFor"
        return "next", "is taken by the next batch"

    def _before(self, info: FileInfo, history: _History) -> tuple[str, str] | None:
        """What a run has made of it already."""
        batch = history.batches.get(info.path)
        if batch is None:
            if history.knows(info.path):
                return "old", (
                    "is known: it was there before the first start, was passed over by the filter, or was "
                    "taken so long ago that the checkpoint does not tell by which batch"
                )
            return None
        when = f"the batch of {local_datetime(BatchTime(batch.time))} ({batch.time} ms)"
        if (info.size, info.mtime_ns) != (batch.size, batch.mtime_ns):
            return "changed", (
                f"has changed after {when} took it, from {batch.size} to {info.size} bytes; "
                f"what is new is not read: deliver it under another name"
            )
        if history.committed_ms is None or batch.time > history.committed_ms:
            return "planned", f"belongs to {when}, which is to be run, or is running"
        if batch.time in history.given_up:
            return "given up", f"was taken by {when}, which was given up: see penstock checkpoint replay"
        return "taken", f"was taken by {when}, which is committed"

    def _can_be_read(self, info: FileInfo) -> bool:
        if not info.size:  # it is not opened, and might be a pipe
            return True
        try:
            self.storage.open_read(info.path).close()
        except OSError:
            return False
        return True


def printed(report: Report, as_json: bool) -> None:
    """Write a report to standard output."""
    if as_json:
        found = {
            "directory": report.directory,
            "files": [each._asdict() for each in report.files],
            "counts": report.counts,
        }
        print(json.dumps(found, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    rows: list[tuple[Any, ...]] = [
        (Text(each.path), Text(f"{each.size:,}"), Text(each.verdict), Text(each.why)) for each in report.files
    ]
    if rows:
        table = Table(box=None, pad_edge=False)
        table.add_column("file", overflow="fold")
        table.add_column("bytes", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("why", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items())
    of = "the checkpoint's stream" if report.began else "a stream that starts now"
    summary = f"{len(report.files)} files in {report.directory}, for {of}: {counts or 'none'}"
    console.print(Text(summary))

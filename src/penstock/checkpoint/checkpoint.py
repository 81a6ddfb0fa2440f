"""The checkpoint of a program that runs: what is found at its start, and what each batch adds.

::

    load -> claim -> load -> begin -> intents, commit, intents and commit in one write, ... -> close
                                 |
                                 '-- a new file from time to time; the files before it become a snapshot, on a
                                     thread of their own, from the files alone: no batch waits for it
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.checkpoint.image import Commit, Image, Plain, Record, intent_record
from penstock.checkpoint.journal import Journal, Loaded
from penstock.errors import CorruptCheckpoint
from penstock.sources import Intent, LogPlace
from penstock.storage import Storage, clean_leftovers, join, storage_for
from penstock.values import dataclass

__all__ = ["Checkpoint", "Planned", "RecordedBatch", "recorded_batches"]

_log = logging.getLogger(__name__)
RECEIVED = "receivedData"
_MOST_FILES = 256  # of a store where each write is a file: more are read slowly
_LONGEST_NAME = 200  # of a directory
_CLOSE_S = 10.0  # what a snapshot that is being written gets at the end

Planned = tuple[int, Mapping[str, Intent], Mapping[str, Any] | None]
"""A batch time, the intents by input, and where the inputs are afterwards, if that was asked for."""


class Checkpoint:
    """The checkpoint in a directory. ``compact_bytes`` of records, or twice the last snapshot if that is
    more, make a new one due. ``trust_store``: pickled objects are read from stores that do not say who may
    write.

    All but the snapshots happens on the thread that calls, one at a time.
    """

    def __init__(
        self,
        location: str,
        *,
        compact_bytes: int = 16 << 20,
        trust_store: bool = False,
        threaded: bool = True,
    ) -> None:
        self._storage, self.path = storage_for(location)
        self._journal = Journal(self._storage, self.path)
        self._compact_bytes = compact_bytes
        self._trust_store = trust_store
        self._threaded = threaded
        self._snapshot_bytes = 0
        self._loaded: Loaded | None = None
        self._compacting: threading.Thread | None = None
        self._positions_wanted = False

    @property
    def url(self) -> str:
        """Where it is, for people."""
        return self._storage.url(self.path)

    # The start

    def load(self) -> Image | None:
        """What is there, ``None`` if nothing. What is damaged is told to the log, and left out."""
        self._loaded = self._journal.load()
        if self._loaded is None:
            return None
        for complaint in self._loaded.complaints:
            _log.warning("checkpoint: %s", complaint)
        return self._loaded.image

    def claim(self, owner: str, *, alone: bool = False) -> None:
        """Be the one who goes on from here; what is loaded afterwards is final. ``CheckpointTaken`` if
        another run was quicker, or with ``alone`` if there was any."""
        self._make_directories()
        self._journal.claim(owner, alone=alone)

    def begin(self, record: Record) -> None:
        """The run begins, after :meth:`claim`, from what was loaded then."""
        self._warn_if_not_trusted()
        self._journal.begin(record, self._loaded)
        for directory in ("journal", "snapshots"):
            try:
                clean_leftovers(self._storage, join(self.path, directory))
            except OSError as error:
                _log.warning("what dead runs left in %s could not be removed: %s", self.url, error)
        self._loaded = None

    def _make_directories(self) -> None:
        """Those that hold nothing yet become the user's alone. Others stay as they are: what is in them was
        written under the rules that they have."""
        for directory in ("", "journal", "snapshots"):
            path = join(self.path, directory) if directory else self.path
            self._storage.makedirs(path, durable=True)
            try:
                names = self._storage.list_names(path)
            except FileNotFoundError:  # a store that knows directories only by what is in them
                continue
            if not {*names.files, *names.directories} - {"rdds", RECEIVED}:
                self._storage.keep_private(path)

    def _warn_if_not_trusted(self) -> None:
        """What would be refused at the next start is said at this one."""
        try:
            self.trust()
        except CorruptCheckpoint as problem:
            _log.warning("state that is no columns will not be read back: %s", problem)

    def set_aside(self) -> None:
        """Make room for a checkpoint that begins anew: what is there is moved into ``aside``, in place of
        what was moved there before."""
        if not self._journal.numbers() and not self._journal.snapshots():
            return
        aside = join(self.path, "aside")
        self._storage.remove_tree(aside)
        self._storage.makedirs(aside)
        for name in ("journal", "snapshots", RECEIVED):
            if self._storage.exists(join(self.path, name)):
                self._storage.rename_directory(join(self.path, name), join(aside, name))
        _log.warning(
            "%s held a checkpoint, and this program begins anew: it was moved to %s. "
            "Hint: StreamingContext.getOrCreate goes on from it.",
            self.url, self._storage.url(aside),
        )  # fmt: skip

    def store(self, name: str, data: bytes) -> None:
        """Put a file beside the records, whole."""
        self._make_directories()
        self._storage.write_atomic(join(self.path, name), data, durable=True)

    def discard(self, name: str) -> None:
        """Remove such a file, if it is there."""
        if self._storage.exists(join(self.path, name)):
            self._storage.remove(join(self.path, name))

    def trust(self) -> None:
        """Raise where a file of this checkpoint must not be unpickled: somebody else could have written
        it."""
        for path in (self.path, join(self.path, "journal"), join(self.path, "snapshots")):
            must_trust(self._storage, path, self._trust_store)

    def log_place(self, name: str, owner: str) -> LogPlace:
        """Where an input of that name may keep what it has received."""
        directory = join(join(self.path, RECEIVED), _as_name(name))

        def trust() -> None:
            self.trust()
            for path in (join(self.path, RECEIVED), directory):
                must_trust(self._storage, path, self._trust_store)

        return LogPlace(self._storage, directory, owner, trust, self._journal.must_own)

    # The batches

    def plan(self, batches: Sequence[Planned]) -> None:
        """Make it known what belongs to batches, before any work on them."""
        self._write([_intents_out(*batch) for batch in batches])

    def commit(self, commit: Commit, batches: Sequence[Planned] = ()) -> None:
        """A batch is over. With the intents of batches to come it is one write."""
        self._write([commit.record(), *(_intents_out(*batch) for batch in batches)])

    @property
    def wants_positions(self) -> bool:
        """Whether the next intents should come with the positions of all inputs: a new file is due then."""
        return self._positions_wanted

    def _write(self, records: list[Record]) -> None:
        if not records:
            return
        if self._positions_wanted and any("positions" in head for head, _ in records):
            self._journal.roll(records)
            self._positions_wanted = False
            self._compact()
            return
        self._journal.append(records)
        if self._compacting is None or not self._compacting.is_alive():
            due = max(self._compact_bytes, 2 * self._snapshot_bytes)
            self._positions_wanted = self._journal.bytes >= due or self._journal.files >= _MOST_FILES

    def _compact(self) -> None:
        number = self._journal.number
        if not self._threaded:
            self._make_snapshot(number)
            return
        self._compacting = threading.Thread(
            target=self._make_snapshot, args=(number,), name="penstock-checkpoint", daemon=True
        )
        self._compacting.start()

    def _make_snapshot(self, number: int) -> None:
        """The snapshot of what lies before a file. If it fails the files stay, so nothing is lost but
        room."""
        try:
            loaded = self._journal.load(before=number)
            if loaded is not None:
                image = loaded.image
                self._snapshot_bytes = self._journal.compact(number, image.records(self.trust))
        except (OSError, CorruptCheckpoint) as error:
            _log.warning("no snapshot of the checkpoint could be made, its files stay: %s", error)
        except Exception:
            _log.exception("no snapshot of the checkpoint could be made, its files stay")

    def close(self) -> None:
        """Give the files back."""
        if self._compacting is not None:
            self._compacting.join(_CLOSE_S)
        self._journal.close()


@dataclass
class RecordedBatch:
    """A batch as a checkpoint tells of it: its intents by input, and whether it is over."""

    time: int
    intents: Mapping[str, Intent]
    committed: bool = False


def recorded_batches(location: str) -> list[RecordedBatch]:
    """The batches that the files of a checkpoint still tell of, in order of their times; the older ones are
    in a snapshot, which does not know them one by one."""
    checkpoint = Checkpoint(location)
    found: dict[int, RecordedBatch] = {}
    for frame in checkpoint._journal.records():
        head = frame.head
        if head["kind"] == "intent":
            intents = {name: intent_in(stored, checkpoint) for name, stored in head["inputs"].items()}
            found[head["time"]] = RecordedBatch(head["time"], intents)
        elif head["kind"] == "commit" and head["time"] in found:
            found[head["time"]].committed = True
    return [found[time] for time in sorted(found)]


def _as_name(name: str) -> str:
    """A name of the user's as one of a directory, whatever is in it, and however long it is."""
    import hashlib
    from urllib.parse import quote

    quoted = quote(name, safe=" ")
    if quoted in (".", ".."):
        return quoted.replace(".", "%2E")
    if len(quoted) <= _LONGEST_NAME:
        return quoted
    return f"{quoted[: _LONGEST_NAME - 33]}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def must_trust(storage: Storage, path: str, trust_store: bool) -> None:
    """``CorruptCheckpoint`` if others than this user may have written what is at a path."""
    try:
        private = storage.is_private(path)
    except FileNotFoundError:
        return
    if private or (private is None and trust_store):
        return
    why = (
        "belongs to another user, or others may write to it"
        if private is False
        else "is on a store that does not say who may write to it"
    )
    hint = (
        "chmod go-w, and chown it to the user who runs the program"
        if private is False
        else "penstock.checkpoint.trustStore=true, if nobody but you may write there"
    )
    raise CorruptCheckpoint(
        f"{storage.url(path)} {why}. It holds pickled Python objects, and reading such runs code. Hint: "
        f"{hint}."
    )


def _intents_out(time: int, intents: Mapping[str, Intent], positions: Mapping[str, Any] | None) -> Record:
    return intent_record(
        time,
        {name: intent_out(intent) for name, intent in intents.items()},
        None if positions is None else {name: Plain.write(each) for name, each in positions.items()},
    )


def intent_out(intent: Intent) -> dict[str, Any]:
    """An intent as JSON."""
    return {
        "items": Plain.write(intent.items),
        "records": intent.records,
        "description": intent.description,
        "metadata": Plain.write(dict(intent.metadata)),
    }


def intent_in(stored: Mapping[str, Any], checkpoint: Checkpoint) -> Intent:
    """What :func:`intent_out` wrote."""
    return Intent(
        Plain.read(stored["items"], checkpoint.trust),
        stored["records"],
        stored["description"],
        Plain.read(stored["metadata"], checkpoint.trust),
    )

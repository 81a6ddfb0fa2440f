"""A look at the places a run reads and writes, before it starts: what cannot work, what one should know."""

from __future__ import annotations

import re

from penstock.brokerage.options import Options
from penstock.brokerage.places import Directory, Kafka, Tcp
from penstock.errors import InputVanished, StorageError
from penstock.sources import is_visible
from penstock.storage import (
    Storage,
    has_wildcard,
    name_of,
    parent_of,
    storage_for,
    temporary_path,
)

__all__ = ["notes_before"]


def notes_before(options: Options, *, goes_on: bool) -> list[str]:
    """Make the directories to write in, try them, and say in a line each what may surprise.

    With ``goes_on`` the run goes on from a checkpoint. ``InputVanished`` if ``available_now`` has no
    directory to look into; ``StorageError`` or another ``OSError``, which names the path, for an input that
    is a file and outputs that cannot be written.
    """
    found = [*_input_notes(options), *_output_notes(options)]
    if not goes_on:
        return found
    return [
        f"Going on from the checkpoint in {options.checkpoint_directory}: {_meanwhile(options)} "
        f"Hint: --fresh begins anew.",
        *(_loss_notes(options) if isinstance(options.place, Tcp) else ()),
    ]


def _meanwhile(options: Options) -> str:
    """What becomes of what came while nobody ran."""
    place = options.place
    if isinstance(place, Directory):
        return "files that came meanwhile are taken."
    if isinstance(place, Kafka):
        return "messages that came meanwhile are taken."
    return "what had been received and is in no complete batch is taken."


def _input_notes(options: Options) -> list[str]:
    place = options.place
    if isinstance(place, Tcp):
        return _loss_notes(options)
    if isinstance(place, Kafka):
        if options.available_now:
            return []
        return [
            f"Messages that are in the topic {place.topic} already are left alone, as only those that come "
            f"from now on are taken. Hint: --available-now takes what is there."
        ]
    storage, path = storage_for(place.location)
    if has_wildcard(path):
        return _left_alone(options, _visible_matches(storage, path))
    try:
        if not storage.stat(path).is_directory:
            raise StorageError(f"the input {options.input} is a file. Hint: name the directory it is in.")
    except FileNotFoundError:
        if options.available_now:
            raise InputVanished(f"there is no directory {options.input} to take files from") from None
        return [f"There is no directory {options.input} yet; its files are taken once it appears."]
    return _left_alone(options, sum(map(is_visible, storage.list_names(path).files)))


def _loss_notes(options: Options) -> list[str]:
    """What may be lost of lines through a connection."""
    found = []
    if not options.acked:
        found.append(
            "Lines that are on their way when the connection or this run ends are lost. "
            "Hint: --acked, here and at the sender, loses none."
        )
    if not options.log:
        found.append(
            "With --no-log, lines that were received and are in no complete batch are lost if this run is "
            "ended by force."
        )
    return found


def _visible_matches(storage: Storage, pattern: str) -> int:
    count = 0
    for match in storage.glob(pattern):
        if match.is_directory:
            count += sum(map(is_visible, storage.list_names(match.path).files))
        else:
            count += is_visible(match.name)
    return count


def _left_alone(options: Options, count: int) -> list[str]:
    if options.available_now or not count:
        return []
    are, they = ("file is", "it is") if count == 1 else ("files are", "they are")
    return [
        f"{count:,} {are} in {options.input} already; {they} left alone, as only files that appear from now "
        f"on are taken. Hint: --available-now takes what is there."
    ]


def _output_notes(options: Options) -> list[str]:
    storage, prefix = storage_for(options.output)
    _try_to_write(storage, prefix, "the figures")
    rejects = options.rejects_file
    if rejects.exists():
        with rejects.open("a"):  # raises if it cannot be added to
            pass
    else:
        _try_to_write(*storage_for(rejects), "the rejects file")

    directory = parent_of(prefix)
    form = re.compile(re.escape(name_of(prefix)) + r"-[0-9]+\.txt")
    try:
        names = storage.list_names(directory).directories
    except FileNotFoundError:  # of stores that know no empty directories
        return []
    earlier = sum(form.fullmatch(name) is not None for name in names)
    if not earlier:
        return []
    batches = "1 batch" if earlier == 1 else f"{earlier:,} batches"
    return [
        f"The figures of {batches} of an earlier run are in {options.figures}; this run begins afresh. "
        f"Hint: another --output keeps them apart."
    ]


def _try_to_write(storage: Storage, path: str, what: str) -> None:
    """Make the directory of ``path``, and for a moment a file in it."""
    directory = parent_of(path)
    try:
        storage.makedirs(directory)
    except (FileExistsError, NotADirectoryError):
        raise StorageError(f"{directory}, where {what} should go, is not a directory") from None
    probe = temporary_path(path)
    storage.write_atomic(probe, b"")
    storage.remove(probe)

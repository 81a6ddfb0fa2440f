"""What the commands of ``penstock checkpoint`` say, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from penstock.brokerage.words import counted
from penstock.checkpoint import Checkpoint, Image, Journal, Plain
from penstock.conf import TRUST_STORE
from penstock.context import StreamingContext
from penstock.dstream import report
from penstock.errors import ArgumentError, CorruptCheckpoint, StateError
from penstock.storage import Storage, join, storage_for
from penstock.times import BatchTime, local_datetime, shown_ms

__all__ = ["differences", "replayed", "shown", "verified"]

REPLAYED = "replayed.json"
"""Which lost outputs have been run again, in the checkpoint directory."""


def _loaded(directory: str) -> tuple[Image, list[str]]:
    storage, path = storage_for(directory)
    loaded = Journal(storage, path).load()
    if loaded is None:
        raise StateError(f"there is no checkpoint in {directory}")
    return loaded.image, loaded.complaints


def shown(directory: str) -> Iterator[str]:
    """What is in a checkpoint."""
    image, complaints = _loaded(directory)
    storage, path = storage_for(directory)
    journal = Journal(storage, path)
    yield f"Checkpoint {directory}"
    batches, runs = counted(image.batches, "batch", "batches"), counted(image.runs, "run")
    yield f"  {batches} of {shown_ms(image.interval_ms)} in {runs}"
    yield f"  last complete batch   {_moment(image.committed_ms)}"
    sizes = journal.sizes()
    files, snapshots = counted(len(sizes), "journal file"), counted(len(journal.snapshots()), "snapshot")
    yield f"  {files}, {sum(sizes):,} bytes; {snapshots}"
    if image.operators:
        yield "State and windows"
    for name, operator in image.operators.items():
        where = f" ({operator.where})" if operator.where else ""
        yield f"  {name}: {operator.operation}{where}, {_held(image, name, operator.kind)}"
    yield "Inputs"
    for name, source in image.inputs.items():
        yield f"  {name}: {source.source}"
    if image.planned:
        yield "Planned, and to be run first by the next run"
    for time, inputs in sorted(image.planned.items()):
        what = "; ".join(intent["description"] for intent in inputs.values() if intent["description"])
        yield f"  {_moment(time)}: {what or 'no input'}"
    done = _replayed_before(storage, path)
    lost = [entry for entry in image.lost if (entry["time"], entry["output"]) not in done]
    if lost:
        yield "Outputs that were given up"
    for entry in lost:
        kept = "its records are kept" if entry["records"] is not None else "its records could not be computed"
        yield f"  {_moment(entry['time'])}: {entry['site']}: {entry['error']}; {kept}"
        if entry["records"] is None:
            for source, description in entry["inputs"].items():
                yield f"    its input: {source}: {description}"
    for complaint in complaints:
        yield f"Damaged: {complaint}"


def _held(image: Image, name: str, kind: str) -> str:
    if kind == "table":
        keys, size = image.table_sizes(name)
        return f"{counted(keys, 'key')} at most, {size:,} bytes"
    slides = image.slides(name)
    size = sum(len(part) for slide in slides.values() for part in slide.parts)
    return f"{counted(len(slides), 'slide')}, {size:,} bytes"


def _moment(time_ms: int | None) -> str:
    return "none" if time_ms is None else f"{local_datetime(BatchTime(time_ms))} ({time_ms} ms)"


def verified(directory: str) -> tuple[list[str], bool]:
    """What reading every file has shown, and whether all is well."""
    storage, path = storage_for(directory)
    journal = Journal(storage, path)
    numbers = journal.numbers()
    if not numbers:
        raise StateError(f"there is no checkpoint in {directory}")
    lines, whole = [], True
    for name, problem, count in journal.verify():
        lines.append(f"{name}: {problem or counted(count, 'record') + ', whole'}")
        whole = whole and problem is None
    try:
        loaded = journal.load()
    except CorruptCheckpoint as error:
        return [*lines, str(error)], False
    assert loaded is not None
    image = loaded.image
    lines.append(
        f"A run would go on after the batch {_moment(image.committed_ms)}, "
        f"with {counted(len(image.planned), 'batch', 'batches')} to run again."
    )
    return lines, whole


def differences(directory: str, ssc: StreamingContext) -> list[str]:
    """What becomes of a checkpoint with a program."""
    image, _ = _loaded(directory)
    if image.interval_ms != ssc.graph.interval_ms:
        raise ArgumentError(
            f"the checkpoint is of batches of {shown_ms(image.interval_ms)}, the program's are of "
            f"{shown_ms(ssc.graph.interval_ms)}: it cannot go on from there"
        )
    return report(ssc.graph, image)


def replayed(directory: str, ssc: StreamingContext) -> Iterator[str]:
    """Run lost outputs again; what has become of each."""
    image, _ = _loaded(directory)
    storage, path = storage_for(directory)
    done = _replayed_before(storage, path)
    ssc.graph.run.id = image.run
    outputs = ssc.graph.outputs
    trust = Checkpoint(directory, trust_store=ssc.sparkContext.conf.value(TRUST_STORE)).trust
    left = [entry for entry in image.lost if (entry["time"], entry["output"]) not in done]
    if not left:
        yield "Nothing was given up, or all of it has been replayed."
    for entry in left:
        what = f"{entry['site']} of the batch {_moment(entry['time'])}"
        index = entry["output"]
        operation = entry["site"].partition(" (")[0]
        known = outputs[index] if index < len(outputs) else None
        if known is None or (known.site.operation, known.writes) != (operation, entry["writes"]):
            place = f" to {entry['writes']}" if entry["writes"] else ""
            raise ArgumentError(
                f"the program's output number {index + 1} is no {operation}{place}, so it is not the one "
                f"that "
                f"was given up: {what}"
            )
        if entry["records"] is None:
            yield f"not replayed: {what}: its records could not be computed. Feed its input again."
            continue
        records = Plain.read(entry["records"], trust)
        rdd = ssc.sparkContext.union([ssc.sparkContext.parallelize(part, 1) for part in records])
        outputs[index].action(BatchTime(entry["time"]), rdd)
        done.add((entry["time"], index))
        storage.write_atomic(join(path, REPLAYED), json.dumps(sorted(done)).encode(), durable=True)
        yield f"replayed: {what}"


def _replayed_before(storage: Storage, path: str) -> set[tuple[int, int]]:
    try:
        found: Any = json.loads(storage.read(join(path, REPLAYED)))
    except FileNotFoundError:
        return set()
    return {(time, output) for time, output in found}

"""What is done with a stream: the output operations."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import field
from typing import Any

from penstock.dstream.node import StreamNode
from penstock.errors import CallSite
from penstock.rdd import RDD
from penstock.sinks import PartFormat, replace_directory
from penstock.storage import storage_for
from penstock.times import BatchTime, local_datetime
from penstock.values import dataclass

__all__ = ["Output", "Run", "batch_directory", "place_of", "print_batch", "save_batch"]


class Output:
    """One output operation: ``action(time, rdd)`` once a batch, in the order of registration.

    Nothing is done in a batch for which ``node`` has no RDD. ``writes`` names the place that it replaces
    in every batch, if there is one, as the user wrote it; ``place`` is the same for all ways to write it. No
    two outputs may have the same.

    ``rests(time)``, if there is such a function, is asked before each batch whether the action would do
    nothing in it. What only that reads is then not even planned.
    """

    rests: Callable[[BatchTime], bool] | None = None  # also of those stored before there was such a thing

    def __init__(
        self,
        site: CallSite,
        node: StreamNode,
        action: Callable[[BatchTime, RDD], Any],
        writes: str | None = None,
        place: str | None = None,
        rests: Callable[[BatchTime], bool] | None = None,
    ) -> None:
        self.site = site
        self.node = node
        self.action = action
        self.writes = writes
        self.place = place or writes
        self.rests = rests

    def __repr__(self) -> str:
        return f"Output({self.site})"


@dataclass
class Run:
    """Under which name a run of the program writes, and whether files are forced to the disk. A run that goes
    on from a checkpoint has the name of the one before."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    sync_outputs: bool = False


def batch_directory(prefix: str, suffix: str | None, time: int | str) -> str:
    """``<prefix>-<ms>[.<suffix>]``; without a prefix just ``<ms>``.

    >>> batch_directory("out/orders", "txt", 5_000)
    'out/orders-5000.txt'
    """
    name = f"{prefix}-{time}" if prefix else str(time)
    return f"{name}.{suffix}" if suffix else name


def place_of(location: str) -> str:
    """A path or URL in the form that all ways to write it have in common.

    >>> place_of("file:///out/./orders/")
    '/out/orders'
    """
    storage, path = storage_for(location)
    return storage.url(path)


def save_batch(
    prefix: str, suffix: str | None, run: Run, format: PartFormat, skip_empty: bool
) -> Callable[[BatchTime, RDD], None]:
    """The action of a ``saveAs...Files``: a directory a batch."""

    def save(time: BatchTime, rdd: RDD) -> None:
        replace_directory(
            rdd.context,
            rdd.plan,
            batch_directory(prefix, suffix, time),
            format,
            run_id=run.id,
            durable=run.sync_outputs,
            skip_empty=skip_empty,
        )

    return save


def print_batch(num: int) -> Callable[[BatchTime, RDD], None]:
    """The action of ``pprint``: PySpark's text, written at once."""
    line = "-" * 43

    def show(time: BatchTime, rdd: RDD) -> None:
        taken = rdd.take(num + 1)
        shown = [str(record) for record in taken[:num]]
        lines = [
            line,
            f"Time: {local_datetime(time)}",
            line,
            *shown,
            *(["..."] if len(taken) > num else []),
            "",
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    return show

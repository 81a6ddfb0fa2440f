"""Feed the lines of a file to a topic of Kafka, a message each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from penstock.brokerage.feed import Fed, Pace
from penstock.clients.kafka import Sending, producer_settings
from penstock.clock import Clock
from penstock.errors import ArgumentError, StorageError

__all__ = ["feed_kafka"]


def feed_kafka(
    file: str | Path,
    servers: str,
    topic: str,
    lines: int = 10_000,
    every_s: float = 3.0,
    *,
    skip_lines: int = 0,
    clock: Clock | None = None,
    on_progress: Callable[[int, int], object] = lambda bytes_sent, lines_sent: None,
    stop: threading.Event | None = None,
) -> Fed:
    r"""Send each line, without its end and without a key, to the topic; ``lines`` of them every ``every_s``.

    The producer is idempotent: its retries double nothing. A part is over when all of its messages have
    arrived. ``servers`` are the brokers to ask first, between commas. The partitions of the topic get a line
    each in turns, always the same ones.

    The first ``skip_lines`` lines are left out. ``on_progress`` is told how many bytes and lines of the file
    are behind us. Setting ``stop`` ends the feed between two parts, and where brokers do not answer within
    some seconds. Raises ``StorageError`` if messages do not arrive, and ``UnsupportedError`` where the client
    is not installed.
    """
    if lines < 1:
        raise ArgumentError(f"lines must be 1 or more, not {lines}")
    stop = stop or threading.Event()
    pace = Pace(every_s, clock, stop)
    part_count = line_count = byte_count = 0
    number = skip_lines
    with open(file, "rb") as source:
        sending = Sending(producer_settings({"bootstrap.servers": servers}), topic)
        for line in islice(source, skip_lines):
            byte_count += len(line)
        while part := list(islice(source, lines)):
            if not pace.wait() or not (part_count or sending.ready(stop)):
                return Fed(part_count, line_count, finished=False)
            for line in part:
                try:
                    sending.send(None, line.removesuffix(b"\n").removesuffix(b"\r"), [], number)
                except StorageError as problem:
                    raise StorageError(f"at line {number + 1:,} of {file}: {problem}") from problem
                byte_count += len(line)
                number += 1
            sending.finish(stop)
            part_count += 1
            line_count += len(part)
            on_progress(byte_count, skip_lines + line_count)
    return Fed(part_count, line_count, finished=True)

"""What ``penstock brokerage feed`` is told, and whom it hands the file to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from penstock.brokerage.feed import Fed, Part
from penstock.brokerage.feed_files import feed_files
from penstock.brokerage.feed_lines import Acknowledged, Unacknowledged
from penstock.brokerage.places import Directory, Kafka, Tcp, place_of
from penstock.brokerage.words import counted
from penstock.errors import ArgumentError, joined
from penstock.values import dataclass

__all__ = ["Feeding", "feed_to"]


@dataclass(frozen=True)
class Feeding:
    """Which file, where to, how fast. ``ArgumentError``, in the words of the command line and all at once,
    for what cannot be meant.

    >>> Feeding(Path("orders.txt"), "input", acked=True)
    Traceback (most recent call last):
    penstock.errors.ArgumentError: --acked is for lines through a connection. Hint: --to tcp://localhost:9999.
    """

    file: Path
    target: str
    lines: int = 10_000
    every_s: float = 3.0
    connect: bool = False
    acked: bool = False
    stream_id: str | None = None

    def __post_init__(self) -> None:
        place = place_of(self.target, any_port=not self.connect)
        problems = []
        for name, given in (("--connect", self.connect), ("--acked", self.acked)):
            if given and not isinstance(place, Tcp):
                problems.append(f"{name} is for lines through a connection. Hint: --to tcp://localhost:9999.")
        if self.stream_id is not None and not self.acked:
            problems.append("--stream-id is a name for acknowledged lines. Hint: --acked.")
        if problems:
            raise ArgumentError(joined(problems))


def feed_to(
    feeding: Feeding,
    *,
    on_progress: Callable[[int, str], object],
    waiting: Callable[[str], object],
    stop: threading.Event,
) -> tuple[Fed, str]:
    """Feed until all is there or ``stop`` is set: what was done, in figures and in words.

    ``on_progress`` is told how many bytes of the file are behind us, and a word on what is going on;
    ``waiting`` a sentence, when there is nobody to send to.
    """
    place = place_of(feeding.target, any_port=True)
    if isinstance(place, Directory):
        return _into_directory(feeding, place, on_progress, stop)
    if isinstance(place, Kafka):
        return _to_topic(feeding, place, on_progress, stop)
    return _to_connection(feeding, place, on_progress, waiting, stop)


def _into_directory(
    feeding: Feeding, place: Directory, on_progress: Callable[[int, str], object], stop: threading.Event
) -> tuple[Fed, str]:
    byte_count = 0

    def on_part(part: Part) -> None:
        nonlocal byte_count
        byte_count += part.byte_count
        on_progress(byte_count, part.path.name)

    fed = feed_files(
        feeding.file, place.location, feeding.lines, feeding.every_s, on_progress=on_part, stop=stop
    )
    parts, lines = counted(fed.part_count, "part"), counted(fed.line_count, "line")
    return fed, f"{parts}, {lines}, moved into {place.location}"


def _to_connection(
    feeding: Feeding,
    place: Tcp,
    on_progress: Callable[[int, str], object],
    waiting: Callable[[str], object],
    stop: threading.Event,
) -> tuple[Fed, str]:
    def on_block(byte_count: int, line_count: int) -> None:
        on_progress(byte_count, counted(line_count, "line"))

    sender: Acknowledged | Unacknowledged
    if feeding.acked:
        sender = Acknowledged(
            feeding.file,
            place.host,
            place.port,
            feeding.lines,
            feeding.every_s,
            listen=not feeding.connect,
            stream_id=feeding.stream_id,
            on_progress=on_block,
            waiting=waiting,
            stop=stop,
        )
        with sender:
            fed = sender.send()
        return fed, f"{counted(fed.line_count, 'line')} of {sender.stream_id} acknowledged"
    sender = Unacknowledged(
        feeding.file,
        place.host,
        place.port,
        feeding.lines,
        feeding.every_s,
        listen=not feeding.connect,
        on_progress=on_block,
        waiting=waiting,
        stop=stop,
    )
    with sender:
        fed = sender.send()
    return fed, f"{counted(fed.line_count, 'line')} sent"


def _to_topic(
    feeding: Feeding, place: Kafka, on_progress: Callable[[int, str], object], stop: threading.Event
) -> tuple[Fed, str]:
    from penstock.brokerage.feed_kafka import feed_kafka

    def on_block(byte_count: int, line_count: int) -> None:
        on_progress(byte_count, counted(line_count, "line"))

    fed = feed_kafka(
        feeding.file,
        place.servers,
        place.topic,
        feeding.lines,
        feeding.every_s,
        on_progress=on_block,
        stop=stop,
    )
    return fed, f"{counted(fed.line_count, 'line')} sent to the topic {place.topic}"

"""Messages to a topic of Kafka, and how a reader tells those that came twice.

A batch that is run again, after a failure or a crash, sends all its messages again. Each has two headers:
the time of its batch, and ``<output>/<partition>/<number>``, its place in the batch, which is the same each
time the same records are computed in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from penstock.chunk import Chunk
from penstock.clients import kafka
from penstock.errors import ArgumentError, CallSite, SignatureError, shown
from penstock.plan import Node, OnDriver, Task, must_be_callable, raise_located
from penstock.sinks.base import Jobs
from penstock.values import dataclass

__all__ = ["BATCH_TIME", "RECORD", "KafkaRepeats", "MessageShape", "save_kafka"]

BATCH_TIME = "penstock-batch-time"
RECORD = "penstock-record"


@dataclass(frozen=True)
class MessageShape:
    """Where messages go, and what they are made of."""

    topic: str
    settings: Mapping[str, Any] = field(repr=False)  # there may be passwords among them
    key: Callable[[Any], Any] | None
    value: Callable[[Any], Any] | None
    headers: Callable[[Any], Any] | None
    site: CallSite

    @classmethod
    def of(
        cls,
        topic: str,
        params: Mapping[str, Any],
        key: Callable[[Any], Any] | None,
        value: Callable[[Any], Any] | None,
        headers: Callable[[Any], Any] | None,
        site: CallSite,
    ) -> MessageShape:
        """What a user has asked for, checked."""
        if not isinstance(topic, str):
            raise SignatureError(f"saveToKafka needs the name of a topic, not {topic!r}")
        if not topic or kafka.is_pattern(topic):
            raise ArgumentError(f"saveToKafka needs the name of a topic, not {topic!r}")
        for name, function in (("key", key), ("value", value), ("headers", headers)):
            if function is not None:
                must_be_callable(function, f"{name} of saveToKafka")
        kafka.engine()  # where it is missing, that is said before anything runs
        return cls(topic, kafka.producer_settings(params), key, value, headers, site)

    def message(self, record: Any) -> tuple[bytes | str | None, bytes | str | None, list[Any]]:
        """Key, value and headers. What the user's functions raise is raised."""
        is_pair = type(record) is tuple and len(record) == 2
        if self.key is not None:
            key = self.key(record)
        else:
            key = _plain(record[0]) if is_pair and self.value is None else None
        if self.value is not None:
            value = self.value(record)
        else:
            value = _plain(record[1] if is_pair else record)
        for what, given in (("key", key), ("value", value)):
            if not isinstance(given, (bytes, str, type(None))):
                raise SignatureError(
                    f"{what} of {self.site} should return bytes, str or None, not {type(given).__name__}: "
                    f"{shown(given, 60)}"
                )
        headers = None if self.headers is None else self.headers(record)
        if isinstance(headers, Mapping):
            headers = headers.items()
        return key, value, list(headers or ())


def _plain(given: Any) -> bytes | str | None:
    return given if given is None or isinstance(given, (bytes, str)) else str(given)


def save_kafka(
    jobs: Jobs, plan: Node, shape: MessageShape, *, time: int | None = None, output: int = 0
) -> None:
    """Send the records of all partitions side by side; over when all have arrived."""

    def send(task: Task, chunks: Iterator[Chunk]) -> None:
        sending = kafka.Sending(shape.settings, shape.topic)
        of_batch = [] if time is None else [(BATCH_TIME, str(time))]
        numbers = itertools.count()
        for chunk in chunks:
            for record in chunk.rows():
                try:
                    key, value, headers = shape.message(record)
                    number = next(numbers)
                    place = (RECORD, f"{output}/{task.partition}/{number}")
                    sending.send(key, value, [*headers, *of_batch, place], task.partition + number)
                except Exception as error:
                    raise_located(error, shape.site, record)
        sending.finish()

    jobs.run(plan, OnDriver(send))


class KafkaRepeats:
    """Tells which messages of ``saveToKafka`` came before: what a reader needs to have each once.

    One for each partition that is read, whose messages are shown to it in the order of their offsets. It
    remembers which records of the newest batch of each output it has seen. A message of an older batch is a
    repeat, since a batch begins only when all messages of the one before have arrived. So it suits programs
    that run a batch that failed again (``ssc.checkpoint``), compute the same records each time, and write to
    a topic whose number of partitions stays and to which no other program writes: its messages would be
    taken for repeats. Messages without the headers, and those of ``RDD.saveToKafka``, are never repeats. It
    can be pickled: who keeps it with what was read goes on.

    >>> repeats = KafkaRepeats()
    >>> headers = [("penstock-batch-time", b"5000"), ("penstock-record", b"0/3/17")]
    >>> repeats.isRepeat(headers), repeats.isRepeat(headers)
    (False, True)
    """

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, set[str]]] = {}

    def isRepeat(self, headers: Iterable[tuple[str, bytes | str | None]] | None) -> bool:
        """Whether a message with these headers was seen before; if not, it has been now."""
        found = {name: _text(content) for name, content in headers or ()}
        if BATCH_TIME not in found or RECORD not in found:
            return False
        time, (output, _, place) = int(found[BATCH_TIME]), found[RECORD].partition("/")
        newest, seen = self._newest.get(output, (-1, set()))
        if time < newest or (time == newest and place in seen):
            return True
        if time > newest:
            seen = set()
            self._newest[output] = time, seen
        seen.add(place)
        return False


def _text(content: bytes | str | None) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else content or ""

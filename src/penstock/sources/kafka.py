"""Topics of Kafka: a range of offsets of each partition is the input of a batch.

::

    partition 0   ....|========|.......      a batch takes [from, until) of each partition:
    partition 1   ..|==========|.......      planned when its time comes, written down with the batch,
    partition 2   ......|=|............      and read from the brokers as often as the batch is run

Offsets without a message are normal (compaction, transactions), so the number of records is that of the
offsets, as in Spark, and may be more than the number of messages.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

import pyarrow as pa

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Optional, Rows, RowType, Scalar, Tuple
from penstock.clients import kafka
from penstock.clients.kafka import Cluster, OnDataLoss, Place, Reset
from penstock.errors import ArgumentError, CallSite, StateError, StorageError
from penstock.plan import Node, PartitionReader, Source, Task, raise_located
from penstock.sources.base import Intent, StreamSource
from penstock.times import BatchTime
from penstock.values import dataclass

__all__ = [
    "KAFKA_TEXT",
    "KafkaMessageAndMetadata",
    "KafkaRange",
    "KafkaReading",
    "KafkaSource",
    "MessageDecoding",
    "OffsetRange",
    "TopicAndPartition",
    "offset_ranges_of",
    "ranges_node",
    "utf8_decoder",
]

_log = logging.getLogger(__name__)

_OFFSETS_MAX = 2**31 - 1

KAFKA_TEXT = Tuple((Optional(Scalar(str)), Optional(Scalar(str))))
"""Key and value as text; either may be missing."""


class TopicAndPartition(NamedTuple):
    """One partition of a topic, as PySpark 2 named it.

    >>> TopicAndPartition("orders", 0)
    TopicAndPartition(topic='orders', partition=0)
    """

    topic: str
    partition: int


class OffsetRange(NamedTuple):
    """The messages of one partition with offsets from ``fromOffset`` up to but without ``untilOffset``.

    >>> OffsetRange("orders", 0, 100, 110).count()
    10
    """

    topic: str
    partition: int
    fromOffset: int
    untilOffset: int

    def count(self) -> int:  # type: ignore[override]  # as in Scala; that of tuples means nothing here
        """How many offsets these are; there may be fewer messages."""
        return self.untilOffset - self.fromOffset

    def topicAndPartition(self) -> TopicAndPartition:
        """Of which partition.

        >>> OffsetRange("orders", 0, 100, 110).topicAndPartition()
        TopicAndPartition(topic='orders', partition=0)
        """
        return TopicAndPartition(self.topic, self.partition)


class KafkaMessageAndMetadata(NamedTuple):
    """A message with all that Kafka knows of it, as a ``messageHandler`` gets it.

    ``key`` and ``message`` are what the decoders made of the bytes, or ``None``. ``timestamp`` is in
    milliseconds since the epoch, ``None`` if there is none; ``headers`` are pairs of a name and bytes.

    >>> KafkaMessageAndMetadata("orders", 0, 17, None, "EPE").offset
    17
    """

    topic: str
    partition: int
    offset: int
    key: Any
    message: Any
    timestamp: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def utf8_decoder(data: bytes | None) -> str | None:
    """Bytes as text, what is not UTF-8 as U+FFFD; ``None`` stays ``None``.

    >>> utf8_decoder(b"EPE"), utf8_decoder(b"\\xff"), utf8_decoder(None)
    ('EPE', '\\ufffd', None)
    """
    return None if data is None else data.decode("utf-8", "replace")


# ---------------------------------------------------------------------------------- from messages to records


@dataclass(frozen=True)
class MessageDecoding:
    """What becomes of a message: ``(key, value)``, decoded, or what ``handler`` makes of it."""

    key: Callable[[bytes | None], Any]
    value: Callable[[bytes | None], Any]
    handler: Callable[[KafkaMessageAndMetadata], Any] | None
    site: CallSite

    @property
    def row_type(self) -> RowType | None:
        """That of the columns that are made, if no function of the user's is called."""
        plain = self.key is utf8_decoder and self.value is utf8_decoder and self.handler is None
        return KAFKA_TEXT if plain else None

    def chunks(self, messages: list[Any]) -> Iterator[tuple[Chunk, int]]:
        """Chunks of records, and in how many keys and values bytes were not UTF-8."""
        for at in range(0, len(messages), CHUNK_ROWS):
            part = messages[at : at + CHUNK_ROWS] if len(messages) > CHUNK_ROWS else messages
            if self.row_type is not None:
                yield from _columns(part)
            else:
                yield Rows(self._rows(part)), 0

    def _rows(self, messages: list[Any]) -> list[Any]:
        rows: list[Any] = []
        try:
            for message in messages:
                pair = self.key(message.key()), self.value(message.value())
                rows.append(pair if self.handler is None else self.handler(_whole(message, *pair)))
        except Exception as error:
            message = messages[len(rows)]
            raise_located(error, self.site, _whole(message, message.key(), message.value()))
        return rows


def _whole(message: Any, key: Any, value: Any) -> KafkaMessageAndMetadata:
    kind, time = message.timestamp()
    headers = tuple((name, content) for name, content in message.headers() or ())
    return KafkaMessageAndMetadata(
        message.topic(), message.partition(), message.offset(), key, value, time if kind else None, headers
    )


def _columns(messages: list[Any]) -> Iterator[tuple[Chunk, int]]:
    keys = [message.key() for message in messages]
    values = [message.value() for message in messages]
    size = sum(map(len, messages)) + sum(len(key) for key in keys if key)
    if size > _OFFSETS_MAX and len(messages) > 1:
        half = len(messages) // 2
        yield from _columns(messages[:half])
        yield from _columns(messages[half:])
        return
    (key_array, bad_keys), (value_array, bad_values) = _texts(keys), _texts(values)
    yield Columns(KAFKA_TEXT, [key_array, value_array], len(messages)), bad_keys + bad_values


def _texts(values: list[bytes | None]) -> tuple[pa.Array, int]:
    """A column of text, and how many values were none."""
    array = pa.array(values, pa.binary())
    try:
        return array.cast(pa.string()), 0
    except pa.ArrowInvalid:
        texts = list(map(utf8_decoder, values))
        bad = sum(
            text is not None and text.encode() != value for text, value in zip(texts, values, strict=True)
        )
        return pa.array(texts, pa.string()), bad


# ------------------------------------------------------------------------------------------ the partitions


@dataclass(frozen=True)
class KafkaReading:
    """How ranges are read: the client's settings, what becomes of messages, and what if they are gone."""

    settings: Mapping[str, Any] = field(repr=False)  # there may be passwords among them
    decoding: MessageDecoding
    on_loss: OnDataLoss = "fail"
    stall_ms: int = 120_000
    timeout_ms: int = 3_000
    origin: Hashable = None


class KafkaRange(PartitionReader):
    """One range of offsets, as one partition."""

    __slots__ = ("range", "reading")

    def __init__(self, range: OffsetRange, reading: KafkaReading) -> None:
        self.range = range
        self.reading = reading

    @property
    def row_type(self) -> RowType | None:
        return self.reading.decoding.row_type

    @property
    def bytes_hint(self) -> int | None:
        each = kafka.bytes_per_message(self.range.topic)
        return None if each is None else self.range.count() * each

    def read(self, task: Task) -> Iterator[Chunk]:
        topic, partition, start, until = self.range
        reading = self.reading
        count = damaged = 0
        place = (reading.origin, topic, partition, start)
        for messages in kafka.read_range(
            reading.settings,
            (topic, partition),
            start,
            until,
            on_loss=reading.on_loss,
            stall_ms=reading.stall_ms,
            timeout_ms=reading.timeout_ms,
            note_lost=lambda lost: task.metrics.note("lost", place, lost),
        ):
            count += len(messages)
            for chunk, bad in reading.decoding.chunks(messages):
                damaged += bad
                yield chunk
        task.metrics.note("records", place, count)
        if damaged:
            task.metrics.note("bad_utf8", place, damaged)


@dataclass(frozen=True, eq=False)
class _Ranges(Source):
    """The ranges of a batch, which may be none."""


def ranges_node(ranges: Sequence[OffsetRange], reading: KafkaReading, site: CallSite) -> Node:
    """A partition for each range."""
    return _Ranges(site, [KafkaRange(each, reading) for each in ranges], reading.decoding.row_type)


def offset_ranges_of(plan: Node, site: CallSite) -> list[OffsetRange]:
    """The range of each partition of ``plan``; ``StateError`` if it was not made of ranges of offsets."""
    if not isinstance(plan, _Ranges):
        raise StateError(
            f"{site} is known of the RDDs of createDirectStream and createRDD, and not of what is made of "
            f"them. Hint: stream.transform(note).map(...), where note(rdd) keeps rdd.offsetRanges() and "
            f"returns rdd."
        )
    return [reader.range for reader in plan.readers if isinstance(reader, KafkaRange)]


# ---------------------------------------------------------------------------------------------- the stream


class KafkaSource(StreamSource):
    """The messages of some topics, each partition from where the batch before has ended.

    ``topics`` may be patterns (``^...``). A partition begins at ``from_offsets``; with ``commits`` where its
    group has committed; at the end of the partition or at its beginning, as ``reset`` says. What appears
    later begins at its beginning. ``max_rate`` and ``min_rate`` are messages per second and partition. With
    ``commits`` the group is told where each partition goes on behind the batches that succeeded.
    """

    recoverable = True
    waits = True
    paced = True

    def __init__(
        self,
        cluster: Cluster,
        topics: Sequence[str],
        reading: KafkaReading,
        *,
        interval_ms: int,
        reset: Reset,
        from_offsets: Mapping[Place, int],
        max_rate: int | None = None,
        min_rate: int = 1,
        commits: bool = False,
    ) -> None:
        self.name = f"kafka {', '.join(topics)} at {cluster}"
        self.row_type = reading.decoding.row_type
        self.reads_ahead = self.row_type is not None  # else the user's functions are called
        self._cluster = cluster
        self._topics = list(topics)
        self._reading = reading
        self._interval_ms = interval_ms
        self._reset = reset
        self._from_offsets = dict(from_offsets)
        self._max_rate = max_rate
        self._min_rate = min_rate
        self._commits = commits
        self._next: dict[Place, int] = {}
        self._restored = False
        self._limits: dict[Place, int] | None = None  # after only_available
        self._rate: float | None = None
        self._gone = 0  # that no batch has told of yet
        self._missing: set[str] = set()  # what was reported to be missing
        self._to_commit: deque[tuple[BatchTime, dict[Place, int]]] = deque()
        self._promised: dict[Place, int] = {}  # what is in there, or was

    def restore(self, position: Any, taken: Sequence[Intent]) -> None:
        self._next = {(topic, partition): offset for topic, partition, offset in position}
        for intent in taken:
            for topic, partition, _, until in intent.items:
                self._next[topic, partition] = until
        self._restored = True

    def position(self) -> Any:
        """Where each partition that is known goes on; all others begin at their beginning."""
        return [[*place, offset] for place, offset in sorted(self._next.items())]

    def open(self) -> None:
        if not self._restored:
            with self._cluster.at_the_start():
                self._next = self._beginning()

    def _beginning(self) -> dict[Place, int]:
        """Where each partition that is there begins."""
        found = self._places()
        unknown = sorted(set(self._from_offsets) - set(found))
        if unknown:
            shown = ", ".join(map(_named, unknown))
            raise ArgumentError(f"fromOffsets: there is no partition {shown}. It has {_all(found)}.")
        begun = self._cluster.committed(found) if self._commits else {}
        begun.update(self._from_offsets)
        others = [place for place in found if place not in begun]
        if others and self._reset == "error":
            raise ArgumentError(
                f"nothing says where {', '.join(map(_named, others))} is to be read from. "
                f"Hint: fromOffsets, or auto.offset.reset = earliest or latest in kafkaParams."
            )
        ends = self._cluster.ends(found)
        for place, offset in self._from_offsets.items():
            if not 0 <= offset <= ends[place]:
                raise ArgumentError(f"fromOffsets: {_named(place)} ends at {ends[place]}, before {offset}")
        begun.update(
            self._cluster.beginnings(others)
            if self._reset == "earliest"
            else {place: ends[place] for place in others}
        )
        return begun

    def only_available(self) -> None:
        with self._cluster.at_the_start():
            ahead, ends, self._gone = self._looked()
        self._next = ahead
        self._limits = ends
        if not self._restored and self._reset == "latest" and not any(self._lags(ahead, ends).values()):
            _log.warning(
                "%s: the stream begins where the topics end, so nothing is available. "
                "Hint: kafkaParams['auto.offset.reset'] = 'earliest'.", self.name,
            )  # fmt: skip

    @property
    def exhausted(self) -> bool:
        return self._limits is not None and not any(self._lags(self._next, self._limits).values())

    def pace(self, records_per_s: float) -> None:
        self._rate = records_per_s

    def plan(self, time: BatchTime) -> Intent:
        if self._limits is None:
            ahead, ends, gone = self._looked()
        else:  # nothing is asked: what was there at the start is what is given out
            ahead, ends, gone = dict(self._next), self._limits, self._gone
            self._gone = 0
        lags = self._lags(ahead, ends)
        counts = self._counts(lags, time)
        items = tuple(
            (*place, ahead[place], ahead[place] + count) for place, count in sorted(counts.items()) if count
        )
        for topic, partition, _, until in items:
            ahead[topic, partition] = until
        self._next = ahead
        if self._commits:  # of quiet partitions too: else the next run begins behind what comes meanwhile
            news = {place: ahead[place] for place in ends if self._promised.get(place) != ahead[place]}
            self._promised.update(news)
            self._to_commit.append((time, news))
        taken = sum(counts.values())
        metadata: dict[str, Any] = {
            "offsets": [list(item) for item in items],
            "waiting": sum(lags.values()) - taken,
        }
        if gone:
            metadata["lost"] = gone
        return Intent(items, taken, _described(items, taken), metadata)

    def node(self, intent: Intent, site: CallSite) -> Node:
        return ranges_node([OffsetRange(*item) for item in intent.items], self._reading, site)

    def committed(self, time: BatchTime) -> None:
        offsets: dict[Place, int] = {}
        while self._to_commit and self._to_commit[0][0] <= time:
            offsets.update(self._to_commit.popleft()[1])
        if offsets:
            try:
                self._cluster.commit(offsets)
            except StorageError as error:  # they go with the next ones
                _log.warning("%s", error)

    def close(self) -> None:
        self._cluster.close()
        kafka.close_readers(self._reading.settings)

    # Looking

    def _places(self) -> list[Place]:
        """All partitions of the topics. A topic that is not there is reported once, and waited for."""
        found = self._cluster.partitions(self._topics)
        missing = {topic for topic in self._topics if topic not in found and not kafka.is_pattern(topic)}
        for topic in sorted(missing - self._missing):
            _log.warning("%s: there is no topic %s. It is waited for.", self.name, topic)
        self._missing = missing
        return [(topic, partition) for topic, partitions in found.items() for partition in partitions]

    def _looked(self) -> tuple[dict[Place, int], dict[Place, int], int]:
        """Where each partition goes on, where it ends, and how many messages were lost. Changes nothing."""
        places = self._places()
        news = [place for place in places if place not in self._next]
        ahead = {**self._next, **self._cluster.beginnings(news)}
        ends = self._cluster.ends(places)
        looked_at = [place for place in places if ends[place] != ahead[place]]
        gone = 0
        for place, low in self._cluster.beginnings(looked_at).items():
            if low <= ahead[place] <= ends[place]:
                continue
            if self._reading.on_loss == "fail":
                raise kafka.lost(*place, ahead[place], low, ends[place])
            count = max(low - ahead[place], 0)
            what = f"{count} messages are gone" if count else f"it ends at {ends[place]} now"
            _log.warning(
                "%s had been read up to %d: %s, it goes on from %d", _named(place), ahead[place], what, low
            )
            ahead[place] = low
            gone += count
        return ahead, ends, gone

    def _lags(self, ahead: Mapping[Place, int], ends: Mapping[Place, int]) -> dict[Place, int]:
        return {place: max(end - ahead.get(place, end), 0) for place, end in ends.items()}

    def _counts(self, lags: Mapping[Place, int], time: BatchTime) -> dict[Place, int]:
        """How many offsets of each partition the next batch gets: a rate is shared by what is waiting."""
        total, rate = sum(lags.values()), self._rate
        if rate is None and self._max_rate is None:
            return dict(lags)
        seconds = self._interval_ms / 1000
        counts = {}
        for place, lag in lags.items():
            per_s = float(lag) if rate is None else rate * lag / total if total else 0.0
            allowed = lag if rate is None else int(max(per_s, self._min_rate) * seconds)
            counts[place] = min(lag, max(1, allowed))
        if self._max_rate is not None:  # what is not whole in one batch is in a later one
            before = time - self._interval_ms
            most = self._max_rate * time // 1000 - self._max_rate * before // 1000
            counts = {place: min(count, most) for place, count in counts.items()}
        return counts


def _named(place: Place) -> str:
    return f"{place[0]}[{place[1]}]"


def _all(places: list[Place]) -> str:
    return ", ".join(map(_named, places)) or "none"


def _described(items: Sequence[tuple[str, int, int, int]], count: int) -> str:
    parts = [f"{topic}[{partition}] {start}..{until}" for topic, partition, start, until in items[:5]]
    more = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return f"{count} offsets of {len(items)} partitions{': ' if items else ''}{', '.join(parts)}{more}"

"""A client whose partitions may have gaps, lose their beginning, and be made anew: what a broker does and the
mock cluster does not. It has what ``penstock.clients.kafka`` asks of the module, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class KafkaError:
    _PARTITION_EOF = -191
    _AUTO_OFFSET_RESET = -140
    _UNKNOWN_TOPIC = -188
    _TRANSPORT = -195
    _ALL_BROKERS_DOWN = -187
    _RESOLVE = -193
    _TIMED_OUT = -185
    _FATAL = -150
    OFFSET_OUT_OF_RANGE = 1
    UNKNOWN_TOPIC_OR_PART = 3
    TOPIC_AUTHORIZATION_FAILED = 29

    def __init__(self, code: int, fatal: bool = False) -> None:
        self._code = code
        self._fatal = fatal

    def code(self) -> int:
        return self._code

    def fatal(self) -> bool:
        return self._fatal

    def name(self) -> str:
        return f"E{self._code}"

    def str(self) -> str:
        return "as asked for"


class KafkaException(Exception):
    pass


class TopicPartition:
    def __init__(self, topic: str, partition: int, offset: int = -1001) -> None:
        self.topic, self.partition, self.offset, self.error = topic, partition, offset, None


class Message:
    def __init__(self, topic: str, partition: int, offset: int, value: Any, error: Any = None) -> None:
        self._facts = topic, partition, offset, value, error

    def __len__(self) -> int:
        return len(self._facts[3] or b"")

    def topic(self) -> str:
        return self._facts[0]

    def partition(self) -> int:
        return self._facts[1]

    def offset(self) -> int:
        return self._facts[2]

    def key(self) -> None:
        return None

    def value(self) -> Any:
        return self._facts[3]

    def timestamp(self) -> tuple[int, int]:
        return 0, -1

    def headers(self) -> None:
        return None

    def error(self) -> Any:
        return self._facts[4]


@dataclass
class Log:
    """A partition: the messages by their offsets, and from where to where it reaches."""

    low: int = 0
    high: int = 0
    messages: dict[int, bytes] = field(default_factory=dict)

    def add(self, offsets: Iterable[int], high: int) -> None:
        """Messages at these offsets; all others below ``high`` are markers, aborted, or compacted away."""
        self.messages.update({offset: str(offset).encode() for offset in offsets})
        self.high = high

    def drop_below(self, low: int) -> None:
        self.low = low
        self.messages = {offset: value for offset, value in self.messages.items() if offset >= low}


class Cluster:
    """The module: ``monkeypatch.setattr(kafka, "engine", lambda: cluster)``."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, int], Log] = {}
        self.errors: list[int] = []  # what consumers say before they give anything
        self.assigned: list[int] = []
        self.asked = 0
        self.quiet = 0  # how often consumers give nothing
        self.patience: list[float] = []  # of questions which partitions there are
        self.KafkaError, self.KafkaException, self.TopicPartition = KafkaError, KafkaException, TopicPartition

    def log(self, topic: str = "t", partition: int = 0) -> Log:
        return self.logs.setdefault((topic, partition), Log())

    def Consumer(self, settings: dict[str, Any], logger: Any) -> _Consumer:
        return _Consumer(self)


class _Consumer:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.queue: list[Message] = []  # what was fetched
        self.place: Any = None
        self.position = 0
        self.said_end = -1

    def assign(self, places: list[TopicPartition]) -> None:
        [place] = places
        self.place, self.position, self.said_end, self.queue = place, place.offset, -1, []
        self.cluster.assigned.append(place.offset)

    def _fetch(self) -> None:
        topic, partition = self.place.topic, self.place.partition
        if self.cluster.errors:
            error = KafkaError(self.cluster.errors.pop(0))
            self.queue.append(Message(topic, partition, -1001, None, error))
        log = self.cluster.logs[topic, partition]
        if not log.low <= self.position <= log.high:
            error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
            self.queue.append(Message(topic, partition, self.position, None, error))
            return
        for offset in sorted(log.messages):
            if offset >= self.position:
                self.queue.append(Message(topic, partition, offset, log.messages[offset]))
        self.position = log.high
        if self.said_end != log.high:
            self.said_end = log.high
            eof = KafkaError(KafkaError._PARTITION_EOF)
            self.queue.append(Message(topic, partition, log.high, None, eof))

    def consume(self, count: int, timeout: float) -> list[Message]:
        if self.cluster.quiet:
            self.cluster.quiet -= 1
            return []
        self._fetch()
        found, self.queue = self.queue[:count], self.queue[count:]
        return found

    def poll(self, timeout: float) -> Message | None:
        found = self.consume(1, timeout)
        return found[0] if found else None

    def list_topics(self, topic: str | None = None, timeout: float = 0) -> Any:
        self.cluster.patience.append(timeout)
        names = {name for name, _ in self.cluster.logs} if topic is None else {topic}
        topics = {}
        for name in names:
            partitions = {at: None for known, at in self.cluster.logs if known == name}
            error = None if partitions else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
            topics[name] = SimpleNamespace(error=error, partitions=partitions)
        return SimpleNamespace(topics=topics)

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.cluster.asked += 1
        for place in places:
            log = self.cluster.logs[place.topic, place.partition]
            place.offset = log.high if place.offset == -1 else log.low
        return places

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        log = self.cluster.logs[place.topic, place.partition]
        return log.low, log.high

    def close(self) -> None:
        pass

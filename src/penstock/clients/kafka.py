"""Kafka, by librdkafka: what a cluster holds, reading ranges of offsets, sending.

The only file that imports the client, and only when it is used. Consumers and producers are kept per process
and used again: what a consumer has fetched beyond the end of one range is the beginning of the next.

::

    Cluster       which partitions there are, from where to where they reach     one per input
    read_range    the messages of one partition between two offsets              a consumer from the pool
    Sending       messages on their way, until each is known to have arrived     the process's producer
"""

from __future__ import annotations

import bisect
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

from penstock.clients.shared import Shared
from penstock.clock import SystemClock
from penstock.errors import (
    ArgumentError,
    InputChanged,
    InputVanished,
    SignatureError,
    StorageError,
    UnsupportedError,
)

__all__ = [
    "Cluster",
    "OnDataLoss",
    "Place",
    "Reset",
    "Sending",
    "bytes_per_message",
    "close_readers",
    "consumer_settings",
    "engine",
    "idle_readers",
    "is_pattern",
    "producer_settings",
    "read_range",
]

Place = tuple[str, int]
"""A topic and a partition of it."""

Reset = Literal["earliest", "latest", "error"]
OnDataLoss = Literal["fail", "earliest"]

_log = logging.getLogger(__name__)
_clock = SystemClock()

_CHUNK_BYTES = 8 << 20  # about so much is asked for at a time
_FIRST_MESSAGES, _MOST_MESSAGES = 500, 20_000  # at a time, before and after their size is known
_WAIT_S = 0.5  # for one message, before it is looked at how long nothing came
_FIRST_ANSWER_MS = 30_000
_COMPLAIN_NS = 10 * 10**9
_IDLE_READERS = 64  # as many as Spark keeps
_IDLE_NS = 60 * 10**9
_END, _BEGINNING = -1, -2  # what Kafka's protocol has for these in the place of a time


def engine() -> Any:
    """The client's module; ``UnsupportedError`` where it is not installed."""
    try:
        import confluent_kafka
    except ImportError:
        raise UnsupportedError("Kafka needs confluent-kafka. Hint: pip install 'penstock[kafka]'.") from None
    return confluent_kafka


# ------------------------------------------------------------------------------------- parameters

_RESETS: dict[str, Reset] = {
    "smallest": "earliest", "earliest": "earliest", "beginning": "earliest",
    "largest": "latest", "latest": "latest", "end": "latest",
    "error": "error", "none": "error",
}  # fmt: skip
_NOT_FOR_READING = {
    "enable.auto.commit": "offsets are recorded with the batches (ssc.checkpoint). "
    "Hint: commitOffsets=True commits them to the group too, when a batch is over",
    "enable.auto.offset.store": "offsets are recorded with the batches (ssc.checkpoint)",
    "on_commit": "what could not be committed is logged, and committed later",
    "key.deserializer": "keyDecoder says how keys are decoded",
    "value.deserializer": "valueDecoder says how values are decoded",
    "zookeeper.connect": "consumers ask the brokers. Hint: bootstrap.servers",
}
_NOT_FOR_WRITING = {
    "transactional.id": "a batch is no Kafka transaction; the header penstock-record tells repeats",
    "key.serializer": "the argument key gives the keys",
    "value.serializer": "the argument value gives the values",
}


def consumer_settings(params: Mapping[str, Any]) -> tuple[dict[str, Any], Reset]:
    """The client's settings for reading, and where to begin (default: ``latest``).

    ``params`` has librdkafka's names, or those that PySpark's Kafka 0.8 had. ``ArgumentError`` for what
    cannot be meant here.
    """
    settings = _checked(params, _NOT_FOR_READING)
    given = str(settings.pop("auto.offset.reset", "latest"))
    if given not in _RESETS:
        known = ", ".join(_RESETS)
        raise ArgumentError(f"kafkaParams: auto.offset.reset should be one of {known}, not {given!r}")
    settings.setdefault("group.id", "penstock")
    settings.setdefault("queued.max.messages.kbytes", 16_384)  # of each partition; the client's own is 64 MB
    # Small messages take half a kilobyte each there. The client's own 100,000 of a partition are no faster.
    settings.setdefault("queued.min.messages", 20_000)
    settings.setdefault("fetch.queue.backoff.ms", 10)  # a full queue is emptied in no time; not after 1 s
    settings.setdefault("allow.auto.create.topics", False)  # a topic that is waited for is not made
    settings |= {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
    }
    return settings, _RESETS[given]


def producer_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """The client's settings for sending: each message once and in order, as far as one producer can."""
    settings = _checked(params, _NOT_FOR_WRITING)
    for name in ("acks", "request.required.acks"):
        if str(settings.get(name, "all")) not in ("all", "-1"):
            raise ArgumentError(
                f"kafkaParams: {name} can only be all: a batch is over when its messages are safe"
            )
    if str(settings.get("enable.idempotence", True)).lower() != "true":
        raise ArgumentError("kafkaParams: enable.idempotence can only be true: it costs nothing")
    settings["enable.idempotence"] = True
    settings.setdefault("partitioner", "murmur2_random")  # a key goes where Java's clients send it
    return settings


def _checked(params: Mapping[str, Any], refused: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(params, Mapping):
        raise SignatureError(f"kafkaParams must be a dict of Kafka's settings, not {type(params).__name__}")
    settings = dict(params)
    for name in settings:
        if not isinstance(name, str):
            raise SignatureError(f"kafkaParams must have names of text, not {name!r}")
        if name in refused and str(settings[name]).lower() != "false":
            raise ArgumentError(f"kafkaParams: {name} cannot be set: {refused[name]}.")
        if name.startswith("auto.commit."):
            raise ArgumentError(f"kafkaParams: {name} cannot be set: {refused['enable.auto.commit']}.")
    brokers = settings.pop("metadata.broker.list", None)
    settings.setdefault("bootstrap.servers", brokers)
    if not settings["bootstrap.servers"]:
        raise ArgumentError(
            "kafkaParams must say where the brokers are. "
            "Hint: {'bootstrap.servers': 'host1:9092,host2:9092'}."
        )
    if brokers not in (None, settings["bootstrap.servers"]):
        raise ArgumentError("kafkaParams: bootstrap.servers and metadata.broker.list say different things")
    return settings


def is_pattern(topic: str) -> bool:
    """Whether a topic is a regular expression for the names of several: it begins with ``^``."""
    return topic.startswith("^")


@contextmanager
def _asking(settings: Mapping[str, Any], what: str) -> Iterator[None]:
    """Turn the client's exceptions into ours, which say what was being done."""
    kafka = engine()
    try:
        yield
    except kafka.KafkaException as error:
        raise _problem(settings, what, error.args[0]) from error


def _problem(settings: Mapping[str, Any], what: str, error: Any) -> StorageError:
    hint = ""
    if hasattr(error, "code") and error.code() in _passing(engine()):
        hint = ". Hint: are its brokers up, and is that their address?"
    return StorageError(f"Kafka at {settings['bootstrap.servers']}: {what}: {_text(error)}{hint}")


def _text(error: Any) -> str:
    return f"{error.str()} ({error.name()})" if hasattr(error, "name") else str(error)


class _ClientLog:
    """What the client says by itself, many times a second while a broker is away, is for who looks for it:
    what fails because of it is said elsewhere."""

    def log(self, level: int, text: str, *arguments: Any) -> None:
        """As loggers have it."""
        _log.debug(text, *arguments)


def _made(kind: str, settings: Mapping[str, Any]) -> Any:
    """A consumer or producer; ``ArgumentError`` for a setting that the client does not know."""
    kafka = engine()
    try:
        return getattr(kafka, kind)(dict(settings), logger=_ClientLog())
    except kafka.KafkaException as error:
        raise ArgumentError(f"kafkaParams: {_text(error.args[0])}") from error
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"kafkaParams: {error}") from error


# ------------------------------------------------------------------------------ what a cluster holds


class Cluster:
    """Which partitions topics have, and from where to where they reach. Connects when it is first asked.

    Every question waits for ``timeout_ms`` at most and then raises ``StorageError``. ``commit`` does not
    wait: one commit at a time is on its way, and what comes meanwhile goes with the next.
    """

    def __init__(self, settings: Mapping[str, Any], timeout_ms: int) -> None:
        self._settings = dict(settings)
        self._timeout_ms = timeout_ms
        self._made: Any = None
        self._uncommitted: dict[Place, int] = {}
        self._committing: dict[Place, int] = {}  # on its way
        self._refused: Any = None  # why the last one failed

    def __reduce__(self) -> tuple[Any, ...]:
        return Cluster, (self._settings, self._timeout_ms)

    def __str__(self) -> str:
        return str(self._settings["bootstrap.servers"])

    @property
    def _consumer(self) -> Any:
        if self._made is None:
            self._made = _made("Consumer", {**self._settings, "on_commit": self._heard})
        return self._made

    @property
    def _timeout_s(self) -> float:
        return self._timeout_ms / 1000

    @contextmanager
    def at_the_start(self) -> Iterator[None]:
        """Within this block answers are waited for longer: connections are made, and no batch is held up."""
        usual, self._timeout_ms = self._timeout_ms, max(self._timeout_ms, _FIRST_ANSWER_MS)
        try:
            yield
        finally:
            self._timeout_ms = usual

    def partitions(self, topics: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """The partitions of each topic that exists; of each that matches, where a topic is a pattern."""
        wildcards = [re.compile(topic) for topic in topics if is_pattern(topic)]
        found: dict[str, tuple[int, ...]] = {}
        with _asking(self._settings, f"which partitions {', '.join(topics)} has"):
            if wildcards:
                self._note(self._consumer.list_topics(timeout=self._timeout_s), found)
                named = set(topics)
                matching = [name for name in found if any(map(_search(name), wildcards)) or name in named]
                return {name: found[name] for name in matching}
            for topic in topics:
                self._note(self._consumer.list_topics(topic, timeout=self._timeout_s), found)
        return found

    def _note(self, metadata: Any, found: dict[str, tuple[int, ...]]) -> None:
        kafka = engine()
        absent = (kafka.KafkaError.UNKNOWN_TOPIC_OR_PART, kafka.KafkaError._UNKNOWN_TOPIC)
        for name, topic in metadata.topics.items():
            if topic.error is not None and topic.error.code() not in absent:
                raise kafka.KafkaException(topic.error)
            if topic.partitions:
                found[name] = tuple(sorted(topic.partitions))

    def ends(self, places: Sequence[Place]) -> dict[Place, int]:
        """Of each partition the offset that its next message will have (with ``read_committed``: up to where
        it can be read). One question for each broker, all at once."""
        return self._offsets(places, _END, "where partitions end")

    def beginnings(self, places: Sequence[Place]) -> dict[Place, int]:
        """Of each partition the first offset that it still has."""
        return self._offsets(places, _BEGINNING, "where partitions begin")

    def _offsets(self, places: Sequence[Place], which: int, what: str) -> dict[Place, int]:
        if not places:
            return {}
        kafka = engine()
        asked = [kafka.TopicPartition(topic, partition, which) for topic, partition in places]
        with _asking(self._settings, what):
            answers = self._consumer.offsets_for_times(asked, timeout=self._timeout_s)
        found = {}
        for answer in answers:
            if answer.error is not None:
                place = f"{answer.topic}[{answer.partition}]"
                raise _problem(self._settings, f"{what}, of {place}", answer.error)
            found[answer.topic, answer.partition] = int(answer.offset)
        return found

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        """What the consumer group has committed, for those partitions of which it has."""
        if not places:
            return {}
        kafka = engine()
        asked = [kafka.TopicPartition(topic, partition) for topic, partition in places]
        with _asking(self._settings, "what the group has committed"):
            answers = self._consumer.committed(asked, timeout=self._timeout_s)
        return {
            (answer.topic, answer.partition): int(answer.offset)
            for answer in answers
            if answer.error is None and answer.offset >= 0
        }

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Begin to commit offsets to the consumer group. What cannot be committed is logged, and goes with
        the next commit."""
        self._uncommitted.update(offsets)
        self._hear(0)
        self._commit_next()

    def _commit_next(self) -> None:
        if self._committing or not self._uncommitted:
            return
        kafka = engine()
        asked = [kafka.TopicPartition(*place, offset) for place, offset in self._uncommitted.items()]
        with _asking(self._settings, "committing offsets"):
            self._consumer.commit(offsets=asked, asynchronous=True)
        self._committing, self._uncommitted = self._uncommitted, {}

    def _hear(self, timeout_s: float) -> None:
        """Let the client say what became of a commit."""
        while self._committing and self._consumer.poll(timeout_s) is not None:
            pass

    def _heard(self, error: Any, answers: Sequence[Any]) -> None:
        """Called within ``poll``: a commit is over."""
        refused = {(each.topic, each.partition): each.error or error for each in answers}
        refused = {place: why for place, why in refused.items() if why is not None}
        if error is not None or refused:
            self._refused = error or next(iter(refused.values()))
            _log.warning("%s", _problem(self._settings, "committing offsets", self._refused))
        absent = engine().KafkaError.UNKNOWN_TOPIC_OR_PART  # deleted: nobody will ask for it
        again = {
            place: offset
            for place, offset in self._committing.items()
            if refused.get(place, error) is not None and refused.get(place, error).code() != absent
        }
        self._uncommitted = {**again, **self._uncommitted}
        self._committing = {}

    def close(self) -> None:
        """Disconnect, when what is to be committed is, or after ``timeout_ms``."""
        if self._made is None:
            return
        self._refused = None
        deadline_ns = _clock.elapsed_ns() + self._timeout_ms * 1_000_000
        try:
            while (self._committing or self._uncommitted) and _clock.elapsed_ns() < deadline_ns:
                self._commit_next()
                self._hear(_HEAR_S)
                if self._refused is not None:
                    break
        except StorageError as error:
            _log.warning("%s", error)
        made, self._made = self._made, None
        if not self._committing:
            made.close()
            return
        _log.warning(
            "Kafka at %s: it is not known whether the offsets of %d partitions were committed",
            self, len(self._committing),
        )  # fmt: skip
        # With a commit on its way the client closes when its brokers have answered, which may be never.
        threading.Thread(target=made.close, name="penstock-kafka-close", daemon=True).start()


def _search(name: str) -> Any:
    return lambda pattern: pattern.search(name)


# ------------------------------------------------------------------------------------------ reading


class _Reader:
    """A consumer of one partition.

    ``next`` is the first offset that was not handed out. No message has an offset from there up to ``known``:
    such gaps are what compaction, transactions and their markers leave.
    """

    def __init__(self, settings: Mapping[str, Any], topic: str, partition: int) -> None:
        self.settings = settings
        self.topic = topic
        self.partition = partition
        self.next = self.known = -1
        self._held: list[Any] = []  # fetched, but behind the end of the range
        self._end = -1  # up to where all has been fetched; the client says it once
        self._doubted = -1  # an offset that the client said is not there, and the broker that it is
        self.lost = 0  # offsets of the range that were passed over
        self._size = _FIRST_MESSAGES
        self._consumer = _made("Consumer", settings)

    def is_at(self, offset: int) -> bool:
        """Whether it can go on there with what it has."""
        return self.next <= offset <= self.known

    def read(
        self, start: int, until: int, on_loss: OnDataLoss, stall_ms: int, timeout_ms: int
    ) -> Iterator[list[Any]]:
        """The messages with offsets from ``start`` up to but without ``until``, in lists."""
        kafka = engine()
        if self.is_at(start):
            self.next = start
        else:
            self._go_to(start)
        self.lost = 0
        since_ns, complained = _clock.elapsed_ns(), False
        while self.known < until:
            messages, self._held = self._held or self._fetched(until - self.known), []
            problem, trouble = None, 0
            telling = [message for message in messages if message.error() is not None]
            for message in telling:
                if message.error().code() == kafka.KafkaError._PARTITION_EOF:
                    self._end = max(self._end, message.offset())
                    continue
                trouble += 1
                if message.error().code() not in _passing(kafka):
                    problem = message.error()
            if len(messages) > trouble:
                since_ns = _clock.elapsed_ns()
            elif not complained and _clock.elapsed_ns() - since_ns > _COMPLAIN_NS:
                complained = True
                _log.warning("nothing has come of %s for %d s", self._range(until), _COMPLAIN_NS // 10**9)
            elif problem is None and _clock.elapsed_ns() - since_ns > stall_ms * 1_000_000:
                raise StorageError(
                    f"Kafka at {self.settings['bootstrap.servers']}: nothing came of {self._range(until)} "
                    f"for {stall_ms} ms. Hint: are its brokers up? spark.streaming.kafka.consumer.poll.ms is "
                    f"how long that is waited for."
                )
            if telling:
                messages = [message for message in messages if message.error() is None]
            if messages and messages[-1].offset() >= until:
                at = bisect.bisect_left(messages, until, key=_offset_of)
                messages, self._held = messages[:at], messages[at:]
            if messages:
                self.next = messages[-1].offset() + 1
            self.known = self._held[0].offset() if self._held else max(self.next, self.known, self._end)
            if messages:
                self._learn(messages)
                yield messages
                since_ns = _clock.elapsed_ns()  # what is done with them may take long
            if problem is not None:
                self._overcome(problem, until, on_loss, timeout_ms)

    def _fetched(self, wanted: int) -> list[Any]:
        """What is there, or else the next message, or nothing after a while."""
        with _asking(self.settings, f"reading {self.topic}[{self.partition}]"):
            messages: list[Any] = self._consumer.consume(min(self._size, wanted), 0)
            if not messages and (message := self._consumer.poll(_WAIT_S)) is not None:
                messages = [message]
        return messages

    def _learn(self, messages: list[Any]) -> None:
        each = max(1, sum(map(len, messages)) // len(messages))
        self._size = max(1, min(_MOST_MESSAGES, _CHUNK_BYTES // each))
        _sizes[self.topic] = each

    def _go_to(self, offset: int) -> None:
        kafka = engine()
        self._held, self._end = [], -1
        self.next = self.known = offset
        with _asking(self.settings, f"going to {offset} of {self.topic}[{self.partition}]"):
            self._consumer.assign([kafka.TopicPartition(self.topic, self.partition, offset)])

    def _overcome(self, error: Any, until: int, on_loss: OnDataLoss, timeout_ms: int) -> None:
        """Messages that are gone: go on behind them if that is allowed. All else is raised."""
        kafka = engine()
        if error.code() not in (kafka.KafkaError.OFFSET_OUT_OF_RANGE, kafka.KafkaError._AUTO_OFFSET_RESET):
            raise _problem(self.settings, f"reading {self._range(until)}", error)
        place = kafka.TopicPartition(self.topic, self.partition)
        with _asking(self.settings, f"where {self.topic}[{self.partition}] begins"):
            bounds = self._consumer.get_watermark_offsets(place, timeout=timeout_ms / 1000)
        if bounds is None:
            raise _problem(self.settings, f"reading {self._range(until)}", error)
        low, high = bounds
        if (
            low <= self.next < high
        ):  # it is there: the client says what was so before, or is of another replica
            if self.next == self._doubted:
                raise _problem(self.settings, f"reading {self._range(until)}", error)
            self._doubted = self.next
            self._go_to(self.next)
            return
        if on_loss == "fail":
            raise lost(self.topic, self.partition, self.next, low, high)
        goes_on = low if low > self.next else until
        count = min(goes_on, until) - self.next
        self.lost += count
        _log.warning("%d messages of %s are gone and are passed over", count, self._range(until))
        self._go_to(goes_on)

    def _range(self, until: int) -> str:
        return f"{self.topic}[{self.partition}] from {self.next} up to {until}"

    def close(self) -> None:
        self._consumer.close()


def _offset_of(message: Any) -> int:
    offset: int = message.offset()
    return offset


def _passing(kafka: Any) -> tuple[int, ...]:
    """Errors that the client overcomes by itself, if they can be overcome."""
    error = kafka.KafkaError
    return error._TRANSPORT, error._ALL_BROKERS_DOWN, error._RESOLVE, error._TIMED_OUT


def lost(topic: str, partition: int, offset: int, low: int, high: int) -> StorageError:
    """What to raise when a partition that reaches from ``low`` to ``high`` has no ``offset`` any more."""
    if low > offset:
        return InputVanished(
            f"{topic}[{partition}] begins at {low} now: {low - offset} messages from {offset} on are gone. "
            f"Hint: keep messages for longer (retention.ms), or go on without what is lost: "
            f"penstock.kafka.onDataLoss=earliest."
        )
    return InputChanged(
        f"{topic}[{partition}] ends at {high} now, before {offset}, up to where it was read: it has been "
        f"made anew, or messages were lost. Hint: penstock.kafka.onDataLoss=earliest begins it from its "
        f"beginning."
    )


class _Readers:
    """The consumers of a process that nobody reads with at the moment, those used longest ago first.

    Batches read the same partitions again and again, so if these are more than are kept, it is always the
    same ones that are: those used longest ago are the next ones to be used.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[Any, _Reader, int]] = []  # and since when

    def take(self, settings: Mapping[str, Any], topic: str, partition: int, start: int) -> _Reader:
        """One that is there already, or else any of this partition, or else a new one."""
        key = (_key(settings), topic, partition)
        with self._lock:
            fitting = [at for at, (known, *_) in enumerate(self._idle) if known == key]
            if fitting:
                best = [at for at in fitting if self._idle[at][1].is_at(start)]
                return self._idle.pop((best or fitting)[0])[1]
        return _Reader(settings, topic, partition)

    def give_back(self, reader: _Reader) -> None:
        """It may be used again, or is closed if it is too many, and so is who was not used for a minute."""
        key, now_ns = (_key(reader.settings), reader.topic, reader.partition), _clock.elapsed_ns()
        with self._lock:
            old = sum(now_ns - since_ns > _IDLE_NS for *_, since_ns in self._idle)
            over, self._idle = [each for _, each, _ in self._idle[:old]], self._idle[old:]
            if len(self._idle) < _IDLE_READERS:
                self._idle.append((key, reader, now_ns))
            else:
                over.append(reader)
        for each in over:
            each.close()

    def __len__(self) -> int:
        return len(self._idle)

    def close(self, settings: Mapping[str, Any] | None = None) -> None:
        """Close all, or all that have these settings."""
        key = None if settings is None else _key(settings)
        with self._lock:
            closing = [idle for idle in self._idle if key in (None, idle[0][0])]
            self._idle = [idle for idle in self._idle if idle not in closing]
        for _, reader, _ in closing:
            reader.close()


_readers: Shared[_Readers] = Shared(_Readers, close=_Readers.close)
_sizes: dict[str, int] = {}


def _key(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in settings.items()))


def close_readers(settings: Mapping[str, Any] | None = None) -> None:
    """Close the consumers, or those with these settings, that nobody reads with: there will be no next
    range."""
    _readers.get().close(settings)


def idle_readers() -> int:
    """How many consumers of this process wait for the next range."""
    return len(_readers.get())


def bytes_per_message(topic: str) -> int | None:
    """About how large the messages of a topic are, as far as this process has read them; ``None`` before."""
    return _sizes.get(topic)


def read_range(
    settings: Mapping[str, Any],
    place: Place,
    start: int,
    until: int,
    *,
    on_loss: OnDataLoss,
    stall_ms: int,
    timeout_ms: int,
    note_lost: Callable[[int], object] = lambda count: None,
) -> Iterator[list[Any]]:
    """The client's messages of one partition with offsets from ``start`` up to but without ``until``, in
    lists of about 8 MB at most.

    Offsets without a message are normal. ``InputVanished`` if messages are gone, ``InputChanged`` if the
    partition was made anew, but with ``on_loss="earliest"`` what is gone is logged and passed over, and
    ``note_lost`` is told how many offsets that were, once all is read.
    ``StorageError`` if nothing comes for ``stall_ms``.
    """
    if start >= until:
        return
    readers = _readers.get()
    reader = readers.take(settings, *place, start)
    try:
        yield from reader.read(start, until, on_loss, stall_ms, timeout_ms)
    except GeneratorExit:
        readers.give_back(reader)
        raise
    except BaseException:
        reader.close()
        raise
    lost = reader.lost
    readers.give_back(reader)
    if lost:
        note_lost(lost)


# ------------------------------------------------------------------------------------------ sending

_producers: dict[Any, Shared[Any]] = {}
_RANDOM_WITHOUT_KEY = ("murmur2_random", "fnv1a_random", "consistent_random")
_ASK_MS = 30_000  # where messages can go
_MAKING_NS = 5 * 10**9  # how long a broker may take to make a topic that it was asked for
_POLL_EVERY = 1_000  # messages; what has arrived is heard of then
_HEAR_S = 0.01
_LOOK_S = 0.1
_LAST_NS = 3_000_000_000  # for those on their way when it is time to stop
_ANY_PARTITION = -1  # the partitioner finds one


def _producer(settings: Mapping[str, Any]) -> Shared[Any]:
    """The handle on the process's producer with these settings."""
    key = _key(settings)
    if key not in _producers:
        _producers.setdefault(key, Shared(_made, "Producer", dict(settings), close=_flushed))
    return _producers[key]


def _flushed(producer: Any) -> None:
    with suppress(engine().KafkaException):  # that it can do nothing any more was said before
        producer.flush(_WAIT_S)


class Sending:
    """Messages on their way, on one thread, by the producer that the process has for ``settings``.

    ``send`` does not wait, unless the producer's queue is full; ``finish`` waits until each message is known
    to have arrived at all brokers that must have it, and raises ``StorageError`` if one has not.
    """

    def __init__(self, settings: Mapping[str, Any], topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._handle = _producer(settings)
        self._producer = self._handle.get()
        self._partitions: int | None = None  # asked for when there is a message without a key
        self._lock = threading.Lock()
        self._sent = 0
        self._heard = 0
        self._failed = 0
        self._error: Any = None

    def _count_of_partitions(self) -> int:
        """0 if there is no such topic, even after a while: whoever asks for it first may have it made."""
        if str(self._settings["partitioner"]) not in _RANDOM_WITHOUT_KEY:
            return 0
        given = self._settings.get("message.timeout.ms", self._settings.get("delivery.timeout.ms", _ASK_MS))
        timeout_s, since_ns = (int(given) or _ASK_MS) / 1000, _clock.elapsed_ns()
        while True:
            with _asking(self._settings, f"which partitions {self._topic} has"):
                topics = self._producer.list_topics(self._topic, timeout=timeout_s).topics
            count = len(topics[self._topic].partitions) if self._topic in topics else 0
            if count or _clock.elapsed_ns() - since_ns > _MAKING_NS:
                return count
            self._poll(_WAIT_S / 5)

    def ready(self, stop: threading.Event) -> bool:
        """Ask the brokers now where messages without a key can go; false if ``stop`` is set meanwhile.

        Without this the first ``send`` asks, and hears nothing else as long as that takes.
        """
        problem: list[BaseException] = []

        def ask() -> None:
            try:
                self._partitions = self._count_of_partitions()
            except BaseException as error:
                problem.append(error)

        asking = threading.Thread(target=ask, name="penstock-kafka-ask", daemon=True)
        asking.start()
        while asking.is_alive() and not stop.is_set():
            asking.join(_LOOK_S)
        if problem:
            raise problem[0]
        return not stop.is_set()

    def send(
        self, key: bytes | str | None, value: bytes | str | None, headers: list[Any], spread: int
    ) -> None:
        """Send one message. What the client refuses outright, as one that is too large, is raised.

        ``spread`` says which partition gets a message that has no key: the same each time it is sent.
        """
        kafka = engine()
        partition = _ANY_PARTITION
        if key is None:
            if self._partitions is None:
                self._partitions = self._count_of_partitions()
            if self._partitions:
                partition = spread % self._partitions
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, partition, on_delivery=self._arrived, headers=headers
                )
                break
            except BufferError:  # the queue is full
                self._poll(_HEAR_S)
                self._must_not_have_failed()
            except kafka.KafkaException as error:
                self._forget_if_fatal(error.args[0])
                raise _problem(self._settings, f"sending to {self._topic}", error.args[0]) from error
        self._sent += 1
        if self._sent % _POLL_EVERY == 0:
            self._poll(0)
            self._must_not_have_failed()

    def finish(self, stop: threading.Event | None = None) -> None:
        """Wait until all have arrived. How long one may take is librdkafka's ``message.timeout.ms``.

        Once ``stop`` is set it takes some seconds at most: then ``StorageError`` says what is not known to
        have arrived.
        """
        since_ns: int | None = None
        while self._heard < self._sent:
            self._poll(_HEAR_S)
            if stop is None or not stop.is_set():
                continue
            since_ns = since_ns or _clock.elapsed_ns()
            if _clock.elapsed_ns() - since_ns > _LAST_NS:
                raise StorageError(
                    f"Kafka at {self._settings['bootstrap.servers']} was not heard of again: whether the "
                    f"last {self._sent - self._heard} messages to {self._topic} have arrived is not known"
                )
        self._must_not_have_failed()

    def _poll(self, timeout_s: float) -> None:
        try:
            self._producer.poll(timeout_s)
        except engine().KafkaException as error:  # the producer's own, which says so once and to one thread
            self._forget_if_fatal(error.args[0])
            raise _problem(self._settings, f"sending to {self._topic}", error.args[0]) from error

    def _arrived(self, error: Any, message: Any) -> None:
        """Called within ``poll``, on any thread that sends."""
        with self._lock:
            self._heard += 1
            if error is not None:
                self._failed += 1
                self._error = self._error or error

    def _must_not_have_failed(self) -> None:
        if self._error is not None:
            self._forget_if_fatal(self._error)
            what = f"{self._failed} messages to {self._topic} did not arrive"
            raise _problem(self._settings, what, self._error)

    def _forget_if_fatal(self, error: Any) -> None:
        """A producer that can do nothing any more makes way for another one. What it says of a message is
        then ``_FATAL``, and not itself marked as fatal."""
        is_fatal = error.fatal() or error.code() == engine().KafkaError._FATAL
        if is_fatal and self._handle.get() is self._producer:
            self._handle.close()

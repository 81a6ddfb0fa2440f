"""saveToKafka against a cluster over TCP."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock import Conf, Context, KafkaRepeats, KafkaUtils, OffsetRange, StateSpec, StreamingContext
from penstock.clients import kafka
from penstock.errors import ArgumentError, CallSite, SignatureError, StorageError
from penstock.sinks import MessageShape, save_kafka
from penstock.testing import CollectingSink, run_batches
from tests.kafka.broker import Broker, messages_of
from tests.kafka.fake import KafkaError, KafkaException


def params(broker: Broker, **more: Any) -> dict[str, Any]:
    return {"bootstrap.servers": broker.address, "linger.ms": 0, **more}


def seen(broker: Broker, topic: str, count: int) -> set[Any]:
    return {(message.key(), message.value()) for message in messages_of(broker, topic, count)}


@pytest.mark.parametrize(
    ("record", "options", "wanted"),
    [
        ("text", {}, (None, b"text")),
        (b"\xff", {}, (None, b"\xff")),
        ("", {}, (None, b"")),
        (None, {}, (None, None)),
        (17, {}, (None, b"17")),
        (("k", "v"), {}, (b"k", b"v")),
        ((b"k", None), {}, (b"k", None)),
        ((1, 2.5), {}, (b"1", b"2.5")),
        ((1, 2, 3), {}, (None, b"(1, 2, 3)")),
        (("k", "v"), {"key": lambda pair: pair[1]}, (b"v", b"v")),
        (("k", "v"), {"value": repr}, (None, b"('k', 'v')")),
        ("text", {"key": len and (lambda text: text[0]), "value": str.upper}, (b"t", b"TEXT")),
    ],
)
def test_what_a_record_becomes(
    sc: Context, broker: Broker, topic: str, record: Any, options: Any, wanted: Any
) -> None:
    sc.parallelize([record], 1).saveToKafka(topic, params(broker), **options)
    [message] = messages_of(broker, topic, 1)
    assert (message.key(), message.value()) == wanted
    assert message.headers() == [("penstock-record", b"0/0/0")]


def test_a_batch_says_where_each_record_was(sc: Context, broker: Broker, topic: str) -> None:
    def build(stream: Any) -> None:
        stream.foreachRDD(lambda rdd: None)
        stream.saveToKafka(topic, params(broker), headers=lambda word: [("length", str(len(word)))])

    run_batches([["a", "bb", "ccc"], [], ["d"]], build, numPartitions=2, context=sc)
    found = {message.value(): message.headers() for message in messages_of(broker, topic, 4)}
    assert found == {
        b"a": [
            ("length", b"1"),
            ("penstock-batch-time", b"1000"),
            ("penstock-record", b"1/0/0"),
        ],
        b"bb": [("length", b"2"), ("penstock-batch-time", b"1000"), ("penstock-record", b"1/1/0")],
        b"ccc": [("length", b"3"), ("penstock-batch-time", b"1000"), ("penstock-record", b"1/1/1")],
        b"d": [("length", b"1"), ("penstock-batch-time", b"3000"), ("penstock-record", b"1/1/0")],
    }


@pytest.mark.parametrize("headers", [{"a": "1", "b": b"2"}, [("a", "1"), ("b", b"2")], None, {}])
def test_headers(sc: Context, broker: Broker, topic: str, headers: Any) -> None:
    sc.parallelize(["x"], 1).saveToKafka(topic, params(broker), headers=lambda record: headers)
    [message] = messages_of(broker, topic, 1)
    mine = [("a", b"1"), ("b", b"2")] if headers else []
    assert message.headers() == [*mine, ("penstock-record", b"0/0/0")]


def test_a_key_stays_in_order_and_in_one_partition(sc: Context, broker: Broker, topic: str) -> None:
    sc.parallelize([(f"k{n % 5}", n) for n in range(500)], 1).saveToKafka(topic, params(broker))
    by_key: dict[Any, list[tuple[int, int]]] = {}
    for message in messages_of(broker, topic, 500):
        by_key.setdefault(message.key(), []).append((message.partition(), int(message.value())))
    for at in range(5):
        places = by_key[f"k{at}".encode()]
        assert [number for _, number in places] == [*range(at, 500, 5)]
        assert len({partition for partition, _ in places}) == 1


def test_one_producer_for_all_partitions_and_batches(sc: Context, broker: Broker, topic: str) -> None:
    made: list[str] = []
    original = kafka._made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "_made", lambda kind, settings: made.append(kind) or original(kind, settings))
        for _ in range(3):
            sc.parallelize(range(8), 4).saveToKafka(topic, params(broker, **{"client.id": topic}))
    assert made == ["Producer"]
    assert len(messages_of(broker, topic, 24)) == 24


def test_a_full_queue_is_waited_for(sc: Context, broker: Broker, topic: str) -> None:
    few = params(broker, **{"queue.buffering.max.messages": 10})
    sc.parallelize(range(500), 2).saveToKafka(topic, few)
    assert len(messages_of(broker, topic, 500)) == 500


def test_a_message_that_is_refused_names_its_record(sc: Context, broker: Broker, topic: str) -> None:
    small = params(broker, **{"message.max.bytes": 1000})
    with pytest.raises(StorageError, match=f"sending to {topic}") as caught:
        sc.parallelize(["a", "b" * 2000], 1).saveToKafka(topic, small)
    assert any("at the record 'bbb" in note for note in caught.value.__notes__)


def test_what_does_not_arrive_fails_the_batch_and_is_sent_again(own_broker: Broker, topic: str) -> None:
    late = params(own_broker, **{"message.timeout.ms": 1500})
    with Context("local[2]") as sc:
        records = sc.parallelize([("k", str(number)) for number in range(3)], 1)
        records.saveToKafka(topic, late)
        own_broker.stall()
        with pytest.raises(StorageError, match=f"[123] messages to {topic} did not arrive"):
            records.saveToKafka(topic, late)
        own_broker.go_on()
        records.saveToKafka(topic, late)
    assert seen(own_broker, topic, 6) == {(b"k", b"0"), (b"k", b"1"), (b"k", b"2")}


@pytest.mark.parametrize("says", ["of a message", "when it is sent", "by itself"])
def test_a_producer_that_can_do_nothing_any_more_makes_way(
    monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    """As the client says it: only what it says by itself is marked as fatal."""
    made: list[Producer] = []

    class Producer:
        def __init__(self, settings: Any, logger: Any) -> None:
            made.append(self)
            self.reports: list[Any] = []

        def _is_dead(self, how: str) -> bool:
            return self is made[0] and how == says

        def produce(self, *arguments: Any, on_delivery: Any, **more: Any) -> None:
            if self._is_dead("when it is sent"):
                raise KafkaException(KafkaError(KafkaError._FATAL))
            self.reports.append(on_delivery)

        def poll(self, timeout: float) -> None:
            if self._is_dead("by itself"):
                raise KafkaException(KafkaError(45, fatal=True))
            error = KafkaError(KafkaError._FATAL) if self._is_dead("of a message") else None
            while self.reports:
                self.reports.pop()(error, None)

        def flush(self, timeout: float) -> None:
            self.poll(timeout)

    module = SimpleNamespace(Producer=Producer, KafkaException=KafkaException, KafkaError=KafkaError)
    monkeypatch.setattr(kafka, "engine", lambda: module)
    settings = kafka.producer_settings({"bootstrap.servers": "fake-producer"})
    early, late = kafka.Sending(settings, "t"), kafka.Sending(settings, "t")
    for sending in (early, late):  # the second one finds it out when there is another one already
        with pytest.raises(StorageError, match=r"t( did not arrive)?: as asked for"):
            sending.send(b"key", b"a", [], 0)
            sending.finish()
        if sending is early:
            kafka.Sending(settings, "t")
    for _ in range(2):
        sending = kafka.Sending(settings, "t")
        sending.send(b"key", b"a", [], 0)
        sending.finish()
    assert len(made) == 2
    kafka._producer(settings).close()


def test_a_topic_that_is_being_made_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its first messages without a key would go to other partitions when they are sent again."""
    answers = [
        {},
        {"t": SimpleNamespace(partitions={})},
        {"t": SimpleNamespace(partitions={0: 0, 1: 1, 2: 2})},
    ]
    sent: list[int] = []

    class Producer:
        def __init__(self, settings: Any, logger: Any) -> None:
            pass

        def list_topics(self, topic: str, timeout: float) -> Any:
            return SimpleNamespace(topics=answers.pop(0))

        def produce(self, topic: str, value: Any, key: Any, partition: int, **more: Any) -> None:
            sent.append(partition)

        def poll(self, timeout: float) -> None:
            pass

        def flush(self, timeout: float) -> None:
            pass

    module = SimpleNamespace(Producer=Producer, KafkaException=KafkaException, KafkaError=KafkaError)
    monkeypatch.setattr(kafka, "engine", lambda: module)
    settings = kafka.producer_settings({"bootstrap.servers": "fake-slow"})
    sending = kafka.Sending(settings, "t")
    for spread in range(5):
        sending.send(None, b"a", [], spread)
    assert sent == [0, 1, 2, 0, 1]
    kafka._producer(settings).close()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["", {"bootstrap.servers": "x"}], ArgumentError, "name of a topic"),
        (["^a", {"bootstrap.servers": "x"}], ArgumentError, "name of a topic"),
        ([7, {"bootstrap.servers": "x"}], SignatureError, "name of a topic"),
        (["t", {}], ArgumentError, "where the brokers are"),
        (["t", "x:9092"], SignatureError, "must be a dict"),
        (["t", {1: 2}], SignatureError, "names of text"),
        (["t", {"bootstrap.servers": "x", "acks": 1}], ArgumentError, "acks can only be all"),
        (["t", {"bootstrap.servers": "x", "enable.idempotence": False}], ArgumentError, "idempotence"),
        (["t", {"bootstrap.servers": "x", "transactional.id": "a"}], ArgumentError, "transactional.id"),
        (["t", {"bootstrap.servers": "x", "metadata.broker.list": "y"}], ArgumentError, "different things"),
        (["t", {"bootstrap.servers": "x"}, "key"], SignatureError, "key of saveToKafka"),
    ],
)
@pytest.mark.usefixtures("client")
def test_what_cannot_be_meant(sc: Context, arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        sc.parallelize([1]).saveToKafka(*arguments)


def test_what_functions_return_is_checked(sc: Context, broker: Broker, topic: str) -> None:
    with pytest.raises(SignatureError, match=r"key of saveToKafka .* bytes, str or None, not int"):
        sc.parallelize([1], 1).saveToKafka(topic, params(broker), key=lambda record: record)


def test_a_batch_that_is_run_again_repeats_itself_and_a_reader_can_tell(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    failures = iter([True, False, True, True])

    def fail(rdd: Any) -> None:
        if rdd.count() and next(failures, False):
            raise RuntimeError("after the messages were sent")

    conf = Conf().setMaster("local[2]").set("penstock.streaming.retryDelay", "1ms")
    with Context(conf=conf) as sc:
        ssc = StreamingContext(sc, 0.1)
        ssc.checkpoint(str(tmp_path))
        stream = ssc.queueStream([sc.parallelize(range(at, at + 50), 2) for at in (0, 50)])
        stream.saveToKafka(topic, params(broker))
        stream.foreachRDD(fail)
        ssc.start(availableNow=True)
        ssc.awaitTermination()
    messages = messages_of(broker, topic, 250)
    repeats: dict[int, KafkaRepeats] = {}
    once = []
    for message in messages:
        of_partition = repeats.setdefault(message.partition(), KafkaRepeats())
        repeats[message.partition()] = of_partition = pickle.loads(pickle.dumps(of_partition))
        if not of_partition.isRepeat(message.headers()):
            once.append(int(message.value()))
    assert sorted(once) == [*range(100)]


def test_from_a_topic_with_repeats_each_record_once(broker: Broker, topic: str, tmp_path: Path) -> None:
    """The reader is a stream itself, and keeps what it has seen in its state."""
    with Context("local[2]") as sc:
        for times in ((1000, 2000), (2000, 3000)):
            for time in times:
                shape = MessageShape.of(topic, params(broker), None, None, None, CallSite("test"))
                records = sc.parallelize([f"{time}-{n}" for n in range(20)], 3)
                save_kafka(sc, records.plan, shape, time=time)
        sc.setCheckpointDir(str(tmp_path))
        ssc = StreamingContext(sc, 0.1)

        def once(place: int, message: Any, state: Any) -> Any:
            repeats = state.getOption() or KafkaRepeats()
            is_repeat = repeats.isRepeat(message.headers)
            state.update(repeats)
            return None if is_repeat else message.message

        stream = KafkaUtils.createDirectStream(
            ssc, [topic], broker.params, messageHandler=lambda message: (message.partition, message)
        )
        sink = CollectingSink()
        stream.mapWithState(StateSpec.function(once)).foreachRDD(sink)
        ssc.graph.inputs[0].source.pace(250)
        ssc.start(availableNow=True)
        ssc.awaitTermination()
    found = [record for batch in sink.batches for record in batch]
    assert len(sink.batches) > 2
    assert sorted(found) == sorted(f"{time}-{n}" for time in (1000, 2000, 3000) for n in range(20))


@pytest.mark.parametrize(
    ("headers", "repeats"),
    [
        ([None, None, [], [("other", b"1")], [("penstock-record", b"0/0/0")]], [False] * 5),
        ([(1, "0/0/0"), (1, "0/0/1"), (1, "0/0/0"), (1, "0/1/0")], [False, False, True, False]),
        ([(1, "0/0/1"), (1, "0/0/0"), (1, "0/0/1")], [False, False, True]),
        ([(1, "0/0/0"), (2, "0/0/0"), (1, "0/0/1"), (2, "0/0/0")], [False, False, True, True]),
        ([(2, "0/0/0"), (1, "1/0/0"), (1, "1/0/0")], [False, False, True]),
    ],
)
def test_repeats(headers: list[Any], repeats: list[bool]) -> None:
    known = KafkaRepeats()
    given = [
        [("penstock-batch-time", str(each[0]).encode()), ("penstock-record", each[1].encode())]
        if isinstance(each, tuple)
        else each
        for each in headers
    ]
    assert [known.isRepeat(each) for each in given] == repeats


def test_from_topic_to_topic(sc: Context, broker: Broker, topic: str) -> None:
    broker.send(topic, [("a", "1"), ("b", None), ("c", "3")], partition=0)
    rdd = KafkaUtils.createRDD(sc, broker.params, [OffsetRange(topic, 0, 0, 3)])
    rdd.saveToKafka(f"{topic}-copy", params(broker))
    assert seen(broker, f"{topic}-copy", 3) == {(b"a", b"1"), (b"b", None), (b"c", b"3")}

"""createDirectStream and createRDD against a cluster over TCP."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock import (
    Conf,
    Context,
    KafkaMessageAndMetadata,
    KafkaUtils,
    OffsetRange,
    StreamingContext,
    StreamingListener,
    TopicAndPartition,
)
from penstock.clients import kafka
from penstock.clock import ManualClock
from penstock.errors import (
    ArgumentError,
    InputVanished,
    SignatureError,
    StateError,
    StorageError,
    UnsupportedError,
)
from penstock.testing import CollectingSink, Stepper
from tests.kafka.broker import PARTITIONS, Broker, until


class Run:
    """A stream of a topic, run batch by batch."""

    def __init__(self, sc: Context, params: dict[str, Any], topics: Any, **options: Any) -> None:
        self.clock = ManualClock()
        self.ssc = StreamingContext(sc, options.pop("interval", 1), clock=self.clock)
        self.stream = KafkaUtils.createDirectStream(self.ssc, topics, params, **options)
        self.sink = CollectingSink()
        self.ranges: list[list[OffsetRange]] = []
        self.infos: list[Any] = []
        self.stream.foreachRDD(lambda rdd: self.ranges.append(rdd.offsetRanges()))
        self.stream.foreachRDD(self.sink)
        self.ssc.addStreamingListener(_Listener(self.infos))

    def stepper(self) -> Stepper:
        return Stepper(self.ssc, self.clock)


class _Listener(StreamingListener):
    def __init__(self, infos: list[Any]) -> None:
        self.infos = infos

    def onBatchCompleted(self, event: Any) -> None:
        self.infos.append(event.batchInfo)


def test_each_partition_of_kafka_is_a_partition(sc: Context, broker: Broker, topic: str) -> None:
    broker.send(topic, [f"{number}" for number in range(10)])
    run = Run(sc, broker.params, [topic])
    with run.stepper() as stepper:
        stepper.step()
        broker.send(topic, [("k", "late")], partition=2)
        stepper.step()
        stepper.step()
    first, second, third = run.sink.batches
    assert first == [(None, str(number)) for at in range(4) for number in range(at, 10, 4)]
    assert (second, third) == ([("k", "late")], [])
    assert run.ranges == [
        [OffsetRange(topic, 0, 0, 3), OffsetRange(topic, 1, 0, 3), OffsetRange(topic, 2, 0, 2),
         OffsetRange(topic, 3, 0, 2)],
        [OffsetRange(topic, 2, 2, 3)],
        [],
    ]  # fmt: skip
    assert [info.numRecords for info in run.infos] == [10, 1, 0]
    [info] = run.infos[1].streamIdToInputInfo.values()
    assert info.metadata == {"offsets": [[topic, 2, 2, 3]], "waiting": 0}
    assert info.metadataDescription == f"1 offsets of 1 partitions: {topic}[2] 2..3"


def test_offset_ranges_are_known_of_the_streams_own_rdds_alone(
    sc: Context, broker: Broker, topic: str
) -> None:
    broker.send(topic, ["a"], partition=0)
    rdd = KafkaUtils.createRDD(sc, broker.params, [OffsetRange(topic, 0, 0, 1)])
    assert rdd.offsetRanges() == [OffsetRange(topic, 0, 0, 1)]
    with pytest.raises(StateError, match=r"transform"):
        rdd.map(len).offsetRanges()


def test_null_empty_and_bad_bytes(sc: Context, broker: Broker, topic: str) -> None:
    pairs = [(b"k", None), (None, b""), (b"", b"\xff\xfe"), (b"\x80", "é".encode()), (None, "\N{NUL}a\r\nb")]
    broker.send(topic, pairs, partition=1)
    run = Run(sc, broker.params, [topic])
    with run.stepper() as stepper:
        stepper.step()
    assert run.sink.batches == [
        [("k", None), (None, ""), ("", "\ufffd\ufffd"), ("\ufffd", "é"), (None, "\0a\r\nb")]
    ]
    [info] = run.infos[0].streamIdToInputInfo.values()
    assert info.metadata["bad_utf8"] == 2


def test_decoders_and_handlers(sc: Context, broker: Broker, topic: str) -> None:
    broker.send(topic, [(b"k", b"7", [("h", b"1"), ("h", None)]), (None, None)], partition=3)
    ranges = [OffsetRange(topic, 3, 0, 2)]
    raw = KafkaUtils.createRDD(
        sc, broker.params, ranges, keyDecoder=lambda key: key, valueDecoder=bytes.__repr__
    )
    assert raw.take(1) == [(b"k", "b'7'")]
    with pytest.raises(TypeError) as caught:
        raw.collect()
    assert any("offset=1" in note for note in caught.value.__notes__)
    whole = KafkaUtils.createRDD(sc, broker.params, ranges, messageHandler=lambda message: message).collect()
    [first, second] = whole
    assert first == KafkaMessageAndMetadata(
        topic, 3, 0, "k", "7", first.timestamp, (("h", b"1"), ("h", None))
    )
    assert first.timestamp > 1_600_000_000_000
    assert (second.offset, second.key, second.message, second.headers) == (1, None, None, ())


class Order(NamedTuple):
    id: int
    name: str


def test_values_are_parsed_without_leaving_columns(sc: Context, broker: Broker, topic: str) -> None:
    broker.send(topic, ["1,a", "x,b", "", "2,c\r", "3,d\n4,e", "5,é"], partition=0)
    run = Run(sc, broker.params, [topic])
    orders = run.stream.map(lambda message: message[1]).parseCsv(Order)
    good, bad = CollectingSink(), CollectingSink()
    orders.foreachRDD(good)
    orders.rejects.foreachRDD(bad)
    shown = orders.explain().splitlines()
    assert [line.split(": ", 1)[1] for line in shown if not line.startswith(" " * 4)] == [
        "columns: tuple[str | None, str | None]",
        "columns: str | None",
        "columns: Order(id: int, name: str)",
        "columns: Order(id: int, name: str)",
    ]
    with run.stepper() as stepper:
        stepper.step()
    as_text = sc.parallelize(["1,a", "x,b", "", "2,c\r", "3,d\n4,e", "5,é"], 1).parseCsv(Order)
    assert good.batches == [as_text.collect()]
    assert bad.batches == [as_text.rejects.collect()]


def test_large_messages_come_in_small_lists(sc: Context, broker: Broker, topic: str) -> None:
    texts = [f"{number}" * 200_000 for number in range(100, 150)]
    broker.send(topic, texts, partition=0)
    run = Run(sc, broker.params, [topic])
    [reader] = KafkaUtils.createRDD(sc, broker.params, [OffsetRange(topic, 0, 0, 3)]).plan.readers
    assert reader.bytes_hint is None  # any number of them might not fit into memory
    with run.stepper() as stepper:
        stepper.step()
    assert [value for _, value in run.sink.batches[0]] == texts
    assert reader.bytes_hint == 1_800_000


# Where it begins


@pytest.mark.parametrize(
    ("reset", "options", "wanted"),
    [
        ("earliest", {}, ["a", "b", "c", "new"]),
        ("smallest", {}, ["a", "b", "c", "new"]),
        ("latest", {}, ["new"]),
        ("largest", {}, ["new"]),
        (None, {}, ["new"]),
        ("error", {"fromOffsets": {0: 2, 1: 0, 2: 0, 3: 0}}, ["c", "new"]),
        ("latest", {"fromOffsets": {0: 1}}, ["b", "c", "new"]),
        ("latest", {"fromOffsets": {1: 0}}, ["new"]),
    ],
)
def test_where_a_stream_begins(
    sc: Context, broker: Broker, topic: str, reset: str | None, options: Any, wanted: list[str]
) -> None:
    broker.send(topic, ["a", "b", "c"], partition=0)
    params = {**broker.params, "auto.offset.reset": reset}
    if reset is None:
        del params["auto.offset.reset"]
    options = {
        name: {TopicAndPartition(topic, at): offset for at, offset in given.items()}
        for name, given in options.items()
    }
    run = Run(sc, params, [topic], **options)
    with run.stepper() as stepper:
        broker.send(topic, ["new"], partition=0)
        stepper.step()
    assert [value for _, value in run.sink.batches[0]] == wanted


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ({"auto.offset.reset": "error"}, {}, "nothing says where"),
        ({}, {"fromOffsets": {("TOPIC", 0): 4}}, "ends at 3, before 4"),
        ({}, {"fromOffsets": {("TOPIC", 9): 0}}, r"no partition .*\[9\]"),
        ({"no.such.setting": 1}, {}, "no.such.setting"),
    ],
)
def test_what_keeps_it_from_starting(
    sc: Context, broker: Broker, topic: str, params: Any, options: Any, message: str
) -> None:
    broker.send(topic, ["a", "b", "c"], partition=0)
    options = {
        name: {TopicAndPartition(topic, place[1]): offset for place, offset in given.items()}
        for name, given in options.items()
    }
    run = Run(sc, {**broker.params, **params}, [topic], **options)
    with pytest.raises(ArgumentError, match=message):
        run.ssc.start()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            ["t", {"bootstrap.servers": "x"}],
            {},
            SignatureError,
            r"list of names, not 't'. Hint: \['orders'\]",
        ),
        ([[], {"bootstrap.servers": "x"}], {}, ArgumentError, "one topic or more"),
        ([["t", 7], {"bootstrap.servers": "x"}], {}, ArgumentError, "one topic or more"),
        ([["t"], {}], {}, ArgumentError, "where the brokers are"),
        ([["t"], "x:9092"], {}, SignatureError, "must be a dict"),
        ([["t"], {"bootstrap.servers": "x", "auto.offset.reset": "first"}], {}, ArgumentError, "earliest"),
        ([["t"], {"bootstrap.servers": "x", "enable.auto.commit": True}], {}, ArgumentError, "commitOffsets"),
        (
            [["t"], {"bootstrap.servers": "x", "auto.commit.interval.ms": 1}],
            {},
            ArgumentError,
            "commitOffsets",
        ),
        ([["t"], {"bootstrap.servers": "x", "value.deserializer": "S"}], {}, ArgumentError, "valueDecoder"),
        ([["t"], {"zookeeper.connect": "x"}], {}, ArgumentError, "where|ask the brokers"),
        ([["t"], {"bootstrap.servers": "x"}, {("u", 0): 1}], {}, ArgumentError, "topic 'u'"),
        ([["t"], {"bootstrap.servers": "x"}, {("t", 0): -1}], {}, SignatureError, "TopicAndPartition"),
        ([["t"], {"bootstrap.servers": "x"}, {"t": 1}], {}, SignatureError, "TopicAndPartition"),
        ([["t"], {"bootstrap.servers": "x"}, None, "utf8"], {}, SignatureError, "keyDecoder"),
        ([["t"], {"bootstrap.servers": "x"}], {"commitOffsets": True}, ArgumentError, "group.id"),
    ],
)
@pytest.mark.usefixtures("client")
def test_what_cannot_be_meant(sc: Context, arguments: Any, options: Any, error: Any, message: str) -> None:
    ssc = StreamingContext(sc, 1, clock=ManualClock())
    with pytest.raises(error, match=message):
        KafkaUtils.createDirectStream(ssc, *arguments, **options)
    assert ssc.graph.inputs == []


@pytest.mark.parametrize(
    "ranges", [[("t", 0, 1)], [OffsetRange("t", 0, 2, 1)], [OffsetRange("t", -1, 0, 1)], ["t"]]
)
@pytest.mark.usefixtures("client")
def test_ranges_that_are_none(sc: Context, ranges: Any) -> None:
    with pytest.raises((SignatureError, ArgumentError), match=r"range|OffsetRange"):
        KafkaUtils.createRDD(sc, {"bootstrap.servers": "x"}, ranges)


def test_without_the_client_it_says_how_to_get_it(sc: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    servers = {"bootstrap.servers": "x"}
    for ask in (
        lambda: KafkaUtils.createDirectStream(StreamingContext(sc, 1), ["t"], servers),
        lambda: KafkaUtils.createRDD(sc, servers, []),
        lambda: sc.parallelize([1]).saveToKafka("t", servers),
    ):
        with pytest.raises(UnsupportedError, match=r"pip install 'penstock\[kafka\]'"):
            ask()


def test_topics_that_come_later_are_waited_for(
    sc: Context, broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(sc, {**broker.params, "auto.offset.reset": "latest"}, [f"{topic}-b", f"^{topic}-x"])
    with run.stepper() as stepper, caplog.at_level(logging.WARNING):
        stepper.step()
        stepper.step()
        for name in ("b", "xy", "y"):
            broker.send(f"{topic}-{name}", [name])
        stepper.step()
        broker.send(f"{topic}-xz", ["xz"])
        stepper.step()
    assert [[value for _, value in batch] for batch in run.sink.batches] == [[], [], ["b", "xy"], ["xz"]]
    assert [record.message for record in caplog.records if "waited for" in record.message] == [
        f"kafka {topic}-b, ^{topic}-x at {broker.address}: there is no topic {topic}-b. It is waited for."
    ]


# How much it takes


def test_the_highest_rate_of_a_partition(broker: Broker, topic: str) -> None:
    broker.send(topic, map(str, range(40)))
    broker.send(topic, map(str, range(3)), partition=1)
    conf = Conf().setMaster("local[2]").set("spark.streaming.kafka.maxRatePerPartition", 3)
    with Context(conf=conf) as sc:
        run = Run(sc, broker.params, [topic], interval=2)
        with run.stepper() as stepper:
            for _ in range(4):
                stepper.step()
    assert [[each.count() for each in ranges] for ranges in run.ranges] == [
        [6, 6, 6, 6], [4, 6, 4, 4], [1], [],
    ]  # fmt: skip
    assert [info.streamIdToInputInfo[0].metadata["waiting"] for info in run.infos] == [19, 1, 0, 0]


def test_a_pace_is_shared_by_what_waits(broker: Broker, topic: str) -> None:
    for partition, count in enumerate((600, 300, 100)):
        broker.send(topic, map(str, range(count)), partition=partition)
    conf = Conf().setMaster("local[2]").set("spark.streaming.kafka.minRatePerPartition", 12)
    with Context(conf=conf) as sc:
        run = Run(sc, broker.params, [topic])
        [node] = run.ssc.graph.inputs
        assert node.source.paced
        with run.stepper() as stepper:
            node.source.pace(100)
            stepper.step()
            node.source.pace(0.5)
            stepper.step()
            node.source.pace(1e9)
            stepper.step()
    assert [[each.count() for each in ranges] for ranges in run.ranges] == [
        [60, 30, 12], [12, 12, 12], [528, 258, 76],
    ]  # fmt: skip


def test_what_is_there_and_no_more(sc: Context, broker: Broker, topic: str) -> None:
    broker.send(topic, map(str, range(10)), partition=0)
    conf_rate = 4
    ssc = StreamingContext(sc, 0.1)
    stream = KafkaUtils.createDirectStream(ssc, [topic], broker.params)
    ssc.graph.inputs[0].source.pace(conf_rate * 10)
    sink = CollectingSink()
    stream.map(lambda message: message[1]).foreachRDD(sink)
    more = iter([True])
    stream.foreachRDD(lambda rdd: broker.send(topic, ["more"], partition=0) if next(more, False) else None)
    ssc.start(availableNow=True)
    assert ssc.awaitTerminationOrTimeout(60)
    assert sink.batches == [list("0123"), list("4567"), list("89")]


# Failures


def test_a_broker_that_does_not_answer_fails_the_batch_and_nothing_is_lost(
    own_broker: Broker, topic: str
) -> None:
    own_broker.send(topic, ["a"], partition=0)
    conf = Conf().setMaster("local[2]").set("penstock.kafka.planTimeout", "300ms")
    with Context(conf=conf) as sc:
        run = Run(sc, own_broker.params, [topic])
        with run.stepper() as stepper:
            stepper.step()
            own_broker.send(topic, ["b"], partition=0)
            own_broker.stall()
            with pytest.raises(StorageError, match=f"Kafka at {own_broker.address}: which partitions"):
                stepper.step()
            own_broker.go_on()
            run.ssc.driver.error = None
            stepper.step()
    assert run.sink.batches == [[(None, "a")], [(None, "b")]]
    assert [info.failureReason is None for info in run.infos] == [True, False, True]


def test_a_range_of_which_nothing_comes_fails_in_the_end(own_broker: Broker, topic: str) -> None:
    own_broker.send(topic, ["a"], partition=0)
    conf = Conf().setMaster("local[2]").set("spark.streaming.kafka.consumer.poll.ms", "300")
    with Context(conf=conf) as sc:
        rdd = KafkaUtils.createRDD(sc, own_broker.params, [OffsetRange(topic, 0, 0, 1)])
        own_broker.stall()
        with pytest.raises(StorageError, match=r"nothing came of topic.* for 300 ms. Hint"):
            rdd.collect()
        own_broker.go_on()
        assert rdd.collect() == [(None, "a")]


def test_offsets_behind_the_end_are_an_error(sc: Context, broker: Broker, topic: str) -> None:
    broker.send(topic, ["a"], partition=0)
    with pytest.raises(StorageError, match="ends at 1 now, before 5"):
        KafkaUtils.createRDD(sc, broker.params, [OffsetRange(topic, 0, 5, 6)]).collect()


def test_a_topic_that_was_made_anew(own_broker: Broker, topic: str, tmp_path: Path) -> None:
    """The cluster is gone and another one has a topic of the same name."""
    other = Broker()
    try:
        own_broker.send(topic, map(str, range(9)), partition=0)
        other.send(topic, ["new"], partition=0)

        def run(params: dict[str, Any], on_loss: str) -> list[Any]:
            conf = Conf().setMaster("local[2]").set("penstock.kafka.onDataLoss", on_loss)
            with Context(conf=conf) as sc:
                sink = CollectingSink()

                def setup() -> StreamingContext:
                    ssc = StreamingContext(sc, 0.1)
                    KafkaUtils.createDirectStream(ssc, [topic], params).foreachRDD(sink)
                    return ssc

                ssc = StreamingContext.getOrCreate(str(tmp_path / "checkpoint"), setup, upgrade=True)
                ssc.start(availableNow=True)
                ssc.awaitTermination()
                return [record for batch in sink.batches for record in batch]

        assert len(run(own_broker.params, "fail")) == 9
        with pytest.raises(StorageError, match=r"ends at 1 now, before 9.*Hint: penstock.kafka.onDataLoss"):
            run(other.params, "fail")
        assert run(other.params, "earliest") == [(None, "new")]
        assert run(other.params, "fail") == []
    finally:
        other.close()


def test_messages_that_are_gone_before_they_are_read(
    own_broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Between two batches, and between the planning of a batch and its work."""
    own_broker.send(topic, ["first"], partition=0)
    large = [os.urandom(900_000).hex()[:900_000] for _ in range(20)]
    planned = OffsetRange(topic, 0, 0, 3)
    for on_loss in ("fail", "earliest"):
        conf = Conf().setMaster("local[2]").set("penstock.kafka.onDataLoss", on_loss)
        with Context(conf=conf) as sc:
            if on_loss == "fail":
                early = Run(sc, own_broker.params, [topic])
                with early.stepper() as stepper:
                    stepper.step()
                    own_broker.send(topic, large, partition=0)
                    with pytest.raises(InputVanished, match=r"messages from 1 on are gone"):
                        stepper.step()
                with pytest.raises(InputVanished, match=r"messages from 0 on are gone"):
                    KafkaUtils.createRDD(sc, own_broker.params, [planned]).collect()
                continue
            caplog.clear()
            assert KafkaUtils.createRDD(sc, own_broker.params, [planned]).collect() == []
            assert [record.getMessage() for record in caplog.records] == [
                f"3 messages of {topic}[0] from 0 up to 3 are gone and are passed over"
            ]
            whole = KafkaUtils.createRDD(sc, own_broker.params, [OffsetRange(topic, 0, 2, 21)]).collect()
            assert [value for _, value in whole] == large[-len(whole) :]
            assert 0 < len(whole) < 15
            run = Run(sc, own_broker.params, [topic], fromOffsets={TopicAndPartition(topic, 0): 1})
            with run.stepper() as stepper:
                stepper.step()
            [info] = run.infos[0].streamIdToInputInfo.values()
            assert run.sink.batches == [whole]
            assert info.metadata["lost"] == 20 - len(whole)


# Going on


SCRIPT = """
import os, sys
from penstock import Context, KafkaUtils, StreamingContext

address, topic, folder = sys.argv[1:]


def setup():
    ssc = StreamingContext(Context("local[2]"), 0.1)
    params = {"bootstrap.servers": address, "auto.offset.reset": "earliest"}
    stream = KafkaUtils.createDirectStream(ssc, [topic], params)
    ssc.graph.inputs[0].source.pace(300)

    def end(time, rdd):
        if os.path.exists(folder + "/kill") and rdd.offsetRanges() and rdd.offsetRanges()[0].fromOffset:
            os.kill(os.getpid(), 9)

    stream.map(lambda message: message[1]).saveAsTextFiles(folder + "/out/values")
    stream.foreachRDD(end)
    stream.map(lambda message: message[1]).saveAsTextFiles(folder + "/out/again")
    return ssc


ssc = StreamingContext.getOrCreate(folder + "/checkpoint", setup)
ssc.start(availableNow=True)
ssc.awaitTermination()
"""


def test_a_program_that_is_killed_has_each_message_once(broker: Broker, topic: str, tmp_path: Path) -> None:
    broker.send(topic, map(str, range(200)))
    script = tmp_path / "app.py"
    script.write_text(SCRIPT)
    (tmp_path / "kill").touch()
    line = [sys.executable, str(script), broker.address, topic, str(tmp_path)]
    killed = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (tmp_path / "kill").unlink()
    broker.send(topic, ["more"])
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    for output in ("values", "again"):
        found = [
            value
            for part in (tmp_path / "out").glob(f"{output}-*/part-*")
            for value in part.read_text().split()
        ]
        assert sorted(found) == sorted([*map(str, range(200)), "more"])


def test_a_run_goes_on_where_the_one_before_has_ended(broker: Broker, topic: str, tmp_path: Path) -> None:
    """Also with partitions of which nothing was read, and topics that came between the runs."""
    seen: list[list[Any]] = []
    for number in range(3):
        if number:
            broker.send(topic, [f"{number}"], partition=number)
        if number == 1:
            broker.send(f"{topic}-other", ["other"], partition=0)
        with Context("local[2]") as sc:
            sink = CollectingSink()
            params = {**broker.params, "auto.offset.reset": "latest"}

            def setup(sc: Context = sc, sink: Any = sink, params: Any = params) -> StreamingContext:
                ssc = StreamingContext(sc, 0.1)
                KafkaUtils.createDirectStream(ssc, [f"^{topic}(-other)?$"], params).foreachRDD(sink)
                return ssc

            if not number:
                broker.send(topic, ["old"], partition=3)
            ssc = StreamingContext.getOrCreate(str(tmp_path / "checkpoint"), setup, upgrade=True)
            ssc.start(availableNow=True)
            ssc.awaitTermination()
            seen.append([value for batch in sink.batches for _, value in batch])
    assert seen == [[], ["1", "other"], ["2"]]


def test_offsets_are_committed_to_the_group(sc: Context, broker: Broker, topic: str) -> None:
    from confluent_kafka import Consumer, TopicPartition

    broker.send(topic, ["a", "b"], partition=1)
    params = {**broker.params, "group.id": f"group-{topic}"}
    for wanted in (["a", "b"], [], ["c"]):
        if wanted == ["c"]:
            broker.send(topic, ["c"], partition=1)
        run = Run(sc, params, [topic], commitOffsets=True)
        with run.stepper() as stepper:
            stepper.step()
            stepper.step()
        assert [value for batch in run.sink.batches for _, value in batch] == wanted
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": f"group-{topic}"})
    places = [TopicPartition(topic, at) for at in range(PARTITIONS)]
    assert [place.offset for place in consumer.committed(places, timeout=10)] == [0, 3, 0, 0]
    consumer.close()


def test_without_a_checkpoint_a_group_goes_on_where_it_was(sc: Context, broker: Broker, topic: str) -> None:
    """Also where nothing came while it ran, and with what was in a batch that failed."""
    broker.send(topic, ["old"], partition=0)
    params = {**broker.params, "auto.offset.reset": "latest", "group.id": f"group-{topic}"}
    first = Run(sc, params, [topic], commitOffsets=True)
    with first.stepper() as stepper:
        stepper.step()
    broker.send(topic, ["while nobody ran"], partition=0)
    second = Run(sc, params, [topic], commitOffsets=True)
    second.stream.foreachRDD(lambda rdd: 1 / 0)
    with second.stepper() as stepper, pytest.raises(ZeroDivisionError):
        stepper.step()
    third = Run(sc, params, [topic], commitOffsets=True)
    with third.stepper() as stepper:
        stepper.step()
    assert [run.sink.batches for run in (first, third)] == [[[]], [[(None, "while nobody ran")]]]


def test_a_commit_that_nobody_answers_holds_nothing_up(
    own_broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    own_broker.send(topic, ["a"], partition=0)
    settings, _ = kafka.consumer_settings({**own_broker.params, "socket.timeout.ms": 4000})
    cluster = kafka.Cluster(settings, 200)
    with cluster.at_the_start():
        cluster.ends([(topic, 0)])
        cluster.commit({(topic, 0): 1})
        until(lambda: cluster.commit({}) is None and not cluster._committing, "a commit")
    own_broker.stall()
    begun = time.monotonic()
    cluster.commit({(topic, 0): 2})
    cluster.commit({(topic, 0): 3})
    cluster.close()
    assert time.monotonic() - begun < 3
    assert "1 partitions were committed" in caplog.text
    own_broker.go_on()
    until(lambda: "penstock-kafka-close" not in {each.name for each in threading.enumerate()}, "the close")


def test_consumers_are_used_again(sc: Context, broker: Broker, topic: str) -> None:
    made: list[str] = []
    original = kafka._made
    broker.send(topic, map(str, range(4)))
    run = Run(sc, {**broker.params, "client.id": topic}, [topic])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "_made", lambda kind, settings: made.append(kind) or original(kind, settings))
        with run.stepper() as stepper:
            for _ in range(3):
                stepper.step()
                broker.send(topic, map(str, range(4)))
            waiting = kafka.idle_readers()
        assert kafka.idle_readers() == waiting - PARTITIONS
    assert [len(batch) for batch in run.sink.batches] == [4, 4, 4]
    assert len(made) == 1 + PARTITIONS


def test_a_context_that_stops_keeps_no_consumers(broker: Broker, topic: str) -> None:
    broker.send(topic, ["a"], partition=0)
    with Context("local[2]") as sc:
        KafkaUtils.createRDD(sc, broker.params, [OffsetRange(topic, 0, 0, 1)]).collect()
        assert kafka.idle_readers() > 0
    assert kafka.idle_readers() == 0


def test_reading_the_beginning_of_a_range_leaves_the_rest(sc: Context, broker: Broker, topic: str) -> None:
    broker.send(topic, map(str, range(3000)), partition=0)
    rdd = KafkaUtils.createRDD(sc, broker.params, [OffsetRange(topic, 0, 0, 2500)])
    for _ in range(2):
        assert rdd.take(3) == [(None, "0"), (None, "1"), (None, "2")]
        assert [int(value) for _, value in rdd.collect()] == [*range(2500)]
    rest = KafkaUtils.createRDD(sc, broker.params, [OffsetRange(topic, 0, 2500, 3000)])
    assert [int(value) for _, value in rest.collect()] == [*range(2500, 3000)]


@pytest.mark.long
def test_a_program_that_is_killed_twenty_times(broker: Broker, topic: str, tmp_path: Path, seed: int) -> None:
    """At random moments, most of them while it runs."""
    chance = random.Random(seed)
    script = tmp_path / "app.py"
    script.write_text(SCRIPT)
    line = [sys.executable, str(script), broker.address, topic, str(tmp_path)]
    sent = 0
    for _ in range(20):
        broker.send(topic, map(str, range(sent, sent + 300)))
        sent += 300
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.5, 4))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for output in ("values", "again"):
        parts = (tmp_path / "out").glob(f"{output}-*/part-*")
        found = [int(value) for part in parts for value in part.read_text().split()]
        assert sorted(found) == [*range(sent)]


@pytest.mark.long
def test_a_million_messages(broker: Broker, topic: str) -> None:
    lines = [f"{number},name{number % 1000}" for number in range(250_000)]
    for partition in range(PARTITIONS):
        broker.send(topic, lines, partition=partition)
    with Context("local[2]") as sc:
        ranges = [OffsetRange(topic, partition, 0, 250_000) for partition in range(PARTITIONS)]
        rdd = KafkaUtils.createRDD(sc, broker.params, ranges)
        assert rdd.map(lambda message: message[1]).parseCsv(Order).map(lambda order: order.id).sum() == (
            PARTITIONS * sum(range(250_000))
        )

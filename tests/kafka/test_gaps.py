"""Offsets without messages, messages that go away, partitions that come: on a client made for it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Context
from penstock.clients import kafka
from penstock.clock import ManualClock
from penstock.errors import CallSite, InputChanged, InputVanished, StorageError
from penstock.plan import counting_in
from penstock.rdd import RDD
from penstock.scheduler.ledger import BatchRecord
from penstock.sources import KafkaReading, KafkaSource, MessageDecoding, utf8_decoder
from penstock.times import BatchTime
from tests.kafka.fake import Cluster, KafkaError


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Cluster()
    kafka._readers.close()
    monkeypatch.setattr(kafka, "engine", lambda: made)
    yield made
    kafka._readers.close()


def read(start: int, until: int, on_loss: Any = "fail", stall_ms: int = 5000, **more: Any) -> list[int]:
    lists = kafka.read_range(
        {"bootstrap.servers": "fake"}, ("t", 0), start, until,
        on_loss=on_loss, stall_ms=stall_ms, timeout_ms=1000, **more,
    )  # fmt: skip
    return [message.offset() for messages in lists for message in messages]


def source(topics: list[str], *, interval_ms: int = 1000, **options: Any) -> KafkaSource:
    settings, reset = kafka.consumer_settings(
        {"bootstrap.servers": "fake", "auto.offset.reset": options.pop("reset", "earliest")}
    )
    decoding = MessageDecoding(utf8_decoder, utf8_decoder, None, CallSite("test"))
    reading = KafkaReading(settings, decoding, options.pop("on_loss", "fail"))
    return KafkaSource(
        kafka.Cluster(settings, 1000),
        topics,
        reading,
        interval_ms=interval_ms,
        reset=reset,
        from_offsets={},
        **options,
    )


# Gaps


@pytest.mark.parametrize(
    ("offsets", "high", "ranges", "wanted"),
    [
        ([0, 1, 2], 3, [(0, 3)], [[0, 1, 2]]),
        ([0, 1], 4, [(0, 4)], [[0, 1]]),  # the last two are a marker and an aborted message
        ([3], 4, [(0, 4)], [[3]]),  # the first three were compacted away
        ([], 5, [(0, 5)], [[]]),
        ([0, 9], 10, [(0, 5), (5, 10)], [[0], [9]]),  # what is behind the gap waits for the next range
        ([0, 9], 10, [(0, 5), (5, 7), (7, 9), (9, 10)], [[0], [], [], [9]]),
        ([0, 5, 9], 12, [(0, 5), (5, 6), (6, 12)], [[0], [5], [9]]),
        ([0, 1, 2], 3, [(1, 1)], [[]]),
    ],
)
def test_a_range_ends_where_it_ends(
    cluster: Cluster, offsets: list[int], high: int, ranges: Any, wanted: Any
) -> None:
    cluster.log().add(offsets, high)
    assert [read(*each) for each in ranges] == wanted
    assert len(cluster.assigned) <= 1


def test_a_marker_at_the_end_that_the_reader_has_passed_already(cluster: Cluster) -> None:
    cluster.log().add([0, 1], 2)
    assert read(0, 2) == [0, 1]
    cluster.log().add([], 3)
    assert read(2, 3) == []
    cluster.log().add([3], 4)
    assert read(3, 4) == [3]
    assert cluster.assigned == [0]


@given(data=st.data())
def test_every_message_once_however_it_is_cut(data: Any) -> None:
    """Logs with random gaps that grow between ranges, read in any pieces, some of them left in the middle."""
    with pytest.MonkeyPatch.context() as patch:
        cluster = Cluster()
        kafka._readers.close()
        patch.setattr(kafka, "engine", lambda: cluster)
        patch.setattr(kafka, "_FIRST_MESSAGES", data.draw(st.integers(1, 5)))
        log, at, found = cluster.log(), 0, []
        for _ in range(data.draw(st.integers(1, 6))):
            more = data.draw(st.lists(st.booleans(), max_size=8))
            log.add([log.high + place for place, there in enumerate(more) if there], log.high + len(more))
            until = data.draw(st.integers(at, log.high))
            if data.draw(st.booleans()):
                begun = kafka.read_range(
                    {"bootstrap.servers": "fake"}, ("t", 0), at, until,
                    on_loss="fail", stall_ms=0, timeout_ms=1000,
                )  # fmt: skip
                next(begun, None)
                begun.close()
            found += read(at, until)
            at = until
        found += read(at, log.high)
        kafka._readers.close()
        assert found == sorted(log.messages)


# Errors


def test_what_the_client_overcomes_by_itself_is_waited_out(cluster: Cluster) -> None:
    cluster.log().add([0, 1], 2)
    cluster.errors += [KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT]
    assert read(0, 2) == [0, 1]


def test_that_the_client_says_again_and_again_what_is_wrong_is_nothing_that_comes(cluster: Cluster) -> None:
    cluster.log().add([], 1)
    cluster.errors += [KafkaError._TRANSPORT] * 100_000
    with pytest.raises(StorageError, match=r"nothing came of t\[0\] from 0 up to 2 for 1 ms"):
        read(0, 2, stall_ms=1)
    assert cluster.errors


def test_how_long_nothing_comes_is_not_how_long_messages_are_worked_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_FIRST_MESSAGES", 1)
    monkeypatch.setattr(kafka, "_MOST_MESSAGES", 1)
    clock = ManualClock()
    monkeypatch.setattr(kafka, "_clock", clock)
    cluster.log().add([0, 1], 2)
    begun = kafka.read_range(
        {"bootstrap.servers": "fake"}, ("t", 0), 0, 2, on_loss="fail", stall_ms=1000, timeout_ms=1000
    )
    assert [message.offset() for message in next(begun)] == [0]
    clock.advance(5000)
    cluster.quiet = 2
    assert [message.offset() for messages in begun for message in messages] == [1]


def test_what_it_cannot_overcome_is_raised_and_the_consumer_is_not_used_again(cluster: Cluster) -> None:
    cluster.log().add([0, 1], 2)
    cluster.errors += [KafkaError.TOPIC_AUTHORIZATION_FAILED]
    with pytest.raises(StorageError, match=r"Kafka at fake: reading t\[0\] .*: as asked for"):
        read(0, 2)
    assert kafka.idle_readers() == 0
    assert read(0, 2) == [0, 1]


def test_consumers_that_are_too_many_are_closed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_IDLE_READERS", 2)
    cluster.log().add([0, 1], 2)
    open_at_once = [
        kafka.read_range(
            {"bootstrap.servers": "fake"}, ("t", 0), 0, 2, on_loss="fail", stall_ms=0, timeout_ms=1
        )
        for _ in range(4)
    ]
    for each in open_at_once:
        next(each)
    for each in open_at_once:
        each.close()
    assert kafka.idle_readers() == 2


def test_of_many_partitions_the_same_consumers_are_kept(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_IDLE_READERS", 3)
    clock = ManualClock()
    monkeypatch.setattr(kafka, "_clock", clock)
    for partition in range(5):
        cluster.log("t", partition).add(range(4), 4)

    def batch(start: int, partitions: range) -> int:
        """How many consumers had to find their place."""
        before = len(cluster.assigned)
        for partition in partitions:
            for _ in kafka.read_range(
                {"bootstrap.servers": "fake"}, ("t", partition), start, start + 1,
                on_loss="fail", stall_ms=1000, timeout_ms=1,
            ):  # fmt: skip
                pass
        return len(cluster.assigned) - before

    assert [batch(start, range(5)) for start in range(3)] == [5, 2, 2]
    clock.advance(30_000)
    assert batch(3, range(3, 5)) == 2
    clock.advance(31_000)
    assert [batch(start, range(3, 5)) for start in range(3)] == [2, 0, 0]
    assert kafka.idle_readers() == 2


# Messages that go away


def test_what_is_gone_when_it_is_read(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.log().add(range(10), 10)
    cluster.log().drop_below(4)
    with pytest.raises(InputVanished, match=r"t\[0\] begins at 4 now: 2 messages from 2 on are gone"):
        read(2, 6)
    lost: list[int] = []
    assert read(2, 6, "earliest", note_lost=lost.append) == [4, 5]
    assert caplog.messages == ["2 messages of t[0] from 2 up to 6 are gone and are passed over"]
    assert lost == [2]
    assert read(0, 3, "earliest") == []
    assert read(6, 10) == [6, 7, 8, 9]


def test_a_partition_that_was_made_anew_when_it_is_read(cluster: Cluster) -> None:
    cluster.log().add(range(3), 3)
    with pytest.raises(InputChanged, match=r"t\[0\] ends at 3 now, before 7"):
        read(7, 9)
    assert read(7, 9, "earliest") == []


@pytest.mark.parametrize("on_loss", ["fail", "earliest"])
def test_that_an_offset_is_not_there_is_believed_when_the_broker_says_so(
    cluster: Cluster, on_loss: Any
) -> None:
    """A follower may be behind, and what a consumer has in its queue may be old."""
    cluster.log().add(range(4), 4)
    cluster.errors += [KafkaError._AUTO_OFFSET_RESET]
    assert read(0, 2, on_loss) == [0, 1]
    cluster.errors += [KafkaError._AUTO_OFFSET_RESET] * 2
    with pytest.raises(StorageError, match=r"reading t\[0\] from 1 up to 2: as asked for"):
        read(1, 2, on_loss)
    assert read(2, 4, on_loss) == [2, 3]


def test_what_is_gone_when_a_batch_is_planned(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.log().add(range(10), 10)
    strict, lenient = source(["t"]), source(["t"], on_loss="earliest")
    for each in (strict, lenient):
        each.open()
        assert each.plan(BatchTime(1000)).items == (("t", 0, 0, 10),)
    cluster.log().add(range(10, 20), 20)
    cluster.log().drop_below(15)
    for time in (2000, 3000):
        with pytest.raises(InputVanished, match="5 messages from 10 on are gone"):
            strict.plan(BatchTime(time))
    assert strict.position() == [["t", 0, 10]]
    intent = lenient.plan(BatchTime(2000))
    assert (intent.items, intent.metadata["lost"]) == ((("t", 0, 15, 20),), 5)
    assert caplog.messages == ["t[0] had been read up to 10: 5 messages are gone, it goes on from 15"]
    assert "lost" not in lenient.plan(BatchTime(3000)).metadata


def test_what_is_gone_is_told_of_once_whenever_it_was_noticed(cluster: Cluster, sc: Context) -> None:
    """Before all that is there is counted, and between the planning of a batch and its work."""
    cluster.log().add(range(10), 10)
    found = source(["t"], on_loss="earliest", max_rate=4)
    found.open()
    cluster.log().drop_below(2)
    found.only_available()
    intents = [found.plan(BatchTime(1000 * number)) for number in (1, 2)]
    cluster.log().drop_below(3)
    told = []
    for number, intent in enumerate(intents):
        record = BatchRecord(BatchTime(1000 * number), {None: intent}, 0, 0)
        with counting_in(record.metrics):
            assert len(RDD(found.node(intent, CallSite("test")), sc).collect()) == [3, 4][number]
        told.append([info.metadata.get("lost") for info in record.info().streamIdToInputInfo.values()])
    assert told == [[3], [None]]


def test_an_end_that_went_back_when_a_batch_is_planned(cluster: Cluster) -> None:
    cluster.log().add(range(10), 10)
    strict, lenient = source(["t"]), source(["t"], on_loss="earliest")
    for each in (strict, lenient):
        each.open()
        each.plan(BatchTime(1000))
    cluster.logs["t", 0] = type(cluster.log())()
    cluster.log().add([0, 1], 2)
    with pytest.raises(InputChanged, match="ends at 2 now, before 10"):
        strict.plan(BatchTime(2000))
    assert lenient.plan(BatchTime(2000)).items == (("t", 0, 0, 2),)


def test_partitions_that_come_are_read_from_their_beginning(cluster: Cluster) -> None:
    cluster.log().add(range(4), 4)
    found = source(["t"], reset="latest")
    found.open()
    cluster.log("t", 1).add(range(3), 3)
    cluster.log("t", 1).drop_below(1)
    assert found.plan(BatchTime(1000)).items == (("t", 1, 1, 3),)
    position = found.position()
    assert position == [["t", 0, 4], ["t", 1, 3]]
    cluster.log("t", 2).add(range(2), 2)
    again = source(["t"], reset="latest")
    again.restore(position, [])
    again.open()
    assert again.plan(BatchTime(2000)).items == (("t", 2, 0, 2),)


def test_a_topic_that_is_gone_for_a_while_goes_on(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.log().add(range(4), 4)
    found = source(["t"])
    found.open()
    found.plan(BatchTime(1000))
    away = cluster.logs.pop(("t", 0))
    with caplog.at_level(logging.WARNING):
        assert [found.plan(BatchTime(time)).items for time in (2000, 3000)] == [(), ()]
    assert len(caplog.messages) == 1
    cluster.logs["t", 0] = away
    away.add([4], 5)
    assert found.plan(BatchTime(4000)).items == (("t", 0, 4, 5),)


def test_the_first_answer_is_waited_for_longer(cluster: Cluster) -> None:
    cluster.log().add(range(4), 4)
    found = source(["t"])
    found.open()
    found.plan(BatchTime(1000))
    assert cluster.patience == [30, 1]


def test_a_quiet_partition_costs_one_question(cluster: Cluster) -> None:
    cluster.log().add(range(4), 4)
    found = source(["t"])
    found.open()
    found.plan(BatchTime(1000))
    asked = cluster.asked
    assert found.plan(BatchTime(2000)).items == ()
    assert cluster.asked == asked + 1


@pytest.mark.parametrize(
    ("interval_ms", "rate", "wanted"),
    [
        (100, 3, [0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1]),
        (100, 15, [1, 2, 1, 2, 1, 2]),
        (1500, 1, [1, 2, 1, 2]),
        (2000, 4, [8, 8]),
    ],
)
def test_the_highest_rate_holds_in_short_intervals(
    cluster: Cluster, interval_ms: int, rate: int, wanted: list[int]
) -> None:
    cluster.log().add(range(100), 100)
    found = source(["t"], max_rate=rate, interval_ms=interval_ms)
    found.open()
    times = [BatchTime(interval_ms * number) for number in range(1, len(wanted) + 1)]
    assert [found.plan(time).records for time in times] == wanted


def test_what_was_planned_before_a_crash_is_not_planned_again(cluster: Cluster) -> None:
    cluster.log().add(range(9), 9)
    found = source(["t"], max_rate=4)
    found.open()
    position = found.position()
    intents = [found.plan(BatchTime(time)) for time in (1000, 2000)]
    again = source(["t"], max_rate=4)
    again.restore(position, intents)
    again.open()
    assert again.plan(BatchTime(3000)).items == (("t", 0, 8, 9),)

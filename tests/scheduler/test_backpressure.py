"""The rate that inputs are held to: the estimator by itself, and a stream that gets more than it can do."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Conf, Context, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import CallSite, SettingError
from penstock.plan import Node, SliceReader, Source
from penstock.scheduler import PidSettings, RateInfo
from penstock.scheduler.backpressure import RateController
from penstock.sources import Intent, SourceEvent, StreamSource
from penstock.times import BatchTime
from tests.scheduler.doubles import Events

# ------------------------------------------------------------------------------------ the estimator

P_ONLY = PidSettings(1.0, 0.0, 0.0, 100.0)


def limits(settings: PidSettings, *batches: tuple[float, int, float, float]) -> list[float | None]:
    """The limits after batches of (end, records, processing ms, waited ms), one second apart."""
    controller = RateController(0, 1000, settings)
    found = []
    for ended, records, took, waited in batches:
        info = controller.after(ended, records=records, processing_ms=took, waited_ms=waited)
        found.append(None if info is None else info.limit)
    return found


def test_the_first_batch_is_only_a_beginning() -> None:
    assert limits(P_ONLY, (1000, 500, 100, 0)) == [None]


@pytest.mark.parametrize(
    "says_nothing",
    [
        pytest.param((2000, 0, 10, 0), id="no records"),
        pytest.param((2000, 10, 0, 0), id="no duration"),
        pytest.param((1000, 10, 10, 0), id="no later than the one before"),
        pytest.param((900, 10, 10, 0), id="earlier than the one before"),
    ],
)
def test_what_says_nothing_changes_nothing(says_nothing: tuple[float, int, float, float]) -> None:
    first, last = (1000, 1000, 1000, 0), (3000, 1500, 1000, 0)
    assert limits(P_ONLY, first, says_nothing, last) == [None, None, 1500.0]


def test_without_a_backlog_the_limit_is_the_processing_rate() -> None:
    speeds = [1000, 3000, 200, 5000]
    batches = [(1000.0 * n, speed, 1000.0, 0.0) for n, speed in enumerate(speeds, 1)]
    assert limits(P_ONLY, *batches) == [None, 3000.0, 200.0, 5000.0]


def test_a_backlog_lowers_the_limit_below_the_processing_rate() -> None:
    # 1 s behind at 1000 records/s is a backlog of 1000/s, a fifth of which comes off.
    settings = PidSettings(1.0, 0.2, 0.0, 100.0)
    assert limits(settings, (1000, 1000, 1000, 0), (2000, 1000, 1000, 1000)) == [None, 800.0]


def test_the_change_of_the_error_counts_per_second() -> None:
    # error: 1000 - 2000 = -1000, from 0 two seconds ago: -500 a second, half of it comes off.
    settings = PidSettings(0.0, 0.0, 0.5, 100.0)
    assert limits(settings, (1000, 1000, 1000, 0), (3000, 2000, 1000, 0)) == [None, 1250.0]


def test_the_limit_does_not_fall_below_the_lowest() -> None:
    settings = PidSettings(1.0, 1.0, 0.0, 70.0)
    assert limits(settings, (1000, 1000, 1000, 0), (2000, 10, 1000, 60_000)) == [None, 70.0]


NANOSECONDS = st.integers(0, 10**15).map(lambda ns: ns / 1e6)  # as ms


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), NANOSECONDS, NANOSECONDS, NANOSECONDS),
        max_size=30,
    ),
    st.tuples(st.floats(0, 2), st.floats(0, 2), st.floats(0, 2), st.floats(0.1, 1000)),
)
def test_a_limit_is_a_number_and_not_below_the_lowest(
    batches: list[tuple[int, float, float, float]], weights: tuple[float, float, float, float]
) -> None:
    settings, ended = PidSettings(*weights), 0.0
    rows = []
    for records, took, waited, later in batches:
        ended += later
        rows.append((ended, records, took, waited))
    for limit in limits(settings, *rows):
        assert limit is None or (math.isfinite(limit) and limit >= settings.lowest)


# ------------------------------------------------------------------------------------- in a stream


class Tap(StreamSource):
    """Gives ``rate`` records a second of the clock, or less if it is told to; the others wait at the tap."""

    paced = True

    def __init__(self, clock: ManualClock, rate: int) -> None:
        self.name = "tap"
        self.clock = clock
        self.rate = rate
        self.limit: float | None = None
        self.arrived = 0
        self.given = 0
        self.seen: dict[int, int] = {}
        self._last_ms = 0

    def plan(self, time: BatchTime) -> Intent:
        self.arrived += self.rate * (time - self._last_ms) // 1000
        self._last_ms = time
        count = self.arrived - self.given
        if self.limit is not None:
            count = min(count, max(1, int(self.limit)))  # batches are a second apart
        begin, self.given = self.given, self.given + count
        return Intent((begin, self.given), count)

    def node(self, intent: Intent, site: CallSite) -> Node:
        return Source(site, [SliceReader.of(list(range(*intent.items)))])

    def pace(self, records_per_s: float) -> None:
        self.limit = records_per_s

    def processed(self, time: BatchTime, records: int) -> None:
        self.seen[time] = records


class Overloaded:
    """A stream on a manual clock that takes ``us_per_record`` for each record, whatever time it is."""

    def __init__(self, rate: int, us_per_record: int, **settings: Any) -> None:
        self.clock = ManualClock()
        conf = Conf().setMaster("local[1]").setAppName("overloaded")
        for key, value in settings.items():
            conf.set(f"spark.streaming.{key.replace('_', '.')}", value)
        self.sc = Context(conf=conf)
        self.ssc = StreamingContext(self.sc, 1, clock=self.clock)
        self.tap = Tap(self.clock, rate)
        self.records: list[int] = []
        self.events = Events()
        self.ssc.addStreamingListener(self.events)

        def process(rdd: Any) -> None:
            records = rdd.collect()
            self.records += records
            self.clock.advance(len(records) * us_per_record // 1000)

        self.ssc._input("tap", self.tap).foreachRDD(process)

    def run(self, seconds: int) -> None:
        """Tick when it is time, however late the batches are; run them one by one."""
        driver = self.ssc.driver
        end = self.clock.now_ms() + seconds * 1000
        ticked = getattr(self, "ticked", 0)
        while self.clock.now_ms() < end:
            if self.clock.now_ms() < ticked + 1000:
                self.clock.set(ticked + 1000)
            while ticked + 1000 <= self.clock.now_ms():
                ticked += 1000
                driver.tick(BatchTime(ticked))
            driver.work()
        self.ticked = ticked

    def batches(self) -> list[Any]:
        return [event.batchInfo for event in self.events.of("BatchCompleted")]

    def __enter__(self) -> Overloaded:
        self.ssc.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ssc.stop()


def test_three_times_too_much_for_ten_minutes_leaves_nothing_out_and_the_delay_bounded() -> None:
    # 3,000 records/s arrive, 1,000/s can be done.
    with Overloaded(3_000, 1_000, backpressure_enabled="true") as stream:
        stream.run(600)
        delays = [info.schedulingDelay for info in stream.batches()]
        assert max(delays[60:]) <= 1_000  # within an interval, once it has settled
        sizes = [info.numRecords for info in stream.batches()]
        assert sum(sizes[60:]) / len(sizes[60:]) == pytest.approx(1_000, rel=0.05)  # all that can be done
        assert stream.records == list(range(len(stream.records)))  # each once, in order

        stream.tap.rate = 200
        stream.run(1_600)  # 1.2 million wait, and 800 a second can be caught up
        assert stream.tap.given == stream.tap.arrived
        stream.tap.rate = 0
        stream.run(10)
        assert stream.records == list(range(stream.tap.arrived))
        assert stream.batches()[-1].schedulingDelay == 0


def test_without_back_pressure_the_delay_grows() -> None:
    """What the test above would see if nothing held the input."""
    with Overloaded(3_000, 1_000) as stream:
        stream.run(60)
        assert stream.batches()[-1].schedulingDelay > 20_000
        assert stream.tap.limit is None


def test_the_numbers_are_in_the_events_of_the_batch() -> None:
    settings = {"backpressure_enabled": "true", "backpressure_initialRate": "1500"}
    with Overloaded(3_000, 1_000, **settings) as stream:
        assert stream.tap.limit == 1500.0
        stream.run(4)
        first, second, *_ = stream.batches()
        assert (first.numRecords, first.streamIdToRateInfo) == (1500, {})
        info = second.streamIdToRateInfo[0]
        assert isinstance(info, RateInfo)
        assert info.processingRate == 1000.0
        assert info.backlog == pytest.approx(second.schedulingDelay)  # ms at 1,000 records/s
        assert info.limit == pytest.approx(1000 - 0.2 * info.backlog)
        assert stream.tap.seen[1000] == 1500


def test_a_batch_that_fails_says_nothing_of_the_rate() -> None:
    with Overloaded(1_000, 100, backpressure_enabled="true") as stream:
        stream.run(2)
        limit = stream.tap.limit

        def process(rdd: Any) -> None:
            raise OSError("the disk is full")

        stream.ssc.graph.outputs[0].action = lambda time, rdd: process(rdd)
        stream.run(3)
        assert stream.tap.limit == limit
        assert stream.batches()[-1].streamIdToRateInfo == {}


def test_there_is_one_way_to_find_the_rate() -> None:
    with pytest.raises(SettingError, match="only"):
        Conf().set("spark.streaming.backpressure.rateEstimator", "other")


# ----------------------------------------------------------------------------- what sources tell


def test_what_a_source_tells_between_batches_reaches_listeners(
    sc: Context, clock: ManualClock, ssc: StreamingContext
) -> None:
    told: list[Any] = []

    class Telling(Tap):
        def tell_to(self, tell: Any) -> None:
            told.append(tell)

    events = Events()
    ssc.addStreamingListener(events)
    ssc._input("tap", Telling(clock, 0)).foreachRDD(lambda rdd: None)
    ssc.start()
    [tell] = told
    clock.advance(1234)
    tell(SourceEvent("started", "socket tcp://h:1"))
    tell(SourceEvent("error", "socket tcp://h:1", "lost", "ConnectionResetError: reset"))
    tell(SourceEvent("stopped", "socket tcp://h:1"))
    ssc.driver.work()
    seen = [
        (
            name,
            info.streamId,
            info.name,
            info.active,
            info.lastErrorMessage,
            info.lastError,
            info.lastErrorTime,
        )
        for name, info in ((name, event.receiverInfo) for name, event in events.seen if "Receiver" in name)
    ]
    name = "socket tcp://h:1"
    assert seen == [
        ("ReceiverStarted", 0, name, True, "", "", -1),
        ("ReceiverError", 0, name, True, "lost", "ConnectionResetError: reset", 1234),
        ("ReceiverStopped", 0, name, False, "", "", -1),
    ]

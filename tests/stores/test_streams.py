"""Streams of the objects that appear in a bucket: what is taken, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock import Context, StreamingContext
from penstock.clock import ManualClock
from penstock.storage import storage_for
from penstock.testing import CollectingSink, Stepper
from tests.storage.servers import Proxy, Reaction
from tests.stores.programs import put


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ssc(sc: Context, clock: ManualClock) -> Iterator[StreamingContext]:
    made = StreamingContext(sc, 1, clock=clock)
    yield made
    made.stop(stopSparkContext=False)


def remove(url: str) -> None:
    storage, path = storage_for(url)
    storage.remove(path)


def test_each_object_that_appears_is_taken_once(ssc: StreamingContext, clock: ManualClock, url: str) -> None:
    put(f"{url}/in/old", "old\n")
    sink = CollectingSink()
    ssc.textFileStream(f"{url}/in").foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        put(f"{url}/in/b 100%", "3\n4")
        put(f"{url}/in/a", "1\n2\n")
        put(f"{url}/in/_hidden", "no\n")
        put(f"{url}/in/below/c", "no\n")
        stepper.step()
        stepper.step()
        remove(f"{url}/in/a")
        put(f"{url}/in/c", "5\n")
        stepper.step()
        put(f"{url}/in/a", "6\n")  # it was gone, so it is another
        stepper.step()
        remove(f"{url}/in/old")
        stepper.step()
    assert sink.batches == [["1", "2", "3", "4"], [], ["5"], ["6"], []]


def test_a_bucket_s_folder_need_not_be_there_at_the_start(
    ssc: StreamingContext, clock: ManualClock, url: str
) -> None:
    sink = CollectingSink()
    ssc.textFileStream(f"{url}/day-*").foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        put(f"{url}/day-1/a", "1\n")
        stepper.step()
        put(f"{url}/day-2/a", "2\n")
        stepper.step()
    assert sink.batches == [[], ["1"], ["2"]]


def test_a_look_is_one_listing_and_an_object_two_requests(
    ssc: StreamingContext, clock: ManualClock, proxy: Proxy, url: str
) -> None:
    sink = CollectingSink()
    for number in range(5):
        put(f"{url}/in/old-{number}", "old\n")
    ssc.textFileStream(f"{url}/in").foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        with proxy.counting() as quiet:
            stepper.step()
        assert [(request.method, "list-type=2" in request.query) for request in quiet] == [("GET", True)]
        for number in range(3):
            put(f"{url}/in/new-{number}", f"{number}\n")
        with proxy.counting() as busy:
            stepper.step()
        # Of each object: what it is now, and its content.
        assert sorted(request.method for request in busy if request.key) == 3 * ["GET"] + 3 * ["HEAD"]
        assert len(busy) == 7
    assert sink.batches[-1] == ["0", "1", "2"]


def test_a_look_that_fails_takes_nothing_and_the_next_takes_all(
    ssc: StreamingContext, clock: ManualClock, proxy: Proxy, url: str
) -> None:
    sink = CollectingSink()
    ssc.textFileStream(f"{url}/in").foreachRDD(sink)
    put(f"{url}/in/old", "old\n")
    with Stepper(ssc, clock) as stepper:
        put(f"{url}/in/a", "1\n")
        broken = Reaction(status=403, code="AccessDenied")
        with proxy.reacting(lambda request: broken), pytest.raises(PermissionError, match=f"{url}/in"):
            stepper.step()
        put(f"{url}/in/b", "2\n")
        with pytest.raises(PermissionError):  # the error of the run stays the first one
            stepper.step()
    assert sink.batches == [["1", "2"]]


def test_an_object_that_is_cut_off_is_never_a_shorter_batch(
    ssc: StreamingContext, clock: ManualClock, proxy: Proxy, url: str
) -> None:
    sink = CollectingSink()
    ssc.textFileStream(f"{url}/in").foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        put(f"{url}/in/a", "".join(f"{number}\n" for number in range(1_000)))
        with (
            proxy.reacting(lambda request: Reaction(cut=True) if request.key == "in/a" else None),
            pytest.raises(OSError, match=f"{url}/in/a"),
        ):
            stepper.step()
    assert sink.batches == []


def test_an_object_that_was_replaced_by_a_shorter_one_fails_its_batch(
    ssc: StreamingContext, clock: ManualClock, proxy: Proxy, url: str
) -> None:
    sink = CollectingSink()
    ssc.textFileStream(f"{url}/in").foreachRDD(sink)
    storage, path = storage_for(f"{url}/in/a")

    def replaced(request: object) -> None:
        if getattr(request, "key", "") == "in/a" and not done:
            done.append(True)
            storage.write_atomic(path, b"1\n")

    done: list[bool] = []
    with Stepper(ssc, clock) as stepper:
        put(f"{url}/in/a", "1\n2\n3\n")
        with proxy.reacting(replaced), pytest.raises(OSError, match="had 6 bytes"):
            stepper.step()
    assert sink.batches == []

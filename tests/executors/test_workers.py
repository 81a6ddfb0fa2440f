"""Worker processes: what travels, what comes back, and what becomes of workers and programs that die."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import randint
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock import Accumulator, Broadcast, Context, StreamingContext
from penstock.errors import StateError, UnsupportedError, failure_of
from penstock.executors.remote import Programs, Shipment
from penstock.testing import ManualClock, Stepper
from tests.executors.crews import crew_of, with_workers

NUMBERS = list(range(8))


@pytest.fixture(scope="module")
def sc() -> Iterator[Context]:
    with with_workers(2) as context:
        yield context


@pytest.fixture
def sent(sc: Context, monkeypatch: pytest.MonkeyPatch) -> list[Shipment]:
    """The shipments of this test."""
    crew, found = crew_of(sc), []
    run = crew.run

    def spy(shipment: Shipment) -> Any:
        found.append(shipment)
        return run(shipment)

    monkeypatch.setattr(crew, "run", spy)
    return found


def pid_of(record: Any) -> int:
    """Where it is called: it has no column form."""
    return os.getpid()


def test_functions_run_in_as_many_processes_as_the_master_has_threads(sc: Context) -> None:
    found = set(sc.parallelize(range(100), 8).map(pid_of).collect())
    assert found == set(crew_of(sc).pids)
    assert len(found) == 2
    assert os.getpid() not in found


def test_jobs_on_many_threads_share_the_workers(sc: Context) -> None:
    results: list[list[int]] = []

    def job() -> None:
        results.append(sc.parallelize([1], 1).map(pid_of).collect())

    threads = [threading.Thread(target=job) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 12
    assert len(crew_of(sc).pids) <= 2


def test_two_jobs_fill_what_the_other_one_keeps(sc: Context) -> None:
    low = sc.parallelize(NUMBERS, 4).map(lambda x: (x % 2, str(x))).cache()
    one = low.mapValues(lambda text: text + "!").cache()
    two = sc.union([one, low]).map(lambda pair: pair[1] + "?").cache()
    done: list[list[Any]] = []
    threads = [
        threading.Thread(target=lambda rdd=rdd: done.append(rdd.collect()))
        for rdd in (two, one, low, two, one)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(map(len, done)) == [8, 8, 8, 16, 16]


# What travels


def test_a_shuffle_sends_its_router_and_not_the_plan_below(sc: Context, sent: list[Shipment]) -> None:
    pairs = sc.parallelize([(x % 3, "x" * 1000) for x in range(1000)], 2).map(
        lambda pair: (pair[0], str(pair))
    )
    assert len(pairs.groupByKey(3).collect()) == 3
    assert all(len(shipment.program) < 5_000 for shipment in sent)


def double(text: str) -> str:
    return f"{text}{text}"


ON_BATCHES: dict[str, Callable[[Any], Any]] = {
    "map": lambda stream: stream.map(double),
    "filter, flatMap": lambda stream: stream.filter(double).flatMap(lambda text: [text, double(text)]),
    "reduceByKey": lambda stream: stream.map(lambda text: (double(text), 1)).reduceByKey(lambda a, b: a + b),
    "groupByKey": lambda stream: stream.map(lambda text: (double(text), 1)).groupByKey(3).mapValues(list),
    "sorted": lambda stream: stream.transform(lambda rdd: rdd.map(double).sortBy(lambda text: text[1:])),
    "repartitioned": lambda stream: stream.map(double).repartition(3).mapPartitions(lambda part: [*part, 1]),
    "window": lambda stream: stream.map(double).window(4, 2).map(lambda text: text[1:]),
    "reduceByWindow": lambda stream: stream.map(double).reduceByWindow(lambda a, b: max(a, b), None, 4, 2),
    "counted in a window": lambda stream: stream.map(double).countByValueAndWindow(4, 2),
    "joined": lambda stream: stream.map(lambda t: (double(t), 1)).join(stream.map(lambda t: (double(t), 2))),
    "union": lambda stream: stream.map(double).union(stream.map(lambda text: text[:1])).map(double),
    "numbered": lambda stream: stream.transform(lambda rdd: rdd.map(double).zipWithIndex().map(list)),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_BATCHES)
def test_every_batch_of_a_stream_is_the_same_program(
    sc: Context, sent: list[Shipment], name: str, tmp_path: Path
) -> None:
    """Else workers would trace its functions anew; also where batches have more or fewer partitions."""
    sc.setCheckpointDir(str(tmp_path))
    clock = ManualClock()
    ssc = StreamingContext(sc, 2, clock=clock)
    texts = [[f"{batch}-{x}" for x in range(20)] for batch in range(6)]
    batches = [sc.parallelize(each, 2 + number % 2) for number, each in enumerate(texts)]
    stream = ssc.queueStream(batches, oneAtATime=True)
    ON_BATCHES[name](stream).foreachRDD(lambda rdd: rdd.foreach(double))
    programs: list[set[bytes]] = []
    with Stepper(ssc, clock) as stepper:
        for _ in batches:
            sent.clear()
            stepper.step()
            programs.append({Programs.digest(shipment.program) for shipment in sent})
    assert programs[3]
    assert programs[3] == programs[4] == programs[5]


def test_what_a_function_closes_over_is_that_of_the_job(sc: Context) -> None:
    factor = [2]
    scaled = sc.parallelize(NUMBERS, 2).map(lambda x: str(x * factor[0]))
    assert scaled.first() == "0"
    assert scaled.collect() == [str(2 * x) for x in NUMBERS]
    factor[0] = 3
    assert scaled.collect() == [str(3 * x) for x in NUMBERS]


def test_random_numbers_are_not_the_same_in_two_workers(sc: Context) -> None:
    for draw in (lambda x: randint(0, 10**12), lambda x: random.random(), lambda x: float(np.random.rand())):
        found = sc.parallelize(range(200), 8).map(draw).collect()
        assert len(set(found)) == 200


def test_equal_texts_have_one_hash_in_all_workers(sc: Context) -> None:
    found: dict[int, int] = {}
    while len(found) < 2:
        found.update(sc.parallelize(["text"] * 8, 8).map(lambda text: (pid_of(text), hash(text))).collect())
    assert len(set(found.values())) == 1


def test_columns_stay_columns_on_their_way(sc: Context) -> None:
    table = pa.table({"n": list(range(1000))})
    rdd = sc.fromArrow(table, 2).filter(lambda row: row.n >= 10).map(lambda row: str(row.n))
    assert rdd.collect() == [str(n) for n in range(10, 1000)]


def test_what_has_a_column_form_stays_in_the_program(sc: Context, sent: list[Shipment]) -> None:
    rdd = sc.fromArrow(pa.table({"n": list(range(1000))}), 2)
    assert rdd.map(lambda row: row.n + 1).sum() == sum(range(1, 1001))
    assert not sent
    rdd.map(pid_of).collect()
    assert len(sent) == 1


# What is refused, before anything runs


def _count(rdd: Any, x: int) -> int:
    found: int = rdd.count()
    return found + x


def refused() -> dict[str, Callable[[Context], Any]]:
    lock, local, numbers = threading.Lock(), threading.local(), (x for x in range(3))
    return {
        "lock": lambda sc: lambda x: (lock, pid_of(x)),
        "thread-local": lambda sc: lambda x: (local, pid_of(x)),
        "generator": lambda sc: lambda x: next(numbers),
        "Context": lambda sc: lambda x: sc.parallelize([x]),
        "RDD": lambda sc: partial(_count, sc.parallelize([1])),
    }


@pytest.mark.parametrize("name", ["lock", "thread-local", "generator", "Context", "RDD"])
def test_a_function_that_cannot_be_sent_is_refused_before_anything_runs(sc: Context, name: str) -> None:
    ran = sc.accumulator(0)

    def count(x: int) -> tuple[int, int]:
        ran.add(1)
        return x % 2, x

    held = refused()[name](sc)
    below = sc.parallelize(NUMBERS, 2).map(count).groupByKey(2)
    with pytest.raises(UnsupportedError, match="Hint: ") as caught:
        below.map(held).collect()
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.site is not None
    assert failure.site.file == __file__
    assert ran.value == 0


@pytest.mark.parametrize("give", [lambda x: threading.Lock(), lambda x: (y for y in range(x))])
def test_a_result_that_cannot_be_sent_back_names_the_line(sc: Context, give: Callable[[int], Any]) -> None:
    with pytest.raises(UnsupportedError, match=r"gives cannot be sent back .* Hint: ") as caught:
        sc.parallelize(NUMBERS, 2).map(give).collect()
    assert caught.value.__notes__ == [f"in map ({__file__}:{_line_of(caught.value)}) of partition 0"]
    assert sc.parallelize(NUMBERS, 2).map(give).count() == 8


def _line_of(error: BaseException) -> int:
    failure = failure_of(error)
    assert failure is not None
    assert failure.site is not None
    return failure.site.line


def test_records_that_cannot_be_sent_are_refused(sc: Context) -> None:
    records = sc.parallelize([1, 2], 1).cache()
    held = sc.parallelize([threading.Lock()], 1)
    with pytest.raises(UnsupportedError, match="works with cannot be sent"):
        held.map(pid_of).collect()
    assert records.count() == 2


# What comes back


class Strange(Exception):
    """Made of two things, and told of a third."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.two = two


class Holding(Exception):
    """Holds what cannot be sent."""

    def __init__(self, text: str) -> None:
        super().__init__(text, threading.Lock())
        self.code, self.lock = 7, threading.Lock()


def fail_with(make: Callable[[], BaseException]) -> Callable[[int], int]:
    def f(x: int) -> int:
        if x == 5:
            raise make()
        return x

    return f


@pytest.mark.parametrize("workers", [True, False])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: ValueError("no"), ValueError),
        (lambda: Strange(1, 2), Strange),
        (lambda: Holding("text"), Holding),
        (lambda: StopIteration(), RuntimeError),
        (lambda: SystemExit(3), SystemExit),
        (lambda: KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_exceptions_arrive_as_they_do_from_threads(
    sc: Context, make: Callable[[], BaseException], kind: type[BaseException], workers: bool
) -> None:
    rdd = sc.parallelize(NUMBERS, 4).map(fail_with(make))
    with pytest.raises(kind) as caught:
        rdd.collect() if workers else list(rdd.toLocalIterator())
    assert type(caught.value) is kind
    if isinstance(caught.value, Exception):
        failure = failure_of(caught.value)
        assert failure is not None
        assert failure.site is not None
        assert (failure.site.operation, failure.partition, failure.record) == ("map", 2, "5")
        assert caught.value.__notes__ == [f"in {failure.site} of partition 2, at the record 5"]
    if isinstance(caught.value, Strange):
        assert (str(caught.value), caught.value.two) == ("1 and 2", 2)
    if isinstance(caught.value, Holding):
        assert (caught.value.args[0], caught.value.code) == ("text", 7)


def chained(x: int) -> int:
    try:
        return x // 0
    except ZeroDivisionError as error:
        raise KeyError("chained") from error


def test_an_exception_comes_with_its_causes_and_the_lines_of_the_worker(sc: Context) -> None:
    with pytest.raises(KeyError) as caught:
        sc.parallelize(NUMBERS, 2).map(chained).collect()
    cause = caught.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert "return x // 0" in str(cause.__cause__)


def test_the_first_failing_partition_is_told(sc: Context) -> None:
    def late(x: int) -> int:
        raise ValueError(x)

    with pytest.raises(ValueError, match="of partition 0, at the record 0"):
        sc.parallelize(NUMBERS, 8).map(late).collect()


def test_a_broadcast_comes_back_as_the_program_has_it(sc: Context) -> None:
    table = sc.broadcast({"a": 1})
    found = sc.parallelize([1, 2], 2).map(lambda x: (table, pid_of(x))).collect()
    assert [each[0] for each in found] == [table, table]
    assert found[0][0] is table


# What functions share


def test_what_is_added_counts_once_also_when_a_worker_dies(sc: Context, tmp_path: Path) -> None:
    flag, total = tmp_path / "flag", sc.accumulator(0)

    def add(x: int) -> int:
        total.add(x)
        if x == 5 and not flag.exists():
            flag.touch()
            os._exit(9)
        return x

    assert sc.parallelize(NUMBERS, 2).map(add).collect() == NUMBERS
    assert flag.exists()
    assert total.value == sum(NUMBERS)


def test_of_a_job_that_fails_what_was_done_before_counts(sc: Context) -> None:
    total = sc.accumulator(0)

    def add(x: int) -> None:
        total.add(1)
        if x == 7:
            raise ValueError("seven")

    with pytest.raises(ValueError, match="seven"):
        sc.parallelize(NUMBERS, 2).foreach(add)
    assert total.value == 4


def test_a_worker_can_only_add(sc: Context) -> None:
    total = sc.accumulator(0)
    with pytest.raises(StateError, match="only the program knows"):
        sc.parallelize(NUMBERS, 2).map(lambda x: total.value + len(str(x))).collect()
    with pytest.raises(StateError, match="was made in the worker"):
        sc.parallelize(NUMBERS, 2).map(lambda x: Accumulator(1, 0).add(pid_of(x))).collect()


class Large:
    """Counts how often it is pickled."""

    pickled = 0

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> Any:
        Large.pickled += 1
        return Large, (self.size,)


def test_a_broadcast_is_pickled_once_and_sent_once_a_worker(sc: Context) -> None:
    Large.pickled = 0
    table = sc.broadcast(Large(10))
    for _ in range(3):
        assert sc.parallelize(NUMBERS, 8).map(lambda x: f"{table.value.size}").collect() == ["10"] * 8
    assert 1 <= Large.pickled <= 2  # the second worker may have needed it later


def test_workers_let_go_of_broadcasts_that_the_program_has_let_go_of(sc: Context) -> None:
    def held(x: int) -> int:
        from penstock.rdd import variables

        return len(variables._received)

    def use(table: Broadcast) -> None:
        assert sc.parallelize(NUMBERS, 8).map(lambda x: len(table.value) + len(str(x))).collect() == [4] * 8

    for _ in range(5):
        use(sc.broadcast([1, 2, 3]))
    assert max(sc.parallelize(range(50), 8).map(held).collect()) == 0


def test_a_broadcast_that_was_destroyed_is_told_of(sc: Context) -> None:
    table = sc.broadcast([1])
    read = sc.parallelize(NUMBERS, 2).map(lambda x: f"{x}{table.value}")
    assert read.first() == "0[1]"
    table.destroy()
    with pytest.raises(StateError, match="was destroyed"):
        read.collect()


def test_a_broadcast_that_cannot_be_sent_is_refused(sc: Context) -> None:
    table = sc.broadcast(threading.Lock())
    before = set(crew_of(sc).pids)
    with pytest.raises(UnsupportedError, match=r"what map \(.*\) works with"):
        sc.parallelize(NUMBERS, 2).map(lambda x: (table.value, pid_of(x))).count()
    assert before >= set(crew_of(sc).pids)


def test_programs_that_hold_much_are_forgotten_and_sent_again(sc: Context) -> None:
    def held_by(text: str) -> list[int]:
        return sc.parallelize([1, 2], 2).map(lambda x: len(text) * x + 0 * pid_of(x)).collect()

    texts = [f"{number}" * 25_000_000 for number in range(3)]
    for _ in range(2):
        for text in texts:
            assert held_by(text) == [25_000_000, 50_000_000]


# What functions find around themselves


def test_functions_find_directory_environment_and_modules_of_the_program(
    sc: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sc.parallelize(NUMBERS, 2).map(pid_of).collect()
    (tmp_path / "made_for_workers.py").write_text("def answer(x):\n    return (42, x)[0]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MADE_FOR_WORKERS", "yes")
    from made_for_workers import answer  # type: ignore[import-not-found]

    def look(x: int) -> tuple[str, str | None, int]:
        return os.getcwd(), os.environ.get("MADE_FOR_WORKERS"), answer(x)

    assert set(sc.parallelize(NUMBERS, 2).map(look).collect()) == {(str(tmp_path), "yes", 42)}
    monkeypatch.delenv("MADE_FOR_WORKERS")
    assert {each[1] for each in sc.parallelize(NUMBERS, 2).map(look).collect()} == {None}


def log(x: int) -> None:
    logging.getLogger("test.workers").info("at %d", x)
    logging.getLogger("test.workers.quiet").warning("never")
    logging.getLogger("test.workers").debug("never")


@pytest.fixture
def levels() -> Iterator[None]:
    levels = {"test.workers": logging.INFO, "test.workers.quiet": logging.ERROR}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    yield
    for name in levels:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("levels")
def test_what_is_logged_is_logged_by_the_program(sc: Context, caplog: pytest.LogCaptureFixture) -> None:
    sc.parallelize(NUMBERS, 2).foreach(log)
    assert sorted(record.getMessage() for record in caplog.records) == [f"at {x}" for x in NUMBERS]
    assert {record.process for record in caplog.records} <= set(crew_of(sc).pids)


def test_what_is_read_twice_in_a_task_is_not_changed_by_the_first(sc: Context) -> None:
    lists = sc.parallelize([[1], [2]], 1)

    def change(record: list[int]) -> list[int]:
        record.append(pid_of(record))
        return record[:1]

    twice = sc.union([lists.map(change), lists.map(len)]).coalesce(1).map(lambda x: (x, pid_of(x))[0])
    assert twice.collect() == [[1], [2], 1, 1]
    kept = lists.map(lambda x: list(x)).cache()
    assert kept.map(change).collect() == kept.map(change).collect() == [[1], [2]]
    assert kept.collect() == [[1], [2]]

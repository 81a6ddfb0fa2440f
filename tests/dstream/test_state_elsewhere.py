"""State on workers: the same as in the driver, whatever dies, fails or is tried twice."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context, DStream, State, StateSpec, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import KeyTypeError, StateError
from penstock.executors import LocalExecutor
from penstock.executors.processes import ProcessCrew
from penstock.executors.remote import Outcome, Programs, Shipment
from penstock.plan import explained
from penstock.testing import Stepper
from tests.scheduler.doubles import Events

pytestmark = pytest.mark.in_process("brings workers of its own")

Build = Callable[[DStream], Any]
Batches = Sequence[list[Any]]


class Crew(ProcessCrew):
    """Knows what it has sent, and may do everything twice."""

    def __init__(self, *, twice: bool = False) -> None:
        super().__init__(2, max_failures=4)
        self.programs: dict[str, set[bytes]] = {}
        self.twice = twice

    def run(self, shipment: Shipment) -> list[Outcome]:
        self.programs.setdefault(str(shipment.site), set()).add(Programs.digest(shipment.program))
        if self.twice:
            super().run(shipment)  # the attempt that does not count
        return super().run(shipment)

    def kill(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)


class Far(LocalExecutor):
    """What a cluster is to state: processes that have memory of their own."""

    @property
    def has_far_workers(self) -> bool:
        return True


class Kit:
    """Contexts one after the other, here or with workers, all with the same directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.twice = False
        self.crew = Crew()

    def context(self, *, far: bool = True, **settings: Any) -> Context:
        conf = Conf().setMaster("local[2]").set("penstock.state.home", "cluster")
        conf.setAll((f"penstock.state.{key}", value) for key, value in settings.items())
        context = Context(conf=conf)
        if far:
            context._executor.close()
            self.crew = Crew(twice=self.twice)
            context._executor = Far(2, 65_536, self.crew)
        context.setCheckpointDir(str(self.directory / "rdds"))
        return context

    def files(self) -> list[Path]:
        return [*self.directory.rglob("*-updateStateByKey/*"), *self.directory.rglob("*-mapWithState/*")]


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def seen(
    sc: Context,
    batches: Batches,
    build: Build,
    between: Callable[[StreamingContext, int], None] = lambda ssc, at: None,
    *listeners: Any,
) -> list[list[Any]]:
    """What each output sees, batch by batch."""
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    for listener in listeners:
        ssc.addStreamingListener(listener)
    outputs = build(ssc.queueStream(list(batches)))
    found: list[list[Any]] = []
    for place, stream in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
        found.append([])
        stream.foreachRDD(lambda rdd, place=place: found[place].append(rdd.collect()))
    with Stepper(ssc, clock) as stepper:
        for at in range(len(batches)):
            stepper.step()
            between(ssc, at)
    return found


# ------------------------------------------------------------------------------- programs


def pid_noting(directory: Path) -> Callable[[Any, Any, Any], Any]:
    def count(key: Any, value: Any, state: State) -> Any:
        (directory / f"pid-{os.getpid()}").touch()
        if state.isTimingOut():
            return (key, "over", state.get())
        state.update((state.getOption() or 0) + value)
        return (key, state.get())

    return count


def counted(key: Any, value: Any, state: State) -> Any:
    if state.isTimingOut():
        return (key, "over", state.get())
    if value == 13:
        state.remove()
        return (key, "gone")
    state.update((state.getOption() or 0) + value)
    return (key, state.get())


def summed(key: int, value: int, state: State) -> Any:
    total = value + (state.get() if state.exists() else 0)
    state.update(total)
    return total


def listed(key: Any, value: Any, state: State) -> Any:
    held = state.getOption() or []
    held.append(value)  # the state's own list: lost but for ``update``
    if value % 2:
        state.update(held)
    return (key, list(held))


def timed(time: Any, key: Any, value: Any, state: State) -> Any:
    if not state.isTimingOut():
        state.update((time.timestamp(), value))
    return (key, *state.get())


def total(values: list[int], state: int | None) -> int | None:
    found = sum(values) + (state or 0)
    return None if found % 11 == 10 else found


def appended(values: list[int], state: list[int] | None) -> list[int] | None:
    state = state or []
    state.extend(values)
    return state if len(state) < 6 else None


def moved(pairs: Iterator[tuple[Any, list[int], Any]]) -> Iterator[tuple[Any, Any]]:
    for key, values, state in pairs:
        yield (key + 1 if sum(values) % 3 == 2 else key), (state or 0) + sum(values)


def some(pairs: Iterator[tuple[Any, list[int], Any]]) -> Iterator[tuple[Any, Any]]:
    for key, values, state in pairs:
        found = (state or 0) + sum(values)
        if found % 5:
            yield (key, found) if found % 3 else (key + 1000, found)


def keyed(time: Any, key: Any, values: list[int], state: Any) -> Any:
    return (time.timestamp(), key, *values) if values else state


def both(spec: StateSpec) -> Build:
    def build(stream: DStream) -> Any:
        made = stream.mapWithState(spec.numPartitions(3))
        return made, made.stateSnapshots().map(lambda pair: (pair[0] % 2, 1)).reduceByKey(add, 2)

    return build


PROGRAMS: dict[str, Build] = {
    "counts with a timeout": both(StateSpec.function(counted).timeout(2)),
    "sums in columns": both(StateSpec.function(summed)),
    "lists": both(StateSpec.function(listed)),
    "with time": both(StateSpec.function(timed).timeout(3)),
    "initial pairs": both(StateSpec.function(counted).initialState([(1, 100), (77, 7), (1, 5)]).timeout(2)),
    "totals": lambda pairs: pairs.updateStateByKey(total, 3, [(1, 3), (500, 1)]),
    "lists by key": lambda pairs: pairs.updateStateByKey(appended, 3),
    "all keys at once": lambda pairs: pairs.updateStateByKey(moved, 3),
    "with key and time": lambda pairs: pairs.updateStateByKey(keyed, 2),
    "a window of states": lambda pairs: pairs.updateStateByKey(total, 3).window(2).map(lambda pair: pair[1]),
    "state of state": lambda pairs: pairs.updateStateByKey(total, 2).updateStateByKey(appended, 3),
    "read by several": lambda pairs: (
        (states := pairs.updateStateByKey(total, 3)),
        states.filter(lambda pair: pair[1] > 5),
        states.mapValues(lambda state: -state).reduceByKey(add, 1),
    ),
}


def batches(many: int) -> list[list[Any]]:
    first = [
        [(key % 7, key) for key in range(many)],
        [(3, 13), (1, 2)],
        [],
        [(9, 1), (3, 2), (9, 13)],
        [],
        [],
    ]
    return [
        *first,
        [(key % 50, key) for key in range(many)],
        [(1, 1)],
        [(200 + key, 1) for key in range(many)],
    ]


IN_COLUMNS = ["sums in columns", "totals", "a window of states"]


@pytest.mark.parametrize(
    ("name", "many"), [*((name, 20) for name in PROGRAMS), *((name, 3000) for name in IN_COLUMNS)]
)
def test_it_is_the_same_as_in_the_driver(kit: Kit, name: str, many: int) -> None:
    events, far_events = Events(), Events()
    with kit.context(far=False) as sc:
        here = seen(sc, batches(many), PROGRAMS[name], lambda ssc, at: None, events)
        assert not kit.files()
    with kit.context() as sc:
        there = seen(sc, batches(many), PROGRAMS[name], lambda ssc, at: None, far_events)
        assert kit.files()
    assert there == here

    def figures(told: Events) -> list[Any]:
        infos = [event.batchInfo.stateOperatorInfos for event in told.of("BatchCompleted")]
        return [
            [(each.numKeys, each.numTouched, each.numExpired, each.memoryUsedBytes > 0) for each in batch]
            for batch in infos
        ]

    assert figures(far_events) == figures(events)
    assert not kit.files(), "what a context has written is gone with it"


def test_it_is_computed_by_the_workers_with_programs_that_stay_the_same(kit: Kit) -> None:
    def build(pairs: DStream) -> Any:
        mapped = pairs.mapWithState(StateSpec.function(pid_noting(kit.directory)).numPartitions(4))
        return mapped, mapped.stateSnapshots().filter(lambda pair: True), pairs.updateStateByKey(moved, 2)

    with kit.context() as sc:
        seen(sc, [[(key, 1) for key in range(50)]] * 6, build)
    assert not (kit.directory / f"pid-{os.getpid()}").exists()
    assert list(kit.directory.glob("pid-*"))
    counts = {site.split(" ")[0]: len(digests) for site, digests in kit.crew.programs.items()}
    assert counts["mapWithState"] <= 2, "one before there is a state, and one then"
    assert counts["updateStateByKey"] <= 4, "two stages"
    assert counts["filter"] == 1


@pytest.mark.parametrize(
    "name", ["sums in columns", *(pytest.param(name, marks=pytest.mark.long) for name in PROGRAMS)]
)
def test_workers_that_die_between_batches(kit: Kit, name: str) -> None:
    with kit.context(far=False) as sc:
        here = seen(sc, batches(500), PROGRAMS[name])
    killed: list[int] = []

    def kill(ssc: StreamingContext, at: int) -> None:
        if at in (1, 4, 7):
            killed.extend(kit.crew.pids)
            kit.crew.kill()

    with kit.context() as sc:
        assert seen(sc, batches(500), PROGRAMS[name], kill) == here
    assert len(killed) >= 3


def test_a_worker_that_dies_within_a_batch(kit: Kit) -> None:
    flag = kit.directory / "flag"

    def dying(key: Any, value: Any, state: State) -> Any:
        if value == 99 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        state.update([*(state.getOption() or []), value])
        return (key, state.get())

    given = [[("a", 1), ("b", 2)], [("a", 3), ("b", 99)], [("a", 4), ("b", 5)]]
    with kit.context() as sc:
        [found] = seen(
            sc, given, lambda pairs: pairs.mapWithState(StateSpec.function(dying).numPartitions(1))
        )
    assert flag.exists()
    assert found[2] == [("a", [1, 3, 4]), ("b", [2, 99, 5])]


@pytest.mark.parametrize(
    "name", ["counts with a timeout", *(pytest.param(name, marks=pytest.mark.long) for name in PROGRAMS)]
)
def test_attempts_that_do_not_count_leave_nothing(kit: Kit, name: str) -> None:
    with kit.context(far=False) as sc:
        here = seen(sc, batches(300), PROGRAMS[name])
    kit.twice = True
    with kit.context() as sc:
        assert seen(sc, batches(300), PROGRAMS[name]) == here


@pytest.mark.long
@pytest.mark.parametrize("twice", [False, True])
def test_files_do_not_grow_in_number(kit: Kit, twice: bool) -> None:
    kit.twice = twice
    counts: list[int] = []

    def look(ssc: StreamingContext, at: int) -> None:
        gc.collect()
        home = ssc.sparkContext.state_home
        assert home is not None
        if home._remover is not None:
            home._remover.submit(int).result()
        counts.append(len(kit.files()))

    def build(pairs: DStream) -> Any:
        return pairs.updateStateByKey(total, 1), pairs.mapWithState(
            StateSpec.function(counted).numPartitions(2)
        )

    with kit.context() as sc:
        seen(sc, [[(key + at % 3, key) for key in range(6000)] for at in range(40)], build, look)
    assert max(counts[30:]) <= max(counts[10:30]) + 3, counts
    assert max(counts) < 3 * 30


def test_a_batch_that_fails_after_its_state_was_written_begins_again(kit: Kit) -> None:
    flag = kit.directory / "failed"
    clock, results = ManualClock(), []
    with kit.context() as sc:
        ssc = StreamingContext(sc, 1, clock=clock)
        pairs = ssc.queueStream([[("a", 1)], [("a", 2)], [("a", 3)], [("a", 4)]])
        states = pairs.updateStateByKey(lambda values, state: [*(state or []), *values], 2)
        mapped = pairs.mapWithState(StateSpec.function(counted).numPartitions(2))

        def failing(rdd: Any) -> None:
            found = rdd.collect()
            if found[0][1] == [1, 2] and not flag.exists():
                flag.touch()
                raise ZeroDivisionError
            results.append(found)

        mapped.foreachRDD(lambda rdd: results.append(rdd.collect()))
        states.foreachRDD(failing)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            with pytest.raises(ZeroDivisionError):
                stepper.step()
            ssc.driver.error = None
            stepper.step()
            stepper.step()
    assert flag.exists()
    assert results == [
        [("a", 1)], [("a", [1])],
        [("a", 3)],  # the batch that fails afterwards
        [("a", 4)], [("a", [1, 3])],
        [("a", 8)], [("a", [1, 3, 4])],
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["mapWithState", "updateStateByKey"])
def test_limits(kit: Kit, kind: str) -> None:
    clock = ManualClock()
    with kit.context(maxKeys=3) as sc:
        ssc = StreamingContext(sc, 1, clock=clock)
        pairs = ssc.queueStream([[(1, 1), (2, 1)], [(1, 1), (3, 1), (4, 1)], [(1, 5), (3, 1)]])
        if kind == "mapWithState":
            states = pairs.mapWithState(StateSpec.function(counted).numPartitions(2)).stateSnapshots()
        else:
            states = pairs.updateStateByKey(total, 2)
        results: list[Any] = []
        states.foreachRDD(lambda rdd: results.append(sorted(rdd.collect())))
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            with pytest.raises(
                StateError, match=r"has at least 4 keys, and penstock\.state\.maxKeys allows 3"
            ):
                stepper.step()
            ssc.driver.error = None
            stepper.step()
    assert results == [[(1, 1), (2, 1)], [(1, 6), (2, 1), (3, 1)]]


def test_looking_at_it_from_outside(kit: Kit) -> None:
    looked: list[Any] = []

    def look(ssc: StreamingContext, at: int) -> None:
        for name in ("totals", "counts"):
            view = ssc.state(name)
            looked.append((view.get(1), view.get("?", 0), view.count(), 2 in view, sorted(view.items())[:2]))
            with pytest.raises(KeyTypeError):
                view.get([])

    def build(pairs: DStream) -> Any:
        made = pairs.mapWithState(StateSpec.function(counted).numPartitions(3)).name("counts")
        return pairs.updateStateByKey(total, 2).name("totals"), made

    given = [[(1, 1), (2, 2)], [(1, 5), (4, 4)]]
    with kit.context() as sc:
        seen(sc, given, build, look)
    first = (1, 0, 2, True, [(1, 1), (2, 2)])
    second = (6, 0, 3, True, [(1, 6), (2, 2)])
    assert looked == [first, first, second, second]


def test_what_is_remembered_can_be_read_again(kit: Kit) -> None:
    again: list[Any] = []

    def build(pairs: DStream) -> Any:
        pairs.context().remember(10)
        return both_ways(pairs)

    kept: list[Any] = []

    def both_ways(pairs: DStream) -> Any:
        states = pairs.updateStateByKey(total, 2)
        made = pairs.mapWithState(StateSpec.function(counted).numPartitions(2)).stateSnapshots()
        kept.extend([states, made])
        return states, made

    def look(ssc: StreamingContext, at: int) -> None:
        if at == 3:
            for stream in kept:
                again.append([sorted(rdd.collect()) for rdd in stream.slice(1, 4)])

    with kit.context() as sc:
        found = seen(sc, [[(1, 1)], [(2, 2)], [(1, 4)], [(3, 1)]], build, look)
    assert again == [[sorted(batch) for batch in each] for each in found]


def _note_home(kit: Kit, homes: list[bool], ssc: StreamingContext, at: int) -> None:
    homes.append(bool(kit.files()))


def test_it_moves_to_the_workers_when_it_is_large(kit: Kit) -> None:
    given = [[(key + 100 * at, 1) for key in range(100)] for at in range(8)]
    names = ["counts with a timeout", "totals", "all keys at once"]
    for name in names:
        with kit.context(far=False) as sc:
            here = seen(sc, given, PROGRAMS[name])
        homes: list[bool] = []
        look = partial(_note_home, kit, homes)
        with kit.context(home="auto", driverBytes="20k") as sc:
            there = seen(sc, given, PROGRAMS[name], look)
        assert there == here
        assert homes == sorted(homes)
        assert not homes[0]
        assert homes[-1], name


def test_driver_means_the_driver(kit: Kit) -> None:
    with kit.context(home="driver") as sc:
        seen(sc, [[(1, 1)], [(1, 2)]], PROGRAMS["totals"], lambda ssc, at: None)
        assert not kit.files()


@pytest.mark.parametrize(
    "name",
    [
        "counts with a timeout",
        "all keys at once",
        pytest.param("sums in columns", marks=pytest.mark.long),
        pytest.param("lists by key", marks=pytest.mark.long),
    ],
)
def test_stopped_here_resumed_on_workers_and_back(kit: Kit, name: str) -> None:
    """With another number of partitions each time."""
    given = batches(200)
    build = {
        "counts with a timeout": lambda pairs, parts: snapshots(
            pairs, StateSpec.function(counted).timeout(4), parts
        ),
        "sums in columns": lambda pairs, parts: snapshots(pairs, StateSpec.function(summed), parts),
        "lists by key": lambda pairs, parts: pairs.updateStateByKey(appended, parts),
        "all keys at once": lambda pairs, parts: pairs.updateStateByKey(some, parts),
    }[name]
    results: dict[int, Any] = {}
    wanted: dict[int, Any] = {}

    def snapshots(pairs: DStream, spec: StateSpec, parts: int) -> DStream:
        return pairs.mapWithState(spec.numPartitions(parts)).stateSnapshots()

    def run(sc: Context, directory: Path, begin: int, end: int, parts: int, found: dict[int, Any]) -> None:
        clock = ManualClock(begin * 1000)

        def made() -> StreamingContext:
            ssc = StreamingContext(sc, 1, clock=clock)
            files = ssc.textFileStream(str(kit.directory / "in"))
            pairs = files.map(lambda line: tuple(map(int, line.split())))
            build(pairs, parts).foreachRDD(
                lambda time, rdd: found.update({at_of(time): sorted(rdd.collect())})
            )
            ssc.checkpoint(str(directory))
            return ssc

        ssc = StreamingContext.getOrCreate(str(directory), made, clock=clock, upgrade=True)
        with Stepper(ssc, clock) as stepper:
            for at in range(begin, end):
                write(at)
                stepper.step()

    def at_of(time: Any) -> int:
        return int(time.timestamp())

    def write(at: int) -> None:
        (kit.directory / "in").mkdir(exist_ok=True)
        path = kit.directory / "in" / f"{at}.txt"
        path.write_text("".join(f"{key} {value}\n" for key, value in given[at]))
        os.utime(path, (at + 0.5, at + 0.5))

    with kit.context(far=False) as sc:
        run(sc, kit.directory / "one", 0, 9, 3, wanted)
    for path in (kit.directory / "in").iterdir():
        path.unlink()
    with kit.context(far=False) as sc:
        run(sc, kit.directory / "two", 0, 3, 2, results)
    with kit.context() as sc:
        run(sc, kit.directory / "two", 3, 6, 3, results)
    with kit.context() as sc:
        run(sc, kit.directory / "two", 6, 7, 1, results)
    with kit.context(far=False) as sc:
        run(sc, kit.directory / "two", 7, 9, 4, results)
    assert len(wanted) == 9
    assert results == wanted


def test_what_is_explained_of_a_batch(kit: Kit) -> None:
    plans: list[str] = []

    def look(ssc: StreamingContext, at: int) -> None:
        for plan in (ssc._generation.take_plans() or {}).values():  # type: ignore[union-attr]
            plans.append(explained(plan))

    with kit.context() as sc:
        seen(sc, [[(1, 1)]] * 4, PROGRAMS["totals"], look)
        seen(sc, [[(1, 1)]] * 4, PROGRAMS["counts with a timeout"], look)
    assert any("updateStateByKey" in plan for plan in plans)
    assert any("stateSnapshots" in plan for plan in plans)


def test_a_directory_that_is_not_shared(kit: Kit) -> None:
    """The workers do not find it."""

    def remove(ssc: StreamingContext, at: int) -> None:
        shutil.rmtree(kit.directory / "rdds")

    with kit.context() as sc, pytest.raises(StateError, match="that the driver and all workers share"):
        seen(sc, [[(1, 1)], [(1, 1)]], PROGRAMS["totals"], remove)


def test_a_file_that_somebody_else_has_changed_is_not_read(kit: Kit) -> None:
    def change(ssc: StreamingContext, at: int) -> None:
        kit.crew.kill()
        for path in kit.files():
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(bytes(data))

    with (
        kit.context() as sc,
        pytest.raises(StateError, match="does not hold the state that was written there"),
    ):
        seen(sc, [[(1, 1)], [(1, 2)]], PROGRAMS["lists by key"], change)


def test_a_file_that_is_gone(kit: Kit) -> None:
    def remove(ssc: StreamingContext, at: int) -> None:
        kit.crew.kill()
        for path in kit.files():
            path.unlink()

    with kit.context() as sc, pytest.raises(StateError, match="which holds state, is gone"):
        seen(sc, [[(1, 1)], [(1, 2)]], PROGRAMS["lists by key"], remove)


def test_an_error_of_the_function_comes_back_with_its_key_and_line(kit: Kit) -> None:
    def broken(key: Any, value: Any, state: State) -> Any:
        return 1 // (value - 7)

    def build(pairs: DStream) -> Any:
        return pairs.mapWithState(StateSpec.function(broken).numPartitions(2))

    with kit.context() as sc, pytest.raises(ZeroDivisionError) as caught:
        seen(sc, [[("x", 7)]], build)
    text = "".join(caught.value.__notes__) + str(caught.value)
    assert "mapWithState" in text
    assert "'x'" in text

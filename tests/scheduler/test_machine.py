"""The pure batch machine: random events in every legal order, and the story that it tells."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.scheduler.machine import (
    BatchMachine,
    Commit,
    Committed,
    Event,
    Finish,
    Generate,
    Generated,
    Halt,
    Instruction,
    OutputDone,
    Plan,
    Planned,
    RunOutput,
    StopAsked,
    Tick,
)
from penstock.times import BatchTime

failures = st.sampled_from([None, None, None, "it broke"])


class Life(RuleBasedStateMachine):
    """A driver that performs instructions in any order in which two threads could.

    ``todo`` is what the batch thread has to do, in its order; ``planning`` what the intake has in hand.
    What becomes of every batch is written down beside it, in the plainest way.
    """

    @initialize(stop_on_failure=st.booleans())
    def begin(self, stop_on_failure: bool) -> None:
        self.machine = BatchMachine(stop_on_failure=stop_on_failure)
        self.stop_on_failure = stop_on_failure
        self.now = 0
        self.planning: list[BatchTime] = []
        self.todo: list[Instruction] = []
        self.accepted: list[BatchTime] = []
        self.generated: list[BatchTime] = []
        self.outputs: dict[BatchTime, int] = {}
        self.ran: dict[BatchTime, list[int]] = {}
        self.failed: set[BatchTime] = set()
        self.committed: list[BatchTime] = []
        self.finished: list[BatchTime] = []
        self.stop: str | None = None
        self.stopped_at: list[BatchTime] = []
        self.halts = 0

    def tell(self, event: Event) -> None:
        for instruction in self.machine.handle(event):
            if isinstance(instruction, Plan):
                self.planning.append(instruction.time)
                self.accepted.append(instruction.time)
            else:
                self.todo.append(instruction)
            if isinstance(instruction, Finish) and instruction.failures and self.stop_on_failure:
                self.stop = "hurried"
        self.machine.validate()

    @rule(step=st.integers(1, 5))
    def tick(self, step: int) -> None:
        self.now += step
        before = len(self.planning)
        self.tell(Tick(BatchTime(self.now)))
        assert len(self.planning) == before + (self.stop is None)

    @precondition(lambda self: self.planning)
    @rule(failed=failures)
    def plan(self, failed: str | None) -> None:
        time = self.planning.pop(0)
        if failed:
            self.failed.add(time)
        self.tell(Planned(time, failed))

    @precondition(lambda self: self.todo)
    @rule(failed=failures, outputs=st.integers(0, 3))
    def perform(self, failed: str | None, outputs: int) -> None:
        instruction = self.todo.pop(0)
        time = getattr(instruction, "time", BatchTime(0))
        if failed and not isinstance(instruction, (Finish, Halt)):
            self.failed.add(time)
        match instruction:
            case Generate():
                assert not self.generated or time > self.generated[-1]
                assert not self.stop_on_failure or not self.failed.intersection(self.finished)
                assert self.accepted.index(time) == len(self.finished)  # all before it are over
                self.generated.append(time)
                self.outputs[time] = 0 if failed else outputs
                self.ran[time] = []
                self.tell(Generated(time, outputs, failed))
            case RunOutput():
                assert instruction.index == len(self.ran[time])
                self.ran[time].append(instruction.index)
                self.tell(OutputDone(time, instruction.index, failed))
            case Commit():
                assert time not in self.failed - ({time} if failed else set())
                assert self.ran[time] == [*range(self.outputs[time])]
                if not failed:
                    self.committed.append(time)
                self.tell(Committed(time, failed))
            case Finish():
                whole = len(self.ran.get(time, [])) == self.outputs.get(time, -1)
                assert bool(instruction.failures) == (time in self.failed or not whole)
                assert whole or time in self.failed or self.stop == "hurried"
                assert (time in self.committed) == (not instruction.failures)
                self.finished.append(time)
            case Halt():
                self.halts += 1
                assert self.stop is not None
                assert not self.todo

    @rule(graceful=st.booleans())
    def stop_asked(self, graceful: bool) -> None:
        if self.stop != "hurried":
            self.stop = "graceful" if graceful else "hurried"
        self.tell(StopAsked(graceful))

    @invariant()
    def what_must_hold(self) -> None:
        if not hasattr(self, "machine"):
            return
        assert self.finished == sorted(self.finished)
        assert self.halts <= 1
        assert len(self.todo) <= 1 or all(isinstance(each, (Finish, Generate, Halt)) for each in self.todo)
        if self.halts:
            assert self.machine.halted
            assert self.machine.idle

    def teardown(self) -> None:
        """Whatever happened: left alone, all that was accepted comes to its end, in order."""
        if not hasattr(self, "machine"):
            return
        while self.planning or self.todo:
            if self.planning:
                self.plan(None)  # type: ignore[arg-type]
            if self.todo:
                self.perform(None, 2)  # type: ignore[arg-type]
        if self.stop == "hurried":
            assert self.finished == self.accepted[: len(self.finished)]
        else:
            assert self.finished == self.accepted
        assert self.machine.idle
        assert self.halts == (self.stop is not None)


TestLife = Life.TestCase
TestLife.settings = settings(stateful_step_count=60)


def told(machine: BatchMachine, *events: Event) -> list[Instruction]:
    """The answers to the last event."""
    answers: list[Instruction] = []
    for event in events:
        answers = machine.handle(event)
        machine.validate()
    return answers


def at(time: int) -> BatchTime:
    return BatchTime(time)


def test_a_batch_from_tick_to_finish() -> None:
    machine = BatchMachine()
    assert told(machine, Tick(at(1))) == [Plan(at(1))]
    assert told(machine, Planned(at(1))) == [Generate(at(1))]
    assert told(machine, Generated(at(1), 2)) == [RunOutput(at(1), 0)]
    assert told(machine, OutputDone(at(1), 0)) == [RunOutput(at(1), 1)]
    assert told(machine, OutputDone(at(1), 1)) == [Commit(at(1))]
    assert told(machine, Committed(at(1))) == [Finish(at(1), ())]
    assert machine.idle


def test_late_batches_wait_in_line_and_none_is_skipped() -> None:
    machine = BatchMachine()
    for time in (1, 2, 3):
        told(machine, Tick(at(time)), Planned(at(time)))
    assert machine.waiting == 2
    assert told(machine, Generated(at(1), 0)) == [Commit(at(1))]
    assert told(machine, Committed(at(1))) == [Finish(at(1), ()), Generate(at(2))]


def test_a_batch_is_followed_by_one_that_is_planned_and_will_run() -> None:
    machine = BatchMachine()
    one, two, three = BatchTime(1), BatchTime(2), BatchTime(3)
    machine.handle(Tick(one))
    machine.handle(Planned(one))
    assert not machine.is_followed
    machine.handle(Tick(two))
    assert not machine.is_followed  # its input may fail
    machine.handle(Planned(two))
    assert machine.is_followed
    for event in (Generated(one, 0), Committed(one)):
        machine.handle(event)
    assert not machine.is_followed
    machine.handle(Tick(three))
    machine.handle(Planned(three, "it broke"))
    assert not machine.is_followed


def test_a_batch_whose_input_failed_is_over_when_its_turn_comes() -> None:
    machine = BatchMachine()
    told(
        machine,
        Tick(at(1)),
        Planned(at(1)),
        Tick(at(2)),
        Planned(at(2), "no input"),
        Tick(at(3)),
        Planned(at(3)),
    )
    told(machine, Generated(at(1), 0))
    assert told(machine, Committed(at(1))) == [
        Finish(at(1), ()),
        Finish(at(2), ("no input",)),
        Generate(at(3)),
    ]


def test_batches_planned_out_of_order_still_run_in_order() -> None:
    machine = BatchMachine()
    told(machine, Tick(at(1)), Tick(at(2)))
    assert told(machine, Planned(at(2))) == []
    assert told(machine, Planned(at(1))) == [Generate(at(1))]


def test_a_batch_that_failed_is_not_committed() -> None:
    machine = BatchMachine()
    told(machine, Tick(at(1)), Planned(at(1)), Generated(at(1), 2), OutputDone(at(1), 0, "disk full"))
    assert told(machine, OutputDone(at(1), 1)) == [Finish(at(1), ("disk full",))]


def test_a_commit_that_failed_is_a_failure_of_the_batch() -> None:
    machine = BatchMachine()
    told(machine, Tick(at(1)), Planned(at(1)), Generated(at(1), 0))
    assert told(machine, Committed(at(1), "no room")) == [Finish(at(1), ("no room",))]


def test_a_graceful_stop_completes_what_is_planned() -> None:
    machine = BatchMachine()
    told(machine, Tick(at(1)), Planned(at(1)), Tick(at(2)))
    assert told(machine, StopAsked(graceful=True)) == []
    assert told(machine, Tick(at(3))) == []
    told(machine, Planned(at(2)), Generated(at(1), 0))
    assert told(machine, Committed(at(1))) == [Finish(at(1), ()), Generate(at(2))]
    told(machine, Generated(at(2), 0))
    assert told(machine, Committed(at(2))) == [Finish(at(2), ()), Halt()]


def test_a_hurried_stop_drops_what_waits_and_ends_the_batch_after_its_output() -> None:
    machine = BatchMachine()
    told(machine, Tick(at(1)), Planned(at(1)), Generated(at(1), 3), Tick(at(2)), Planned(at(2)), Tick(at(3)))
    assert told(machine, StopAsked(graceful=False)) == []
    assert machine.waiting == 0
    assert told(machine, Planned(at(3))) == []
    assert told(machine, OutputDone(at(1), 0)) == [
        Finish(at(1), ("stopped before 2 of 3 outputs ran",)),
        Halt(),
    ]


def test_a_hurried_stop_lets_a_batch_commit_whose_outputs_are_all_done() -> None:
    machine = BatchMachine()
    told(machine, Tick(at(1)), Planned(at(1)), Generated(at(1), 1), StopAsked(graceful=False))
    assert told(machine, OutputDone(at(1), 0)) == [Commit(at(1))]


def test_a_stop_in_a_hurry_overrules_a_graceful_one_and_not_the_other_way_round() -> None:
    machine = BatchMachine()
    told(machine, Tick(at(1)), Planned(at(1)), Tick(at(2)), Planned(at(2)))
    told(machine, StopAsked(graceful=True), StopAsked(graceful=False), StopAsked(graceful=True))
    assert told(machine, Generated(at(1), 1))[-1] == Halt()


class TestStopOnFailure:
    @pytest.mark.parametrize("line", [0, 1, 3])
    def test_of_an_output_the_others_of_its_batch_run_and_no_batch_after_it(self, line: int) -> None:
        machine = BatchMachine(stop_on_failure=True)
        told(machine, Tick(at(1)), Planned(at(1)), Generated(at(1), 2))
        for time in range(2, 2 + line):
            told(machine, Tick(at(time)), Planned(at(time)))
        assert told(machine, OutputDone(at(1), 0, "disk full")) == [RunOutput(at(1), 1)]
        assert told(machine, OutputDone(at(1), 1)) == [Finish(at(1), ("disk full",)), Halt()]
        assert told(machine, Tick(at(9))) == []

    def test_of_an_input_the_batches_before_it_are_whole(self) -> None:
        machine = BatchMachine(stop_on_failure=True)
        told(machine, Tick(at(1)), Planned(at(1)), Tick(at(2)), Planned(at(2), "no input"), Tick(at(3)))
        told(machine, Generated(at(1), 0))
        assert told(machine, Committed(at(1))) == [Finish(at(1), ()), Finish(at(2), ("no input",)), Halt()]
        assert told(machine, Planned(at(3))) == []
        assert machine.story(3).splitlines()[-2:] == [
            "StopAsked(graceful=False) -> dropped",
            "Planned(time=3, failed=None) -> nothing",
        ]

    @pytest.mark.parametrize("failed", [Generated(at(1), 0, "no"), Committed(at(1), "no")])
    def test_of_the_jobs_and_the_commit(self, failed: Event) -> None:
        machine = BatchMachine(stop_on_failure=True)
        told(machine, Tick(at(1)), Planned(at(1)), Tick(at(2)), Planned(at(2)))
        if isinstance(failed, Committed):
            told(machine, Generated(at(1), 0))
        assert told(machine, failed) == [Finish(at(1), ("no",)), Halt()]

    def test_overrules_a_graceful_stop(self) -> None:
        machine = BatchMachine(stop_on_failure=True)
        told(machine, Tick(at(1)), Planned(at(1)), Tick(at(2)), Planned(at(2)), StopAsked(graceful=True))
        assert told(machine, Generated(at(1), 0, "no")) == [Finish(at(1), ("no",)), Halt()]


def test_an_idle_machine_halts_at_once_and_once() -> None:
    machine = BatchMachine()
    assert told(machine, StopAsked(graceful=True)) == [Halt()]
    assert told(machine, StopAsked(graceful=False)) == []
    assert told(machine, Tick(at(1))) == []


@pytest.mark.parametrize(
    "event",
    [
        Planned(at(9)),
        Generated(at(1), 1),
        OutputDone(at(1), 0),
        Committed(at(1)),
        Tick(at(1)),
        Tick(at(0)),
    ],
)
def test_reports_that_cannot_be_are_our_mistake_and_loud(event: Event) -> None:
    machine = BatchMachine()
    told(machine, Tick(at(1)))
    with pytest.raises(AssertionError):
        machine.handle(event)


class TestStory:
    def test_of_a_batch(self) -> None:
        machine = BatchMachine()
        told(
            machine,
            Tick(at(1)),
            Planned(at(1)),
            Tick(at(2)),
            Planned(at(2)),
            Generated(at(1), 0),
            Committed(at(1)),
        )
        assert machine.story(1).splitlines() == [
            "Tick(time=1) -> Plan(time=1)",
            "Planned(time=1, failed=None) -> Generate(time=1)",
            "Generated(time=1, outputs=0, failed=None) -> Commit(time=1)",
            "Committed(time=1, failed=None) -> Finish(time=1, failures=()), Generate(time=2)",
        ]
        assert machine.story(2).splitlines() == [
            "Tick(time=2) -> Plan(time=2)",
            "Planned(time=2, failed=None) -> nothing",
            "Committed(time=1, failed=None) -> Finish(time=1, failures=()), Generate(time=2)",
        ]

    def test_of_a_batch_that_was_dropped(self) -> None:
        machine = BatchMachine()
        told(machine, Tick(at(1)), StopAsked(graceful=False))
        assert machine.story(1).splitlines()[-1] == "StopAsked(graceful=False) -> dropped"

    def test_the_newest_are_kept(self) -> None:
        machine = BatchMachine()
        for time in range(1, 1001):
            told(machine, Tick(at(time)), Planned(at(time)), Generated(at(time), 0), Committed(at(time)))
        assert machine.story(1) == ""
        assert machine.story(901) != ""
        assert len(machine._stories) <= 101

    def test_of_a_long_line_are_given_up_with_it(self) -> None:
        machine = BatchMachine()
        for time in range(1, 5001):
            machine.handle(Tick(at(time)))
        machine.handle(StopAsked(graceful=False))
        assert "dropped" in machine.story(5000)
        machine = BatchMachine()
        for time in range(1, 5001):
            machine.handle(Tick(at(time)))
            machine.handle(Planned(at(time)))
        for time in range(1, 5001):
            machine.handle(Generated(at(time), 0))
            machine.handle(Committed(at(time)))
        told(machine, Tick(at(6000)))
        assert len(machine._stories) <= 101

    def test_of_nothing(self) -> None:
        assert BatchMachine().story(5) == ""

    def test_is_as_it_was_when_it_was_told_and_shared_by_batches_of_one_course(self) -> None:
        machine = BatchMachine()
        stories = []
        for time in range(1, 301):
            told(machine, Tick(at(time)), Planned(at(time)), Generated(at(time), 1))
            early = machine.told(time)
            told(machine, OutputDone(at(time), 0, "it broke" if time == 150 else None))
            if time != 150:
                told(machine, Committed(at(time)))
            stories.append((early, machine.told(time), machine.story(time)))
        assert len(machine._courses) == 3  # the early one, the usual one, and that of the one that failed
        assert all(later() == story for _, later, story in stories)
        assert stories[4][0]() == (
            "Tick(time=5) -> Plan(time=5)\n"
            "Planned(time=5, failed=None) -> Generate(time=5)\n"
            "Generated(time=5, outputs=1, failed=None) -> RunOutput(time=5, index=0)"
        )
        assert "failed='it broke'" in stories[149][1]()

    def test_courses_are_bounded(self) -> None:
        machine = BatchMachine()
        for time in range(1, 1001):
            told(machine, Tick(at(time)), Planned(at(time), f"broken {time}"))
            assert f"broken {time}" in machine.told(time)()
        assert len(machine._courses) <= BatchMachine._COURSES


def test_an_event_costs_the_same_however_long_the_line_is() -> None:
    """Counted, not timed: a machine that looks through its line would touch each batch that waits."""
    touched = 0

    class Watched(BatchMachine):
        def validate(self) -> None:
            raise AssertionError("a look at the whole line is for tests")

    machine = Watched()
    for time in range(1, 20_001):
        machine.handle(Tick(at(time)))
        machine.handle(Planned(at(time)))
    for time in range(1, 20_001):
        machine.handle(Generated(at(time), 0))
        touched += len(machine.handle(Committed(at(time))))
    assert touched == 2 * 20_000 - 1

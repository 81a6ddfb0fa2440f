"""What every stream source must keep, whatever it reads: each record in exactly one batch, also when the
program dies at any moment and another run goes on.

A :class:`World` is what lies outside of the program: a folder, a server, a topic. It outlives sources.
"""

from __future__ import annotations

import itertools
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from penstock import Context
from penstock.checkpoint import Checkpoint, Plain, intent_in
from penstock.checkpoint.checkpoint import intent_out
from penstock.errors import CallSite
from penstock.plan import Task
from penstock.sources import Intent, LogPlace, StreamSource
from penstock.times import BatchTime

__all__ = ["Run", "World", "live_through"]

SITE = CallSite("test", "", 0)
_runs = itertools.count(1)


class World(ABC):
    """Where records come from. All are text, different ones, without line ends."""

    goes_on_with_what_came_meanwhile = True
    """Whether what comes while no source is there is given to the next one."""

    in_order = True
    """Whether records are given out as they came, and not only each once."""

    @abstractmethod
    def source(self) -> StreamSource:
        """A new source on this world, as a run of the program makes it."""

    def log_place(self, owner: str) -> LogPlace | None:
        """Where a source of a run of that name may keep what it has received, if it does."""
        return None

    @abstractmethod
    def bring(self, records: list[str]) -> None:
        """Let records come, in this order. All of them are there for the next ``plan`` of an open source."""

    def is_open(self, source: StreamSource) -> None:
        """A source has been opened: wait until what came before is there for its next ``plan``."""

    def died(self, source: StreamSource) -> None:
        """The program that ran the source was killed. By default nothing of it is left to give back."""
        source.close()


class Run:
    """One run of a program: a source from ``restore`` on, and what would be in its checkpoint."""

    def __init__(self, world: World, before: Run | None = None) -> None:
        self.world = world
        self.source = world.source()
        self.position: Any = None
        self.since: list[dict[str, Any]] = []  # the intents planned since that position, as JSON
        self.time = 0
        self.open: dict[int, dict[str, Any]] = {}  # the intents of batches that may be read again
        place = world.log_place(f"run{next(_runs)}")
        if place is not None:
            self.source.log_to(place)
        if before is not None:
            self.time = before.time
            self.open = dict(before.open)
            self.position, self.since = before.position, list(before.since)
            self.source.restore(
                Plain.read(self.position, _no_pickles), [_intent_in(stored) for stored in self.since]
            )
            for time, stored in self.open.items():
                assert self.source.again(BatchTime(time), _intent_in(stored)) == _intent_in(stored)
        self.source.tell_to(lambda event: None)
        self.source.open()
        self.remember()
        self.source.start_intake()
        world.is_open(self.source)

    def remember(self) -> None:
        """Record where the source is."""
        self.position = json.loads(json.dumps(Plain.write(self.source.position())))
        self.since = []

    def plan(self) -> Intent:
        """The next batch, recorded."""
        self.time += 1000
        intent = self.source.plan(BatchTime(self.time))
        stored = json.loads(json.dumps(intent_out(intent)))
        self.since.append(stored)
        self.open[self.time] = stored
        assert _intent_in(stored) == intent, "an intent must be plain data"
        return intent

    def done(self) -> None:
        """All batches but the newest are over for good."""
        for time in sorted(self.open)[:-1]:
            self.source.done(BatchTime(time))
            del self.open[time]


def records_of(sc: Context, source: StreamSource, intent: Intent) -> list[str]:
    """What a batch reads."""

    def rows(task: Task, chunks: Iterator[Any]) -> list[Any]:
        return [row for chunk in chunks for row in chunk.rows()]

    return [row for part in sc.run(source.node(intent, SITE), rows) for row in part]


def live_through(sc: Context, world: World, seed: int, *, steps: int = 40) -> None:
    """Bring, plan, remember, die and go on in a random order; at the end each record was in one batch, in
    the order in which they came, and a batch that is read again has the same records."""
    dice = random.Random(seed)
    brought: list[str] = []
    batches: list[tuple[Intent, list[str]]] = []
    run = Run(world)
    for _ in range(steps):
        what = dice.choices(["bring", "plan", "remember", "die", "read again"], [5, 6, 2, 2, 1])[0]
        if what == "bring":
            new = [f"record {len(brought) + n}" for n in range(dice.choice([0, 1, 2, 7]))]
            brought += new
            world.bring(new)
        elif what == "plan":
            intent = run.plan()
            batches.append((intent, records_of(sc, run.source, intent)))
            if intent.records is not None:
                assert intent.records == len(batches[-1][1])
            if dice.random() < 0.5:
                run.source.processed(BatchTime(run.time), len(batches[-1][1]))
        elif what == "remember":
            run.remember()
            run.done()
        elif what == "read again" and batches:
            intent, found = batches[-1]
            assert records_of(sc, run.source, intent) == found
        elif what == "die":
            world.died(run.source)
            if world.goes_on_with_what_came_meanwhile and dice.random() < 0.5:
                new = [f"record {len(brought) + n}" for n in range(3)]
                brought += new
                world.bring(new)
            run = Run(world, run)
    empty = 0
    while empty < 20:  # what waits behind limits comes, too, and that may be files without records
        intent = run.plan()
        batches.append((intent, records_of(sc, run.source, intent)))
        empty = 0 if batches[-1][1] else empty + 1
        run.source.processed(BatchTime(run.time), len(batches[-1][1]))
    world.died(run.source)
    found = [record for _, batch in batches for record in batch]
    assert (found if world.in_order else sorted(found)) == (brought if world.in_order else sorted(brought))


def _no_pickles() -> None:
    raise AssertionError("a source's position and intents must be plain data")


def _intent_in(stored: dict[str, Any]) -> Intent:
    return intent_in(stored, cast(Checkpoint, SimpleNamespace(trust=_no_pickles)))

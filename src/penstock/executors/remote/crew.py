"""The contract of those who compute stages in other processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from penstock.chunk import Chunk
from penstock.encoding import cloudpickled
from penstock.errors import CallSite
from penstock.executors.jobs import Cut, Inputs, NarrowLink, put_together
from penstock.executors.remote.tasks import Outcome, Pickle, pickled_inputs
from penstock.plan import Calling, Narrow, Node, Source, Task, forms_of
from penstock.rdd import Broadcast
from penstock.vectorize import Untraced

__all__ = ["Crew", "Ready", "Shipment", "runs_python"]


class Ready:
    """A stage that might be sent: what is computed, what is done with it, and for which partitions."""

    __slots__ = ("_takes_less", "action", "cut", "node", "partitions")

    def __init__(
        self,
        cut: Cut,
        action: Callable[[Task, Iterator[Chunk]], Any],
        partitions: Sequence[int],
        takes_less: Callable[[int], bool],
        node: Node,
    ) -> None:
        self.node = node
        self.cut = cut
        self.action = action
        self.partitions = partitions
        self._takes_less = takes_less

    @property
    def belongs_elsewhere(self) -> bool:
        """Whether a step of it is made for the processes of a crew, such as one on state that is theirs."""
        whats = (getattr(link, "step", getattr(link, "combine", None)) for link in self.cut.links)
        return any(getattr(what, "belongs_elsewhere", False) for what in whats)

    def takes_less_than(self, milliseconds: int) -> bool:
        """Whether it would take less time here, as far as it is known."""
        return self._takes_less(milliseconds * 1_000_000)


class Shipment:
    """A stage on its way: ``program`` as bytes, and for each of ``partitions`` what it reads, made when it is
    asked for.

    ``may_be_left``: of the result, lists of chunks may be replaced by a ``Left`` each, which stands for what
    stays where it was computed. ``lines`` are those of the program that the stage begins and ends with.
    """

    def __init__(
        self,
        cut: Cut,
        program: bytes,
        partitions: Sequence[int],
        broadcasts: Sequence[Broadcast],
        pickle: Pickle,
        decision: Any = None,
        *,
        may_be_left: bool = False,
    ) -> None:
        self._cut = cut
        self._pickle = pickle
        self._decisions = cut.decisions
        self.nodes: Sequence[Node] = cut.nodes
        if decision is not None:  # that of the action, which stands behind the links
            self._decisions[len(cut.links)] = decision
        self.program = program
        self.partitions = partitions
        self.broadcasts = broadcasts
        self.may_be_left = may_be_left
        self.site: CallSite = cut.links[-1].site
        self.lines: tuple[CallSite, CallSite] = (cut.links[0].site, self.site)

    def inputs(self, partition: int) -> bytes:
        """What a partition reads."""
        return self.pickled(self.readers(partition))

    def readers(self, partition: int) -> Inputs:
        """The same, not pickled yet."""
        return self._cut.inputs(partition)

    def pickled(self, readers: Inputs) -> bytes:
        """What :meth:`readers` gave, with what goes along."""
        return pickled_inputs(readers, self._decisions, self.site, self._pickle)


class Crew(ABC):
    """Computes stages elsewhere. Called on any thread, for several stages at a time."""

    place = "other processes"
    """Where its workers are, in words."""

    def pickle(self, what: object) -> bytes:
        """An object as bytes for its workers."""
        return cloudpickled(what)

    @abstractmethod
    def wants(self, ready: Ready) -> bool:
        """Whether a stage is to be sent; if not it is computed here."""

    def run_all(self, shipments: Sequence[Shipment]) -> list[list[Outcome]]:
        """Several stages that do not read each other, side by side if that is cheaper."""
        return [self.run(shipment) for shipment in shipments]

    @abstractmethod
    def run(self, shipment: Shipment) -> list[Outcome]:
        """Compute all partitions; what came of them, in their order. After a partition that failed there
        need be no others. A worker that dies is replaced, and what it did is done again; ``WorkerLost`` if
        that happens again and again."""

    @abstractmethod
    def close(self) -> None:
        """End the workers."""


def runs_python(ready: Ready) -> bool:
    """Whether functions of the user's are called on records one by one."""
    if isinstance(ready.action, Calling):
        return True
    cut = ready.cut
    if not any(isinstance(link, NarrowLink) for link in cut.links):
        return False
    nodes = put_together(cut.links, cut.inputs(ready.partitions[0]))
    forms = forms_of(nodes[-1])
    read: set[Node] = set()  # what this partition reads: of other sources nothing is known here
    for node in nodes:
        if node.readers if isinstance(node, Source) else any(parent in read for parent in node.parents):
            read.add(node)
    return any(isinstance(forms.get(node), Untraced) for node in read if isinstance(node, Narrow))

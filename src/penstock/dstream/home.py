"""State that lives on the workers, in files that they and the driver share; the driver holds what says where.

::

    driver                                                  a worker
    Stored of t-1 (which files) --+
    records of t, by key ---------+--- a task a partition --->  version t-1: in memory, or read
                                                                version t: kept, and written
    Stored of t, what is returned <---------------------------

A :class:`Stored` lies where without this the version itself would: so a batch that fails, what is committed,
and what is remembered are no different. Files are removed when no ``Stored`` speaks of them any more.
"""

from __future__ import annotations

import logging
import threading
import weakref
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any, Protocol
from uuid import uuid4

from penstock.chunk import Chunk, Rows
from penstock.dstream.node import StreamNode, Table
from penstock.dstream.statistics import ExpiryReport, StateMeter
from penstock.errors import CallSite
from penstock.plan import Form as PlanForm
from penstock.plan import Gather, Narrow, Node, SliceReader, Source, Step, Task
from penstock.rdd import RDD
from penstock.state import Form, Steps, TableChange, TableFiles, time_of
from penstock.storage import join, storage_for

__all__ = [
    "Operator",
    "Shown",
    "StateHome",
    "Stored",
    "StoredTable",
    "TableChunk",
    "Taken",
    "moment_of",
    "operator_of",
    "stored_change",
    "stored_in",
]

_log = logging.getLogger(__name__)

_ABSENT: Any = object()


class Run(Protocol):
    """Runs a plan's action; see ``Context.run``."""

    def __call__(self, plan: Node, action: Callable[[Task, Iterator[Chunk]], Any]) -> list[Any]: ...


class TableChunk(Chunk):
    """A table of states, or what stands for one, where records would lie. Nobody changes it."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1

    def rows(self) -> list[Any]:
        raise AssertionError("a table of states is no list of records")

    def slice(self, start: int, stop: int) -> Chunk:
        raise AssertionError("a table of states has no parts")

    def isolated(self) -> Chunk:
        return self

    def lent(self) -> Chunk:
        return self


class Stored(TableChunk):
    """Stands for a version of a partition's table: the files that it can be read from, and what is asked for
    most. ``operator`` is known in the driver only."""

    __slots__ = (
        "__weakref__",
        "expired",
        "held_bytes",
        "keys",
        "oldest",
        "operator",
        "partition",
        "steps",
        "touched",
    )

    beside = True

    def __init__(
        self,
        partition: int,
        steps: Steps,
        keys: int,
        held_bytes: int,
        touched: int | None,
        expired: int,
        oldest: int | None,
    ) -> None:
        self.partition = partition
        self.steps = steps
        self.keys = keys
        self.held_bytes = held_bytes
        self.touched = touched  # keys with news in its batch, ``None`` where somebody else has said that
        self.expired = expired
        self.oldest = oldest  # the time of the longest-ago last news of a key
        self.operator: Operator | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        figures = (self.keys, self.held_bytes, self.touched, self.expired, self.oldest)
        return Stored, (self.partition, self.steps, *figures)

    @property
    def stored(self) -> Stored:
        """See :func:`stored_in`."""
        return self

    @property
    def nbytes(self) -> int:
        return 0


def stored_in(chunks: Sequence[Chunk]) -> Stored | None:
    """What stands for the table of a partition; ``None`` if the table itself is there."""
    found: Stored | None = getattr(chunks[0], "stored", None) if chunks else None
    return found


class StateHome:
    """Where operators may have their state besides the driver: files in a directory that workers share.

    ``driver_bytes``: with more than that an operator moves there; ``None``: it begins there. ``cache_bytes``
    is what each worker process may keep in memory.
    """

    def __init__(self, directory: str, driver_bytes: int | None, cache_bytes: int, run: Run) -> None:
        self._storage, path = storage_for(directory)
        self._path = join(path, f"state-{uuid4().hex}")
        self._driver_bytes = driver_bytes
        self._cache_bytes = cache_bytes
        self.run = run
        self._operators: weakref.WeakKeyDictionary[StreamNode, Operator] = weakref.WeakKeyDictionary()
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._remover: ThreadPoolExecutor | None = None

    def takes(self, nbytes: int) -> bool:
        """Whether an operator with so much state has it on the workers."""
        return self._driver_bytes is None or nbytes > self._driver_bytes

    def operator(self, node: StreamNode, form: Form[Any], table_of: Callable[[Any], Table]) -> Operator:
        """The files of a node's state."""
        with self._lock:
            found = self._operators.get(node)
            if found is None:
                directory = join(self._path, f"{next(self._numbers)}-{node.site.operation}")
                self._storage.makedirs(directory)
                files = TableFiles(self._storage, directory, form, self._cache_bytes)
                found = self._operators[node] = Operator(self, node.site, files, table_of)
                where = self._storage.url(directory)
                _log.info("the state of %s is on the workers from here on, in %s", node.site, where)
            return found

    def aside(self, work: Callable[[], None]) -> None:
        """Do something that nobody waits for."""
        with self._lock:
            if self._remover is None:
                self._remover = ThreadPoolExecutor(1, thread_name_prefix="penstock-state")
            self._remover.submit(work)

    def close(self) -> None:
        """Remove all files: nobody reads them any more."""
        if self._remover is not None:
            self._remover.shutdown(wait=True, cancel_futures=True)
        try:
            self._storage.remove_tree(self._path)
        except OSError as error:
            _log.warning("%s could not be removed: %s", self._storage.url(self._path), error)


class Operator:
    """The tables of one operator on the workers, as the driver knows them."""

    def __init__(
        self, home: StateHome, site: CallSite, files: TableFiles[Any], table_of: Callable[[Any], Table]
    ) -> None:
        self._home = home
        self._site = site
        self.files = files
        self._table_of = table_of
        self._lock = threading.Lock()
        self._readers: Counter[str] = Counter()  # by how many ``Stored`` a file is spoken of
        self._released: deque[list[str]] = deque()  # by those that are no more
        self._strays: set[str] = set()  # files that nobody spoke of when somebody last looked

    def take(self, stored: Stored) -> None:
        """A version that a task has made: its files stay as long as it is there."""
        names = [file.name for step in stored.steps for file in step.files]
        with self._lock:
            self._readers.update(names)
        stored.operator = self
        weakref.finalize(stored, self._released.append, names)
        self._remove_what_is_released()
        if stored.partition == 0 and stored.steps[-1].image is not None:
            self._home.aside(partial(self._remove_strays, time_of(stored.steps[-1].name)))

    def _remove_what_is_released(self) -> None:
        gone: list[str] = []
        while self._released:
            names = self._released.popleft()
            with self._lock:
                self._readers.subtract(names)
                for name in names:
                    if not self._readers[name]:
                        del self._readers[name]
                        gone.append(name)
        if gone:
            self._home.aside(lambda: self._remove(gone))

    def _remove_strays(self, time: int) -> None:
        """Remove what attempts have left that did not count: files of batches before that time of which
        nobody speaks, nor did the last time."""
        try:
            names = set(self.files.storage.list_names(self.files.directory).files)
        except OSError as error:
            _log.warning("files of attempts that failed could not be looked for: %s", error)
            return
        with self._lock:
            strays = {name for name in names - self._readers.keys() if time_of(name) < time}
        self._remove(sorted(strays & self._strays))
        self._strays = strays

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            path = join(self.files.directory, name)
            try:
                self.files.storage.remove(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.warning("%s could not be removed: %s", self.files.storage.url(path), error)

    def moved(self, tables: Sequence[tuple[Any, TableChange, int]], time: int) -> list[Stored]:
        """Tables that were in the driver, each with its image and how many keys it has."""
        found = []
        for partition, (held, image, keys) in enumerate(tables):
            steps = self.files.save(partition, (), time, held, None, partial(_same, image), keep=False)
            stored = Stored(partition, steps, keys, 0, 0, 0, None)
            self.take(stored)
            found.append(stored)
        return found

    # Looking at them

    def look(self, stored: Stored, what: str, argument: Any) -> list[Any]:
        """What :meth:`Table.get` or :meth:`Table.first` gives, in a list, which is empty for a key that is
        not there. A task on a worker."""
        question = Source(self._site, [SliceReader([Rows([(what, argument)])])])
        table = Source(self._site, [SliceReader([stored])])
        looked = _Looked(self.files, self._table_of)
        plan = Gather(self._site, (table, question), [[(0, 0), (1, 0)]], looked)
        found: list[Any] = self._home.run(plan, _rows)[0]
        return found


def _same(image: TableChange) -> TableChange:
    return image


class _Looked:
    """The answer to a question about a table."""

    belongs_elsewhere = True

    def __init__(self, files: TableFiles[Any], table_of: Callable[[Any], Table]) -> None:
        self.__name__ = "state"
        self._files = files
        self._table_of = table_of

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        (stored,) = inputs[0]
        ((what, argument),) = next(inputs[1]).rows()
        assert isinstance(stored, Stored)
        table = self._table_of(self._files.load(stored.partition, stored.steps))
        if what == "first":
            yield table.first(argument)
        elif (state := table.get(argument, _ABSENT)) is not _ABSENT:
            yield Rows([state])


def _rows(task: Task, chunks: Iterator[Chunk]) -> list[Any]:
    return [row for chunk in chunks for row in chunk.rows()]


class StoredTable:
    """A table on the workers, for who looks at it from outside: each question is a task there."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def __len__(self) -> int:
        return self._stored.keys

    def get(self, key: Any, absent: Any) -> Any:
        """The state of a key, or ``absent``. ``TypeError`` for what has no hash."""
        hash(key)
        found = self._look("get", key)
        return found[0] if found else absent

    def first(self, count: int) -> Chunk:
        """The first so many keys with their states, or all."""
        return Rows(self._look("first", count))

    def _look(self, what: str, argument: Any) -> list[Any]:
        assert self._stored.operator is not None
        return self._stored.operator.look(self._stored, what, argument)


class Taken(Step):
    """In the driver: what tasks have made of a batch, which is counted and has to keep to the limits."""

    stays_here = True

    def __init__(self, operator: Operator, meter: StateMeter, report: ExpiryReport | None) -> None:
        self.name = "state"
        self.operator = operator
        self._meter = meter
        self._report = report

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            stored = stored_in([chunk])
            assert stored is not None
            self.operator.take(stored)
            self._meter.note(
                task,
                keys=stored.keys,
                touched=stored.touched,
                nbytes=stored.held_bytes,
                expired=stored.expired,
            )
            if self._report is not None:
                self._report.forgotten(stored.expired)
            yield chunk

    def form(self, form: PlanForm) -> PlanForm:
        """See :mod:`penstock.plan.forms`."""
        return form


class Shown(Step):
    """On a worker: a table that lies in files, as records."""

    belongs_elsewhere = True

    def __init__(self, files: TableFiles[Any]) -> None:
        self._files = files

    @abstractmethod
    def chunks_of(self, table: Any) -> Iterator[Chunk]:
        """The records of a table, which are not to be changed."""

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            assert isinstance(chunk, Stored)
            for part in self.chunks_of(self._files.load(chunk.partition, chunk.steps)):
                yield part.isolated()


def operator_of(rdd: RDD) -> Operator | None:
    """Whose tables a stateful node's RDD holds, if they are on the workers."""
    plan = rdd.plan
    if isinstance(plan, Narrow):
        return plan.step.operator if isinstance(plan.step, Taken) else None
    if isinstance(plan, Source):
        for reader in plan.readers:
            stored = stored_in(reader.chunks) if isinstance(reader, SliceReader) else None
            return None if stored is None else stored.operator
    return None


def moment_of(site: CallSite, *figures: Any) -> Source:
    """What is different in each batch, for combinations that are to be the same in all: so workers, which
    have seen one, know all."""
    return Source(site, [SliceReader([Rows([figures])])])


def stored_change(before: Sequence[Chunk] | None, after: Stored) -> TableChange:
    """What a batch has changed in a table on the workers, or all of it; from its files."""
    assert after.operator is not None
    files, old = after.operator.files, None if before is None else stored_in(before)
    found = None if old is None else files.change(after.steps, old.steps)
    return files.image(after.steps) if found is None else found

"""The executor of a cluster: jobs are prepared and put together by the driver, stages run on the cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from penstock.errors import UnsupportedError, joined
from penstock.executors.base import Together
from penstock.executors.jobs import ReadAhead
from penstock.executors.local import LocalExecutor
from penstock.executors.remote import Batch, groves_of
from penstock.executors.spark.crew import SparkCrew, is_outside
from penstock.executors.spark.package import Package
from penstock.executors.spark.session import Session
from penstock.executors.spark.worker import Found, looked_around
from penstock.plan import Node, Source, StorageLevel

__all__ = ["SparkExecutor"]

_NEEDED = ["penstock", "pyarrow", "numpy", "cloudpickle", "fsspec"]


class SparkExecutor(LocalExecutor):
    """Stages that read files, topics or other stores are computed by the cluster; the small results of them,
    state and what is written, by ``threads`` of the driver."""

    def __init__(self, session: Session, threads: int, inline_rows: int, most_bytes: int) -> None:
        self._session = session
        self._batches: WeakKeyDictionary[Node, Batch] = WeakKeyDictionary()
        self._package = Package.of_process()
        session.add_file(self._package.path)
        self._look_around()
        super().__init__(
            threads, inline_rows, SparkCrew(session, most_bytes=most_bytes, always=not inline_rows)
        )

    @property
    def parallelism(self) -> int:
        return self._session.default_parallelism

    @property
    def has_far_workers(self) -> bool:
        return True

    def prefetch(self, plan: Node) -> ReadAhead:
        return ReadAhead(0, lambda partition, metrics: iter(()), lambda: None)

    def add_modules(self, path: str) -> None:
        self._session.add_file(path)

    def together(self, plans: Sequence[Node]) -> Together:
        groves = groves_of(plans, self._instead, self._is_ready, _is_outside)
        ends = [end for grove in groves for end in grove.ends]
        if not ends:
            return Together()
        ours = [end for end in ends if end not in self._kept]
        for end in ours:
            self.keep(end, StorageLevel.MEMORY_ONLY)

        def release() -> None:
            for end in ends:
                self._batches.pop(end, None)
            for end in ours:
                self.drop(end)

        kept = {end: self._kept[end] for end in ends}
        batch = Batch(groves, kept, release)
        for end in ends:
            self._batches[end] = batch
        return batch

    def _is_ready(self, node: Node) -> bool:
        kept = self._kept.get(node)
        return kept is not None and all(map(kept.has, range(node.partitions)))

    def _batch_of(self, node: Node) -> Batch | None:
        return self._batches.get(node)

    def close(self) -> None:
        super().close()
        self._session.stop()

    def _look_around(self) -> None:
        """See that all workers have what they need, before anything runs there."""
        digest = self._package.digest
        if self._session.is_equipped(digest):
            return
        count = 2 * self._session.default_parallelism
        found: list[Found] = self._session.run(looked_around, [_NEEDED] * count, "penstock: looks around")
        problems = dict.fromkeys(problem for each in found for problem in _problems_of(each, digest))
        if problems:
            raise UnsupportedError(joined(problems))
        self._session.equipped(digest)


def _is_outside(source: Source) -> bool:
    return any(is_outside(reader) for reader in source.readers)


def _problems_of(found: Found, digest: str) -> list[str]:
    host, python, versions = found
    problems = []
    if digest not in versions["penstock"]:
        problems.append(
            f"a worker on the host {host} has imported another Penstock before ({versions['penstock']}). "
            f"Hint: make the SparkContext anew, or do not import penstock in other jobs of it before this."
        )
    if python.split(".")[:2] != [str(part) for part in sys.version_info[:2]]:
        problems.append(
            f"the host {host} runs Python {python}, and this program "
            f"{sys.version_info[0]}.{sys.version_info[1]}. Hint: let PYSPARK_PYTHON be one that all have."
        )
    for name, version in versions.items():
        if version.startswith("ImportError"):
            problems.append(
                f"the host {host} lacks {name} ({version}). Hint: install it for the Python of the workers, "
                f"or ship an environment (spark.archives, PYSPARK_PYTHON)."
            )
            continue
        if name == "penstock":
            continue
        here = str(getattr(sys.modules.get(name), "__version__", version))
        if name in ("pyarrow", "numpy") and _major(version) != _major(here):
            problems.append(
                f"the host {host} has {name} {version}, and this program {here}. Hint: have one version "
                f"everywhere, so that results are the same everywhere."
            )
    return problems


def _major(version: str) -> str:
    return version.split(".")[0]

"""The executor of a cluster: jobs are prepared and put together by the driver, stages run on the cluster."""

from __future__ import annotations

import sys

from penstock.errors import UnsupportedError, joined
from penstock.executors.jobs import ReadAhead
from penstock.executors.local import LocalExecutor
from penstock.executors.spark.crew import SparkCrew
from penstock.executors.spark.package import Package
from penstock.executors.spark.session import Session
from penstock.executors.spark.worker import Found, looked_around
from penstock.plan import Node

__all__ = ["SparkExecutor"]

_NEEDED = ["penstock", "pyarrow", "numpy", "cloudpickle", "fsspec"]


class SparkExecutor(LocalExecutor):
    """Stages that read files, topics or other stores are computed by the cluster; the small results of them,
    state and what is written, by ``threads`` of the driver."""

    def __init__(self, session: Session, threads: int, inline_rows: int) -> None:
        self._session = session
        self._package = Package()
        session.add_file(self._package.path)
        self._look_around()
        super().__init__(threads, inline_rows, SparkCrew(session, always=not inline_rows))

    @property
    def parallelism(self) -> int:
        return self._session.default_parallelism

    def prefetch(self, plan: Node) -> ReadAhead:
        return ReadAhead(0, lambda partition, metrics: iter(()), lambda: None)

    def close(self) -> None:
        super().close()
        self._session.stop()
        self._package.close()

    def _look_around(self) -> None:
        """See that all workers have what they need, before anything runs there."""
        count = 2 * self._session.default_parallelism
        found: list[Found] = self._session.run(looked_around, [_NEEDED] * count, "penstock: looks around")
        problems = dict.fromkeys(problem for each in found for problem in _problems_of(each))
        if problems:
            raise UnsupportedError(joined(problems))


def _problems_of(found: Found) -> list[str]:
    host, python, versions = found
    problems = []
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
        here = str(getattr(sys.modules.get(name), "__version__", version))
        if name in ("pyarrow", "numpy") and _major(version) != _major(here):
            problems.append(
                f"the host {host} has {name} {version}, and this program {here}. Hint: have one version "
                f"everywhere, so that results are the same everywhere."
            )
    return problems


def _major(version: str) -> str:
    return version.split(".")[0]

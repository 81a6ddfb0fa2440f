"""``pytest --executor=...``: the same tests on another executor, under every local ``Context`` they make.

A test that only this process can pass says why, and is not run elsewhere::

    @pytest.mark.in_process("looks at what a function leaves in the program's memory")

One of hundreds of jobs, which would take minutes on a cluster, is marked ``many_jobs`` and run on processes.
At the end all that were left out are counted by their reasons: nothing is skipped. Random tests
try fewer examples where each costs more, unless ``--hypothesis-profile`` says how many.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings

from penstock.conf import BRING_BYTES, Conf
from penstock.context import context as module
from penstock.errors import UnsupportedError
from penstock.executors import Executor, LocalExecutor
from penstock.executors.processes import ProcessCrew
from penstock.executors.remote import Crew, Outcome, Ready, Shipment

__all__ = ["EXECUTORS", "Conformance", "OnFakeSpark", "OnProcesses", "OnSpark"]

EXECUTORS = ("threads", "processes", "spark", "fake-spark")

# A job costs some ms on processes, some tenths of a second on a cluster.
EXAMPLES = {"processes": 25, "spark": 3, "fake-spark": 25}


class Conformance:
    """Leaves out what can only pass in one process."""

    def __init__(self, executor: str) -> None:
        self._executor = executor
        self._left_out: Counter[str] = Counter()

    def pytest_configure(self, config: pytest.Config) -> None:
        if self._executor in EXAMPLES and config.getoption("--hypothesis-profile") is None:
            settings.register_profile(
                self._executor, settings.default, max_examples=EXAMPLES[self._executor], deadline=None
            )
            settings.load_profile(self._executor)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self._executor == "threads":
            return
        run, left_out = [], []
        for item in items:
            why = self._why_not(item)
            if why is None:
                run.append(item)
            else:
                self._left_out[why] += 1
                left_out.append(item)
        items[:] = run
        config.hook.pytest_deselected(items=left_out)

    def _why_not(self, item: pytest.Item) -> str | None:
        mark = item.get_closest_marker("in_process")
        if mark is not None:
            (reason,) = mark.args
            return str(reason)
        if self._executor == "spark" and item.get_closest_marker("many_jobs") is not None:
            return "runs hundreds of jobs, and is run on processes"
        return None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Who asks for tests by name may mean none that is run elsewhere too."""
        nothing = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        if self._executor != "threads" and nothing and session.config.option.keyword:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for reason, count in self._left_out.items():
            terminalreporter.write_line(f"not run on {self._executor}: {count} tests, whose test {reason}")


class _Elsewhere(ABC):
    """Puts something under all contexts that would run on threads alone, until :attr:`_stack` is closed."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._make = module._executor_for
        self._stack.enter_context(patch.object(module, "_executor_for", self._made))

    def _made(self, master: str, conf: Conf, *others: Any) -> Executor:
        made = self._make(master, conf, *others)
        if type(made) is not LocalExecutor or made._crew is not None:
            return made
        return self._instead(made, conf)

    @abstractmethod
    def _instead(self, made: LocalExecutor, conf: Conf) -> Executor:
        """What runs it."""

    def pytest_unconfigure(self) -> None:
        self._stack.close()


class OnProcesses(_Elsewhere):
    """All Python that can be sent is sent to two processes, which all contexts share."""

    def __init__(self) -> None:
        super().__init__()
        self._crew = ProcessCrew(2, max_failures=4, always=True)
        self._stack.callback(self._crew.close)

    def _instead(self, made: LocalExecutor, conf: Conf) -> Executor:
        return LocalExecutor(made.threads, made._inline_rows, _Shared(self._crew))


class OnSpark(_Elsewhere):
    """All that can be sent is sent to a cluster of two workers, which is started for the first context. One
    SparkContext serves all."""

    def __init__(self) -> None:
        super().__init__()
        self._session: Any = None

    def _instead(self, made: LocalExecutor, conf: Conf) -> Executor:
        from penstock.executors.spark import SparkExecutor

        class OnCluster(SparkExecutor):
            """With as many partitions as there would be on one machine."""

            parallelism = made.parallelism
            elsewhere = ""  # explain() says the same on all executors

        session = self._started()
        executor = OnCluster(session, made.threads, made._inline_rows, conf.value(BRING_BYTES))
        crew: Any = executor._crew
        crew._always = True
        return executor

    def _started(self) -> Any:
        if self._session is None:
            from penstock.executors.spark import Session
            from penstock.testing.cluster import LocalCluster

            try:
                # Files of pickled records name classes of the tests, which are read where they are.
                found_there = {"PYTHONPATH": str(Path(__file__).parents[2])}
                cluster = self._stack.enter_context(LocalCluster(environment=found_there))
            except UnsupportedError as missing:  # no Java, no PySpark: it says what to install
                pytest.skip(str(missing))
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._session = Session.connected(cluster.url, "tests", {"spark.ui.enabled": "false"})
            self._stack.callback(self._session.stop)
            self._session._ours, ours = False, self._session  # contexts come and go
            self._stack.callback(lambda: setattr(ours, "_ours", True))
        return self._session


class OnFakeSpark(OnSpark):
    """All that can be sent is sent to what takes the place of Spark in this process: what the executor does
    is seen in minutes, without Java. What Spark does is seen on a cluster."""

    def _started(self) -> Any:
        if self._session is None:
            from penstock.executors.spark import Session
            from tests.executors.fake_spark import FakeSpark, NoPackage

            self._stack.enter_context(patch("penstock.executors.spark.executor.Package", NoPackage))
            self._spark = FakeSpark()
            self._session = Session(self._spark, ours=False)
        return self._session

    def pytest_runtest_teardown(self) -> None:
        if self._session is not None:
            self._spark.later.clear()
            self._spark.jobs.clear()


class _Shared(Crew):
    """The crew of all contexts, which closes with none of them."""

    place = ""  # explain() says the same on all executors

    def __init__(self, crew: ProcessCrew) -> None:
        self._crew = crew

    def wants(self, ready: Ready) -> bool:
        return self._crew.wants(ready)

    def run(self, shipment: Shipment) -> list[Outcome]:
        return self._crew.run(shipment)

    def close(self) -> None:
        """The next context wants it too."""

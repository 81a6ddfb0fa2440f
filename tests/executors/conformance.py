"""``pytest --executor=...``: the same tests on another executor, under every local ``Context`` they make.

A test that only this process can pass says why, and is not run elsewhere::

    @pytest.mark.in_process("looks at what a function leaves in the program's memory")

At the end all that were left out are counted by their reasons: nothing is skipped.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from penstock.conf import Conf
from penstock.context import context as module
from penstock.executors import Executor, LocalExecutor, ProcessCrew
from penstock.executors.remote import Crew, Outcome, Ready, Shipment

__all__ = ["EXECUTORS", "Conformance", "OnProcesses"]

EXECUTORS = ("threads", "processes")


class Conformance:
    """Leaves out what can only pass in one process."""

    def __init__(self, executor: str) -> None:
        self._executor = executor
        self._left_out: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self._executor == "threads":
            return
        run, left_out = [], []
        for item in items:
            mark = item.get_closest_marker("in_process")
            if mark is None:
                run.append(item)
            else:
                (reason,) = mark.args
                self._left_out[reason] += 1
                left_out.append(item)
        items[:] = run
        config.hook.pytest_deselected(items=left_out)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for reason, count in self._left_out.items():
            terminalreporter.write_line(f"not run on {self._executor}: {count} tests, whose test {reason}")


class OnProcesses:
    """All Python that can be sent is sent to two processes, which all contexts share."""

    def __init__(self) -> None:
        self._crew = ProcessCrew(2, max_failures=4, always=True)
        self._make = module._executor_for
        module._executor_for = self._made  # type: ignore[assignment]

    def _made(self, master: str, conf: Conf, *others: Any) -> Executor:
        made = self._make(master, conf, *others)
        if type(made) is not LocalExecutor or made._crew is not None:
            return made
        return LocalExecutor(made.threads, made._inline_rows, _Shared(self._crew))

    def pytest_unconfigure(self) -> None:
        module._executor_for = self._make
        self._crew.close()


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

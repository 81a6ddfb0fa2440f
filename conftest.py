"""What the examples in docstrings may use: a context ``sc``, the public names, and the test kit; and on which
executor all tests run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import penstock
import penstock.testing
from tests.executors.conformance import EXECUTORS, Conformance, OnFakeSpark, OnProcesses, OnSpark


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which executor runs the tests."""
    parser.addoption(
        "--executor", choices=EXECUTORS, default="threads", help="what runs the jobs of all local contexts"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Put it under all contexts."""
    executor = config.getoption("executor")
    config.pluginmanager.register(Conformance(executor), "penstock-conformance")
    if executor == "processes":
        config.pluginmanager.register(OnProcesses(), "penstock-on-processes")
    if executor == "spark":
        config.pluginmanager.register(OnSpark(), "penstock-on-spark")
    if executor == "fake-spark":
        config.pluginmanager.register(OnFakeSpark(), "penstock-on-fake-spark")


@pytest.fixture(autouse=True)
def _example_names(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> Iterator[None]:
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    for module in (penstock, penstock.testing):
        doctest_namespace.update({name: getattr(module, name) for name in module.__all__})
    with penstock.Context("local[2]", "examples") as sc:
        doctest_namespace["sc"] = sc
        yield

"""What the examples in docstrings may use: a context ``sc``, the public names, and the test kit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import penstock
import penstock.testing


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

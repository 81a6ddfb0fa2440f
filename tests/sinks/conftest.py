from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock import Context
from tests.postgres import Server, postgres_server


@pytest.fixture
def sc() -> Iterator[Context]:
    with Context("local[2]", "tests") as context:
        yield context


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for all tests of a process."""
    with postgres_server() as server:
        yield server

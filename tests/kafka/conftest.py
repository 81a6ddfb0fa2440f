from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from penstock import Context
from penstock.clients import kafka
from tests.kafka.broker import Broker

_numbers = count()


@pytest.fixture(scope="session")
def client() -> None:
    pytest.importorskip("confluent_kafka", reason="needs confluent-kafka: pip install 'penstock[kafka]'")


@pytest.fixture(scope="session")
def broker(client: None) -> Iterator[Broker]:
    """One for all tests: each has topics of its own."""
    found = Broker()
    yield found
    kafka._readers.close()
    found.close()


@pytest.fixture
def own_broker(client: None) -> Iterator[Broker]:
    """For tests that break it."""
    found = Broker()
    yield found
    kafka._readers.close()
    found.close()


@pytest.fixture
def topic() -> str:
    return f"topic-{next(_numbers)}"


@pytest.fixture
def sc() -> Iterator[Context]:
    with Context("local[2]", "tests") as context:
        yield context

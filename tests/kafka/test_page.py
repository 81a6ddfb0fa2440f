"""``docs/kafka.md`` runs and prints what it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock import Context
from tests.docs.pages import ROOT, Page
from tests.kafka.broker import Broker


@pytest.fixture(autouse=True)
def _no_context_left() -> Iterator[None]:
    yield
    if Context._active is not None:
        Context._active.stop()


def test_the_page_of_kafka_runs_and_prints_what_it_says(own_broker: Broker) -> None:
    assert Page(ROOT / "docs" / "kafka.md", brokers=own_broker.address).run() == 6

"""One context for each test, whose jobs really use several threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock import Conf, Context


@pytest.fixture
def sc() -> Iterator[Context]:
    conf = Conf().setMaster("local[4]").setAppName("tests").set("penstock.local.inlineRows", 0)
    with Context(conf=conf) as context:
        yield context

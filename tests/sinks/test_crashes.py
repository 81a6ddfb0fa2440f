"""Outputs of streams, crashed at every step: each record exactly once in the end."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from penstock import Conf, Context
from penstock.dstream import DStream
from penstock.testing import crash_everywhere


class Order(NamedTuple):
    id: int
    symbol: str


BATCHES = [[Order(1, "a"), Order(2, "b")], [], [Order(3, "c")]]
SAVES: list[tuple[str, dict[str, Any]]] = [
    ("saveAsTextFiles", {"codec": "gzip", "skipEmpty": True}),
    ("saveAsPickleFiles", {}),
    ("saveAsJsonFiles", {"skipEmpty": True}),
    ("saveAsCsvFiles", {"header": True}),
    ("saveAsParquetFiles", {}),
    ("saveAsParquetFiles", {"schema": Order, "skipEmpty": True}),
]


@pytest.mark.parametrize(("save", "options"), [SAVES[2], SAVES[5]])
def test_every_step_may_be_the_last(save: str, options: dict[str, Any]) -> None:
    def build(stream: DStream, folder: str) -> None:
        getattr(stream, save)(folder + "/orders", **options)

    with Context("local[1]"):
        crashes = crash_everywhere(build, BATCHES, every=29, twice=3)
    assert len(crashes.points) > 10


@pytest.mark.long
@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize(("save", "options"), SAVES)
def test_every_single_step_may_be_the_last(save: str, options: dict[str, Any], power: bool) -> None:
    def build(stream: DStream, folder: str) -> None:
        getattr(stream, save)(folder + "/orders", **options)

    conf = Conf().setMaster("local[2]").set("penstock.checkpoint.syncOutputs", power)
    with Context(conf=conf):
        crash_everywhere(build, BATCHES, power=power)

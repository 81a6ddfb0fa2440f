"""Each method that computes means the same on whichever executor runs the tests, and ran there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Context, DStream
from tests.executors.everywhere import COMPUTE_NOTHING, ROWS, Place, Row, Witness


@pytest.fixture(scope="module")
def sc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with Context("local[2]", "everywhere") as context:
        context.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))
        yield context


@pytest.fixture
def broker() -> Iterator[Any]:
    pytest.importorskip("confluent_kafka", reason="needs confluent-kafka: pip install 'penstock[kafka]'")
    from penstock.clients import kafka
    from tests.kafka.broker import Broker

    found = Broker()
    yield found
    kafka._readers.close()
    found.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.owner}.{row.method}")
def test_means_the_same_everywhere(
    request: pytest.FixtureRequest, sc: Context, tmp_path: Path, row: Row
) -> None:
    executor = request.config.getoption("executor")
    if executor in row.gaps:
        request.applymarker(pytest.mark.xfail(reason=row.gaps[executor]))
    (tmp_path / "seen").mkdir()
    (tmp_path / "written").mkdir()
    witness = Witness(tmp_path / "seen")
    place = Place(sc, tmp_path / "written", witness, lambda: request.getfixturevalue("broker"))
    assert row.call(place) == row.expected
    assert witness.processes, "it computed nothing"
    if executor in ("threads", "fake-spark"):
        assert witness.processes == {os.getpid()}
    else:
        assert os.getpid() not in witness.processes, "it ran in this process"


@pytest.mark.parametrize("owner", [RDD, DStream])
def test_no_method_is_missing(owner: type) -> None:
    listed = [row.method for row in ROWS if row.owner == owner.__name__] + [*COMPUTE_NOTHING[owner.__name__]]
    assert sorted(listed) == [name for name in dir(owner) if not name.startswith("_")]

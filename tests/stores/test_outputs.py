"""All outputs of files, in a store: whole batches, marked last, and sets of files that end at any request."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from penstock import Context, DStream, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import ArgumentError
from penstock.storage import MARKER, join, storage_for
from penstock.testing import Stepper
from tests.sinks.test_file_set import exact, life, numbers_of, plain
from tests.storage.servers import Proxy, Reaction, Request


class Order(NamedTuple):
    id: int
    symbol: str


BATCHES = [[Order(1, "EPE"), Order(2, "주문")], [], [Order(3, 'a,"b"')]]

SAVES: dict[str, tuple[Callable[[DStream, str], None], Callable[[bytes], list[Any]]]] = {
    "parquet": (
        lambda stream, prefix: stream.saveAsParquetFiles(prefix, schema=Order),
        lambda data: [Order(**row) for row in pq.read_table(io.BytesIO(data)).to_pylist()],
    ),
    "json": (
        lambda stream, prefix: stream.saveAsJsonFiles(prefix),
        lambda data: [Order(**json.loads(line)) for line in data.splitlines()],
    ),
    "csv": (
        lambda stream, prefix: stream.saveAsCsvFiles(prefix),
        lambda data: [line.decode() for line in data.splitlines()],
    ),
    "text": (
        lambda stream, prefix: stream.saveAsTextFiles(prefix),
        lambda data: [line.decode() for line in data.splitlines()],
    ),
}


@pytest.mark.parametrize("kind", SAVES)
def test_each_kind_of_file_is_in_the_store_and_marked(
    sc: Context, url: str, proxy: Proxy, kind: str, tmp_path: Path
) -> None:
    save, read = SAVES[kind]
    written: list[str] = []

    def note(request: Request) -> None:
        if request.method == "PUT" and f"/{kind}-" in request.path:
            written.append(request.path)

    where = f"{url}/{tmp_path.name}"
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    save(ssc.queueStream([sc.parallelize(batch, 2) for batch in BATCHES]), f"{where}/{kind}")
    with proxy.reacting(note), Stepper(ssc, clock) as stepper:
        for _ in BATCHES:
            stepper.step()
    local = StreamingContext(sc, 1, clock=(here := ManualClock()))
    save(local.queueStream([sc.parallelize(batch, 2) for batch in BATCHES]), str(tmp_path / kind))
    with Stepper(local, here) as stepper:
        for _ in BATCHES:
            stepper.step()

    storage, root = storage_for(where)
    for time in (1000, 2000, 3000):
        expected = sorted(path for path in (tmp_path / f"{kind}-{time}").iterdir() if path.name != MARKER)
        names = sorted(storage.list_names(join(root, f"{kind}-{time}")).files)
        assert [name for name in names if name != MARKER] == [path.name for path in expected]
        assert MARKER in names
        for path in expected:
            data = storage.read(join(root, f"{kind}-{time}/{path.name}"))
            assert read(data) == read(path.read_bytes())
        of_batch = [path for path in written if f"{kind}-{time}/" in path]
        assert of_batch[-1].endswith(MARKER), "the mark comes last"


@pytest.mark.parametrize(
    ("endpoint", "points"),
    [
        ("ministack", 4),
        pytest.param("ministack", 60, marks=pytest.mark.long),
        pytest.param("moto", 25, marks=pytest.mark.long),
    ],
    indirect=["endpoint"],
)
def test_a_set_of_files_that_ends_at_any_request_has_each_record_once(
    sc: Context, url: str, proxy: Proxy, endpoint: str, points: int, seed: int
) -> None:
    everything = [number for batch in range(1, 5) for number in numbers_of(batch)]
    with proxy.counting() as requests:
        life(sc, f"{url}/quiet", 4)
    assert sorted(exact(f"{url}/quiet")) == everything
    tried = [(number, moment) for number in range(len(requests)) for moment in ("before", "after")]
    tried = random.Random(seed).sample(tried, points)
    for number, moment in tried:
        here, where = f"{url}/{moment}-{number}", f"{moment} request {number} of {len(requests)}"
        last = Reaction(before=moment == "before", after=moment == "after")

        def react(request: Request) -> Reaction | None:
            if request.number < number:  # noqa: B023
                return None
            return last if request.number == number else Reaction(before=True)  # noqa: B023

        with proxy.reacting(react), suppress(OSError):
            life(sc, here, 4)
        with suppress(ArgumentError):  # there may be no set yet
            seen = exact(here)
            assert len(set(seen)) == len(seen), where
            assert len(seen) % 3 == 0, f"{where}: half a batch"
        life(sc, here, 4)
        assert sorted(exact(here)) == everything, where
        visible = plain(here)
        assert len(set(visible)) == len(visible), where

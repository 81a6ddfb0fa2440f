"""Programs that live in a store, ended at every point."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest

from penstock import Context
from penstock.dstream import DStream
from penstock.storage import LocalStorage, Storage, join, storage_for
from penstock.storage.remote import FsspecStorage
from penstock.storage.resolve import wrapping
from penstock.testing import crash_everywhere
from tests.storage.servers import Proxy, Reaction, Request, bucket_at, configured, environment
from tests.stores import programs
from tests.stores.programs import Life, output, outputs, put

INPUTS = [["a b a"], ["b", "c c"], [], ["a"]]


def totals(lines: DStream, folder: str) -> DStream:
    pairs = lines.flatMap(str.split).map(lambda word: (word, 1))
    found = pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2)
    found.saveAsTextFiles(folder + "/totals")
    lines.saveAsTextFiles(folder + "/lines")
    return found


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.long)])
def test_a_crash_at_any_call_of_a_store_without_renames_loses_nothing(every: int) -> None:
    """The local disk as an object store: the same calls, and files that can be compared."""

    def objects(storage: Storage) -> Storage:
        return FsspecStorage(fsspec.filesystem("file")) if isinstance(storage, LocalStorage) else storage

    with wrapping(objects):
        crashes = crash_everywhere(totals, INPUTS, files=True, every=every, twice=3 if every > 1 else 100)
    assert len(crashes.points) > 20


class Reader:
    """Looks at an output before each request that changes it, and keeps what was once whole."""

    def __init__(self, endpoint: str, url: str) -> None:
        with configured(endpoint):
            self._storage, self._root = storage_for(url)
        self.seen: dict[str, list[str]] = {}

    def before(self, request: Request) -> None:
        below = f"/{self._root}/out/"
        if request.method != "GET" and request.path.startswith(below):
            self._note(request.path.removeprefix(below).partition("/")[0])

    def _note(self, name: str) -> None:
        lines = output(self._storage, join(self._root, f"out/{name}"))
        if not name.startswith(".") and (lines is not None or name in self.seen):
            assert lines is None or self.seen.setdefault(name, lines) == lines

    def all(self) -> dict[str, list[str]]:
        """Every output, which must be what it was when it was seen."""
        found = outputs(self._storage, self._root)
        for name in self.seen:
            assert found[name] == self.seen[name]
        return found


@pytest.mark.parametrize(
    ("endpoint", "points"),
    [
        ("ministack", 3),
        pytest.param("moto", 25, marks=pytest.mark.long),
        pytest.param("ministack", 60, marks=pytest.mark.long),
    ],
    indirect=["endpoint"],
)
def test_a_process_that_ends_at_any_request_loses_nothing(
    sc: Context, url: str, proxy: Proxy, endpoint: str, points: int, seed: int
) -> None:
    with proxy.counting() as requests:
        Life(sc, f"{url}/quiet", INPUTS[:3]).run()
    expected = Reader(endpoint, f"{url}/quiet").all()
    assert len(expected) == 6
    assert sorted(expected["counts-2000"]) == ["a 2", "b 2", "c 2"]
    tried = [(number, moment) for number in range(len(requests)) for moment in ("before", "after")]
    tried = random.Random(seed).sample(tried, points)
    for number, moment in tried:
        where = f"{url}/{moment}-{number}"
        reader = Reader(endpoint, where)
        last = Reaction(before=moment == "before", after=moment == "after")

        def react(request: Request) -> Reaction | None:
            reader.before(request)  # noqa: B023
            if request.number < number:  # noqa: B023
                return None
            return last if request.number == number else Reaction(before=True)  # noqa: B023

        life = Life(sc, where, INPUTS[:3])
        with proxy.reacting(react), suppress(OSError):
            life.run()
        with proxy.reacting(lambda request: reader.before(request)):  # noqa: B023
            Life(sc, where, INPUTS[:3]).run(life.done)
        assert reader.all() == expected, f"ended {moment} request {number} of {len(requests)}"


LINES = [f"line-{number} word-{number % 7}" for number in range(600)]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("ministack", 3),
        pytest.param("moto", 15, marks=pytest.mark.long),
        pytest.param("ministack", 15, marks=pytest.mark.long),
    ],
)
def test_kill_9_loses_no_line_and_doubles_none(
    s3_server: Callable[[str], str], tmp_path: Path, seed: int, name: str, kills: int
) -> None:
    endpoint = s3_server(name)
    url = f"s3://{bucket_at(endpoint)}/app"
    environ = {**programs.environ(), **environment(endpoint)}
    chance = random.Random(seed)
    fed = 0
    with configured(endpoint), (tmp_path / "log.txt").open("w") as log:

        def feed(count: int) -> None:
            nonlocal fed
            for at in range(fed, fed + count):
                put(f"{url}/in/{at:05}.txt", "".join(f"{line}\n" for line in LINES[at * 10 : at * 10 + 10]))
            fed += count

        def started(how: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "tests.stores.programs", url, "0.2", how]
            return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=log, text=True)

        for _ in range(kills):
            feed(1)
            process = started("run")
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 4)):
                feed(1)
                assert process.stdout.readline(), (tmp_path / "log.txt").read_text()[-3000:]
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        feed(2)
        process = started("available")
        process.communicate(timeout=120)
        assert process.returncode == 0, (tmp_path / "log.txt").read_text()[-3000:]
        found = outputs(*storage_for(url))
    lines = [line for name, lines in found.items() if name.startswith("lines-") for line in lines]
    assert sorted(lines) == sorted(LINES[: fed * 10])
    last = max((name for name in found if name.startswith("counts-")), key=lambda name: (len(name), name))
    words = Counter(word for line in LINES[: fed * 10] for word in line.split())
    assert dict(line.split() for line in found[last]) == {word: f"{count}" for word, count in words.items()}

    for command in ("verify", "show"):
        line = [sys.executable, "-m", "penstock.cli", "checkpoint", command, f"{url}/checkpoint"]
        run = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stdout + run.stderr
    assert "counts" in run.stdout

"""Checkpoints in S3: who may write them, what is trusted, what an answer that was lost means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock import Context, StreamingContext
from penstock.checkpoint import Checkpoint, Commit, Journal, begin_record
from penstock.clock import ManualClock
from penstock.context.lifecycle import Lifecycle
from penstock.errors import CheckpointTaken, CorruptCheckpoint, UnsupportedError
from penstock.storage import storage_for
from penstock.testing import Stepper
from tests.storage.servers import Proxy, Reaction, bucket_at, configured
from tests.stores import programs
from tests.stores.programs import put


def owner(url: str, name: str, *, alone: bool = False) -> Checkpoint:
    made = Checkpoint(url, threaded=False)
    made.load()
    made.claim(name, alone=alone)
    made.load()
    made.begin(begin_record("run", 1000, 0, {}, {}))
    return made


def test_of_two_owners_the_later_goes_on(url: str) -> None:
    first = owner(f"{url}/checkpoint", "first")
    first.commit(Commit(1000))
    second = owner(f"{url}/checkpoint", "second")
    with pytest.raises(CheckpointTaken, match="another run goes on"):
        first.commit(Commit(2000))
    second.commit(Commit(3000))
    loaded = Journal(*storage_for(f"{url}/checkpoint")).load()
    assert loaded is not None
    assert loaded.image.committed_ms == 3000


def test_of_many_at_a_time_one_owns(url: str) -> None:
    def claim(number: int) -> bool:
        try:
            owner(f"{url}/checkpoint", f"{number}", alone=True)
        except CheckpointTaken:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(claim, range(6))) == 1


@pytest.mark.parametrize("retries", [1, 3], ids=["nobody asks again", "the client asks again"])
def test_a_record_whose_answer_was_lost_counts(
    url: str, proxy: Proxy, retries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "retries", retries)
    checkpoint = owner(f"{url}/checkpoint", "first")
    lost = Reaction(after=True)
    for time in (1000, 2000):
        puts: list[int] = []

        def react(request: object, puts: list[int] = puts) -> Reaction | None:
            if getattr(request, "method", "") != "PUT":
                return None
            puts.append(1)
            return lost if len(puts) == 1 else None

        with proxy.reacting(react):
            checkpoint.commit(Commit(time))
        assert puts
    loaded = Journal(*storage_for(f"{url}/checkpoint")).load()
    assert loaded is not None
    assert loaded.image.committed_ms == 2000


def test_pickles_are_read_only_if_the_store_is_trusted(sc: Context, url: str) -> None:
    put(f"{url}/in/a", "a\n")

    def run() -> None:
        clock = ManualClock()

        def setup() -> StreamingContext:
            ssc = StreamingContext(sc, 1, clock=clock)
            ssc.textFileStream(f"{url}/in", newFilesOnly=False).saveAsTextFiles(f"{url}/out/lines")
            return ssc

        try:
            ssc = StreamingContext.getOrCreate(f"{url}/checkpoint", setup, clock=clock)
            with Stepper(ssc, clock) as stepper:
                stepper.step()
        finally:
            Lifecycle._active = sc._stop_stream = None

    run()
    with pytest.raises(CorruptCheckpoint, match=r"Hint: penstock\.checkpoint\.trustStore=true"):
        run()
    sc.conf.set("penstock.checkpoint.trustStore", True)
    run()


READ = "import sys; from penstock import Context\nprint(Context('local[1]').textFile(sys.argv[1]).collect())"


@pytest.mark.parametrize("how", ["by variables", "by a file"])
def test_a_program_is_told_by_fsspec_s_configuration_where_the_store_is(
    s3_server: Callable[[str], str], tmp_path: Path, how: str
) -> None:
    endpoint = s3_server("ministack")
    url = f"s3://{bucket_at(endpoint)}/a"
    with configured(endpoint):
        put(url, "here\n")
    environ = {
        name: text for name, text in programs.environ().items() if not name.startswith(("AWS", "FSSPEC"))
    }
    environ.update(HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true")
    if how == "by variables":
        environ.update(FSSPEC_S3_ENDPOINT_URL=endpoint, FSSPEC_S3_KEY="testing", FSSPEC_S3_SECRET="testing")
    else:
        (tmp_path / ".config/fsspec").mkdir(parents=True)
        (tmp_path / ".config/fsspec/store.json").write_text(
            f'{{"s3": {{"endpoint_url": "{endpoint}", "key": "testing", "secret": "testing"}}}}'
        )
    run = subprocess.run(
        [sys.executable, "-c", READ, url], env=environ, capture_output=True, text=True, timeout=120
    )
    assert run.stdout == "['here']\n", run.stderr


def test_without_s3fs_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import _registry

    monkeypatch.delitem(_registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UnsupportedError, match=r"Hint: pip install 'penstock\[s3\]'"):
        storage_for("s3://bucket/a")

"""What holds for every test of the project, the doctests in ``src`` included.

* Hypothesis profiles ``default``, ``long``: by ``HYPOTHESIS_PROFILE`` or ``--hypothesis-profile``.
* ``PENSTOCK_FIXED=1``, which CI sets, draws the same random examples in every run: what fails there fails
  because of the change, not of the day. Without it, each run looks where none has looked before.
* ``PENSTOCK_NO_SKIP=1`` makes a skipped test a failed one: what CI does not run, it does not vouch for.
* Tests that ask for ``spark_cluster``, a Spark cluster on this machine, run one after the other: a program on
  it takes all of its cores.
* A test marked ``timing`` has the machine to itself, as far as this run is concerned, and comes first; then
  come those marked ``long(minutes=...)``, the longest first.
* ``seed``: a random number per test, printed when the test fails; ``PENSTOCK_SEED`` brings a run back.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from penstock.testing.cluster import LocalCluster

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

FIXED = os.environ.get("PENSTOCK_FIXED") == "1"

# Every field is named, because Hypothesis changes its own defaults when it finds itself in CI.
settings.register_profile(
    "default",
    max_examples=100,
    deadline=None,  # a deadline measures the machine, not the code
    derandomize=FIXED,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", settings.get_profile("default"), max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Register the habits as plugins: as hooks of this file they would not see the doctests of ``src``."""
    seed = 0 if FIXED else random.randrange(2**32)
    os.environ.setdefault("PENSTOCK_SEED", str(seed))  # xdist's workers inherit it
    # In the background of a script Ctrl-C is ignored, and the programs that tests start would inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("PENSTOCK_NO_SKIP") == "1":
        config.pluginmanager.register(NoSkip(), "penstock-no-skip")
    if hasattr(config, "workerinput"):  # this is one of xdist's workers
        config.pluginmanager.register(Turns(Path(os.environ["PENSTOCK_TURNS"])), "penstock-turns")
    else:
        folder = tempfile.mkdtemp(prefix="penstock-turns-")
        config.add_cleanup(partial(shutil.rmtree, folder))
        os.environ["PENSTOCK_TURNS"] = folder


def pytest_report_header() -> str:
    """Say how to bring this run's random tests back."""
    return f"random tests: PENSTOCK_SEED={os.environ['PENSTOCK_SEED']}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A number that this test has to itself in this run, the same again under the same PENSTOCK_SEED."""
    run = os.environ["PENSTOCK_SEED"]
    digest = hashlib.sha256(f"{run} {request.node.nodeid}".encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    print(f"seed {number} of the run PENSTOCK_SEED={run}")  # pytest shows it if the test fails
    return number


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """The URL of an S3 server of ``tests.storage.servers``, by name; started when it is first asked for."""
    from tests.storage.servers import running

    with ExitStack() as stack:
        urls: dict[str, str] = {}

        def url(name: str) -> str:
            for package in ("s3fs", name):
                pytest.importorskip(package, reason=f"no {package}: pip install 'penstock[test]'")
            if name not in urls:
                urls[name] = stack.enter_context(running(name, tmp_path_factory.mktemp(name)))
            return urls[name]

        yield url


@pytest.fixture(scope="session")
def spark_cluster() -> Iterator[LocalCluster]:
    """A Spark cluster of two workers with one core each, for all tests of the run that want one.

    Who kills a worker of it starts another. A program on it is a process of its own, or stops its context.
    """
    from penstock.errors import UnsupportedError
    from penstock.testing.cluster import LocalCluster

    try:
        cluster = LocalCluster()
    except UnsupportedError as missing:
        pytest.skip(str(missing))
    with cluster:
        yield cluster


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what needs the cluster in one of xdist's processes: there is one cluster, not one for each. Begin
    with those that want the machine to themselves, since nobody else may begin while one of them waits for
    the others to end, and go on with the longest, so that no process ends long after the others."""
    for item in items:
        if "spark_cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("spark"))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, float]:
    long = item.get_closest_marker("long")
    return item.get_closest_marker("timing") is None, -long.kwargs.get("minutes", 0) if long else 0


class NoSkip:
    """Fails what was skipped: in a test, by a mark, while collecting. Expected failures stay as they are."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        return self._failed_if_skipped((yield))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        return self._failed_if_skipped((yield))

    def _failed_if_skipped(self, report: Report) -> Report:
        if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            report.outcome = "failed"
            report.longrepr = f"PENSTOCK_NO_SKIP=1 allows no skips. {reason}"
        return report


class Turns:
    """Lets many tests run at a time, or one that is marked ``timing``, across the processes of a run.

    ::

        ordinary   gate -> room (shared)       leave the gate, test, leave the room
        timing     gate -> room (alone)        leave the gate, test, leave the room

    The gate makes it fair: who waits for the room alone keeps the gate, so that nobody enters before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        alone = item.get_closest_marker("timing") is not None
        with (self._folder / "room").open("w") as room:
            with self._locked("gate"):
                fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            return (yield)  # closing the file unlocks it

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self._folder / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

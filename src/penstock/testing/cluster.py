"""An Apache Spark cluster on this machine: a master and workers, each a process of its own, as they come with
PySpark. ``python -m penstock.testing.cluster`` starts one and says how to use it.

It listens on the loopback address only, on free ports, and keeps its files in a temporary folder. Nothing of
it outlives the process that made it, however that ends; a folder is left where that was ``kill -9``. It needs
PySpark 4 or newer (which is not imported), and Java 17 or newer.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from penstock.clock import SystemClock
from penstock.errors import ArgumentError, StateError, UnsupportedError
from penstock.testing.processes import Guard, Process, kill_all, processes_of

__all__ = ["LocalCluster", "spark_home"]

_HOST = "127.0.0.1"
_TRIES = 3
_PATIENCE_S = 120.0  # as JVMs start slowly where others are at work
_LOOK_EVERY_S = 0.05
_JAVA_MIN = 17
_JAVA_ON_DEBIAN = "apt install default-jre-headless"
_LEAST_MB = 512
_EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
_PYTHON_DAEMON = "-m pyspark.daemon"
_LOG_END = 4_000


def spark_home() -> Path:
    """Where the installed PySpark keeps Spark. An :class:`UnsupportedError`, with a hint how to get what is
    missing, if there is no PySpark with Spark in it, or no Java to run it."""
    _java()
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise UnsupportedError("a Spark cluster needs PySpark. Hint: pip install 'penstock[spark]'.")
    package = Path(spec.origin).resolve().parent
    for home in (package / "spark-distribution", package):
        if (home / "bin" / "spark-class").is_file() and (home / "jars").is_dir():
            return home
    raise UnsupportedError(
        f"the PySpark in {package} has no Spark in it: it is a client for Spark Connect. "
        f"Hint: pip uninstall pyspark-client; pip install 'penstock[spark]'."
    )


class LocalCluster:
    """A Spark standalone cluster: a master, and ``workers`` of ``cores`` cores and ``memory_mb`` MB each.

    It is there when the constructor returns: the master answers, and all workers are alive. Otherwise an
    :class:`UnsupportedError` says what is not installed, or a :class:`StateError` what did not start. At the
    end of the ``with`` block, on :meth:`close` and when this process ends, its processes and files are gone.

    With ``hosts`` workers take turns on so many loopback addresses, from 127.0.0.1 on, and Spark takes them
    for so many machines. More than one is there on Linux alone.

    ``environment`` is put on top of this process's variables for all processes of the cluster, Python workers
    included. Of these variables, the ones that steer Spark or Python (``SPARK_...``, ``PYSPARK_...``,
    ``PYTHON...``) are left out, so that code reaches the workers only as it would reach other machines.

    ::

        with LocalCluster(workers=2) as cluster:
            sc = pyspark.SparkContext(cluster.url, "example")
    """

    def __init__(
        self,
        workers: int = 2,
        cores: int = 1,
        memory_mb: int = 1024,
        *,
        hosts: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if workers < 1 or cores < 1 or hosts < 1:
            raise ArgumentError(f"workers={workers}, cores={cores}, hosts={hosts}: all must be 1 or more")
        if memory_mb < _LEAST_MB:
            raise ArgumentError(
                f"memory_mb={memory_mb}: Spark starts no executor in so little. Hint: {_LEAST_MB} or more, "
                f"and 1024 unless programs set spark.executor.memory."
            )
        self._home = spark_home()
        self._cores, self._memory_mb, self._hosts = cores, memory_mb, hosts
        self._clock = SystemClock()
        self._folder = Path(tempfile.mkdtemp(prefix="penstock-cluster-"))
        self._environment = self._variables(environment or {})
        self._guard = Guard()
        self._started: list[subprocess.Popen[bytes]] = []
        self._workers: list[tuple[subprocess.Popen[bytes], int]] = []  # with their ports
        self._closed = False
        atexit.register(self.close)
        try:
            self._master, self._port, self._page_port = self._start_master()
            for _ in range(workers):
                self._launch_worker()
            self._await_workers(range(workers))
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """What to give to a context as its master: ``spark://127.0.0.1:...``."""
        return f"spark://{_HOST}:{self._port}"

    @property
    def page(self) -> str:
        """The master's page, which lists workers and programs."""
        return f"http://{_HOST}:{self._page_port}"

    def status(self) -> dict[str, Any]:
        """What the master says of itself (its ``/json/``): ``workers``, each with ``id``, ``port``, ``state``
        (``ALIVE``, ``DEAD``, ...) and ``coresused``, ``activeapps``, ``completedapps``, and more."""
        status = _json(self._page_port)
        if status is None:
            raise StateError(f"the master of {self.url} does not answer on {self.page}/json/")
        return status

    def worker_states(self) -> list[str]:
        """The state of each worker, in the order in which they were started, as the master sees it."""
        states = {worker["port"]: worker["state"] for worker in self.status()["workers"]}
        return [states.get(port, "UNKNOWN") for _, port in self._workers]

    # ------------------------------------------------------------------------ what tests do to a cluster

    def start_worker(self) -> int:
        """Start one more worker and wait until it is alive; its number."""
        number = self._launch_worker()
        self._await_workers([number])
        return number

    def kill_worker(self, number: int) -> None:
        """``kill -9`` to worker ``number`` (the first is 0) and all that runs under it, as if its machine had
        lost power. Returns when its processes have ended and the master has noticed it."""
        worker, port = self._workers[number]
        kill_all(worker.pid)
        worker.wait()

        def noticed() -> bool:
            return self.worker_states()[number] not in ("ALIVE", "UNKNOWN")

        self._wait(noticed, f"the master does not notice that the worker on port {port} has gone")

    def executors(self, worker: int | None = None) -> list[int]:
        """The processes that run programs' tasks, of one worker or of all: their pids."""
        return [each.pid for each in self._processes_of(worker) if _EXECUTOR in each.command]

    def kill_executors(self, worker: int | None = None) -> list[int]:
        """``kill -9`` to the executors that are there, and wait until they have ended; their pids. The worker
        starts others."""
        return self._killed(self.executors(worker))

    def python_workers(self, worker: int | None = None) -> list[int]:
        """The processes that run tasks' Python, without the daemons that fork them: their pids."""
        processes = self._processes_of(worker)
        daemons = [each for each in processes if _PYTHON_DAEMON in each.command]
        pids = {each.pid for each in daemons}
        return [each.pid for each in daemons if each.parent in pids]

    def kill_python_workers(self, worker: int | None = None) -> list[int]:
        """``kill -9`` to the Python workers that are there, and wait until they have ended; their pids."""
        return self._killed(self.python_workers(worker))

    def processes(self) -> list[Process]:
        """All processes of the cluster."""
        return processes_of(*(process.pid for process in self._started))

    def _killed(self, pids: list[int]) -> list[int]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait(lambda: {*pids}.isdisjoint(each.pid for each in self.processes()), "killed processes live")
        return pids

    def _processes_of(self, worker: int | None) -> list[Process]:
        chosen = self._workers if worker is None else [self._workers[worker]]
        return processes_of(*(process.pid for process, _ in chosen))

    # ------------------------------------------------------------------------------------ start and end

    def close(self) -> None:
        """Kill all processes, remove all files. Again: nothing happens."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._guard.end()
        for process in self._started:
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _variables(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SPARK_", "PYSPARK_", "PYTHON"))
        }
        for name in ("conf", "local", "temporary", "work"):
            (self._folder / name).mkdir()
        return {
            **kept,
            "SPARK_HOME": str(self._home),
            "SPARK_CONF_DIR": str(self._folder / "conf"),  # nobody's settings but ours
            "SPARK_LOCAL_DIRS": str(self._folder / "local"),
            "SPARK_LOCAL_IP": _HOST,
            "SPARK_PUBLIC_DNS": _HOST,
            "SPARK_DAEMON_MEMORY": "256m",
            # For submitting by REST there is one port, which two clusters could not share.
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
            # A port that somebody took meanwhile ends the process: we try another, and so know which it is.
            "SPARK_DAEMON_JAVA_OPTS": "-Dspark.port.maxRetries=0 -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
            "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={self._folder / 'temporary'} -XX:-UsePerfData",
            "TMPDIR": str(self._folder / "temporary"),
            **more,
        }

    def _start_master(self) -> tuple[subprocess.Popen[bytes], int, int]:
        for _ in range(_TRIES):
            port, page = _free_port(), _free_port()
            arguments = ["--host", _HOST, "--port", str(port), "--webui-port", str(page)]
            process = self._launch("master.Master", arguments)

            def there(process: subprocess.Popen[bytes] = process, port: int = port, page: int = page) -> bool:
                status = _json(page)
                return process.poll() is not None or (status or {}).get("url") == f"spark://{_HOST}:{port}"

            self._wait(there, "the master does not answer")
            if process.poll() is None:
                return process, port, page
        self._not_started("a master ended as soon as it began")

    def _launch_worker(self) -> int:
        port, number = _free_port(), len(self._workers)
        self._workers.append((self._run_worker(port, number), port))
        return number

    def _run_worker(self, port: int, number: int) -> subprocess.Popen[bytes]:
        host = _HOST if self._hosts == 1 else f"127.0.0.{1 + number % self._hosts}"
        arguments = [
            "--host", host, "--port", str(port), "--webui-port", "0",
            "--cores", str(self._cores), "--memory", f"{self._memory_mb}M",
            "--work-dir", str(self._folder / "work"),
            self.url,
        ]  # fmt: skip
        return self._launch("worker.Worker", arguments)

    def _await_workers(self, numbers: Any) -> None:
        tries = dict.fromkeys(numbers, 1)

        def there() -> bool:
            for number in tries:
                process, _ = self._workers[number]
                if process.poll() is not None:
                    if tries[number] == _TRIES:
                        self._not_started("a worker ended as soon as it began")
                    tries[number] += 1
                    port = _free_port()
                    self._workers[number] = (self._run_worker(port, number), port)
            states = self.worker_states()
            return all(states[number] == "ALIVE" for number in tries)

        self._wait(there, "not all workers are known to the master")

    def _launch(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [str(self._home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
        with (self._folder / f"log-{len(self._started)}").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        self._guard.watch(process.pid)
        self._started.append(process)
        return process

    def _wait(self, done: Callable[[], bool], otherwise: str) -> None:
        end_ns = self._clock.elapsed_ns() + int(_PATIENCE_S * 1e9)
        pause = threading.Event()
        while not done():
            if self._clock.elapsed_ns() > end_ns:
                self._not_started(f"{otherwise} after {_PATIENCE_S:.0f} s")
            pause.wait(_LOOK_EVERY_S)

    def _not_started(self, what: str) -> NoReturn:
        logs = sorted(self._folder.glob("log-*"))
        told = "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-_LOG_END:]}" for log in logs)
        raise StateError(f"the Spark cluster has a fault: {what}\n{told}")


def _java() -> None:
    """Raise if there is no Java that Spark takes."""
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    hint = f"Hint: Java {_JAVA_MIN} or newer, on the PATH or in JAVA_HOME; on Debian, {_JAVA_ON_DEBIAN}."
    if java is None or not os.access(java, os.X_OK):
        where = f"in JAVA_HOME={home}" if home else "on the PATH"
        raise UnsupportedError(f"a Spark cluster needs Java, and there is none {where}. {hint}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', told)
    if version is None or int(version[1]) < _JAVA_MIN:
        raise UnsupportedError(f"Spark does not run on {java}, which says: {told.strip()}. {hint}")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((_HOST, 0))
        return int(sock.getsockname()[1])


def _json(port: int) -> dict[str, Any] | None:
    """What a master says on its page's port; ``None`` if nobody does, or it is not a master."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=10)  # no proxy is asked
    try:
        connection.request("GET", "/json/", headers={"Connection": "close"})
        found = json.loads(connection.getresponse().read())
        return found if isinstance(found, dict) else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


# --------------------------------------------------------------------------------------------- the command


@contextlib.contextmanager
def _until_told() -> Iterator[threading.Event]:
    """An event that Ctrl-C and ``kill`` set."""
    told = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    """The command: a cluster until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock.testing.cluster",
        description="A Spark cluster on this machine, until Ctrl-C: a master and workers as processes.",
    )
    parser.add_argument("--workers", type=int, default=2, help="how many; default %(default)s")
    parser.add_argument("--cores", type=int, default=1, help="of each worker; default %(default)s")
    parser.add_argument("--memory-mb", type=int, default=1024, help="of each worker; default %(default)s")
    options = parser.parse_args()
    with _until_told() as told:
        try:
            cluster = LocalCluster(options.workers, options.cores, options.memory_mb)
        except (ArgumentError, StateError, UnsupportedError) as error:
            parser.exit(1, f"penstock: {error}\n")
        with cluster:
            print(
                f"A Spark cluster of {options.workers} workers:  {cluster.url}\n"
                f"Its page:                     {cluster.page}\n"
                f"PySpark's shell on it:        MASTER={cluster.url} pyspark\n"
                f"In a program:                 SparkContext({cluster.url!r}, 'name')\n"
                f"Ctrl-C ends it.",
                flush=True,
            )
            while not told.wait(1):  # a bare wait() would keep signals out on some systems
                pass
    print("The cluster has ended.", flush=True)


if __name__ == "__main__":
    main()

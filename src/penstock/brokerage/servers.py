"""Servers for a demonstration, in processes of their own: a cluster of Kafka's client, and moto's S3."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from penstock.errors import StorageError, UnsupportedError

__all__ = ["kafka_cluster", "s3_server"]

_CLUSTER: Final = """
import sys
from confluent_kafka import Producer
owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
[broker] = owner.list_topics(timeout=30).brokers.values()
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""
_STORE: Final = """
import os, sys, threading
from moto.server import main
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
main(sys.argv[1:])
"""  # it ends with us, however we end
_KEYS: Final = {"key": "testing", "secret": "testing"}
_LOOKS, _LOOK_S = 300, 0.1


@contextmanager
def kafka_cluster() -> Iterator[str]:
    """The mock cluster that Kafka's client has in itself: real connections, and nothing on disk. Its address.

    Topics are there as soon as somebody writes to them, with four partitions, of which the newest 5 MB each
    are kept. ``UnsupportedError`` where the client is not installed.
    """
    _must_have("confluent_kafka", "a demonstration over Kafka", "pip install 'penstock[kafka]'")
    with subprocess.Popen(
        [sys.executable, "-c", _CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise StorageError("the cluster of the demonstration does not start")
            yield address
        finally:
            process.kill()


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """moto's server, which keeps objects in memory; within the block ``s3://`` leads to it, in this process.
    The name of a bucket there.

    ``UnsupportedError`` where moto or s3fs is not installed.
    """
    _must_have("s3fs", "a demonstration over S3", "pip install 'penstock[s3]'")
    _must_have("moto.server", "a demonstration over S3", "pip install 'moto[server]'")
    import fsspec

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}
    with (
        (folder / "s3-server.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", _STORE, "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environ,
        ) as process,
    ):
        try:
            _wait_for(process, port, folder / "s3-server.log")
            region = {"client_kwargs": {"region_name": "us-east-1"}}
            before: Any = fsspec.config.conf.get("s3")
            fsspec.config.conf["s3"] = {"endpoint_url": f"http://127.0.0.1:{port}", **_KEYS, **region}
            try:
                bucket = f"penstock-{uuid.uuid4().hex}"
                fsspec.filesystem("s3").call_s3("create_bucket", Bucket=bucket)
                yield bucket
            finally:
                if before is None:
                    del fsspec.config.conf["s3"]
                else:
                    fsspec.config.conf["s3"] = before
        finally:
            process.kill()


def _wait_for(process: subprocess.Popen[Any], port: int, log: Path) -> None:
    for _ in range(_LOOKS):
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            try:
                process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                continue
            break
        return
    raise StorageError(f"the S3 server of the demonstration does not start; see {log}")


def _must_have(module: str, what: str, hint: str) -> None:
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # what the module is in is missing
        found = False
    if not found:
        raise UnsupportedError(f"{what} needs {module.partition('.')[0]}. Hint: {hint}.")

"""librdkafka's own mock cluster, in a process of its own: real TCP, no disk, topics as soon as somebody
writes to them, with four partitions each, of which the newest 5 MB are kept.

What it does not do is not tested with it: compaction, control records and watermarks that go back (see
``test_gaps.py``), and transactions at all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

PARTITIONS = 4

_SCRIPT = """
import sys
from confluent_kafka import Producer
owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
[broker] = owner.list_topics(timeout=30).brokers.values()
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


class Broker:
    """A cluster of one broker. ``address`` is for ``bootstrap.servers``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address, "the cluster did not start"
        self._producer: Any = None

    @property
    def params(self) -> dict[str, Any]:
        # Unlike a broker it does not answer a fetch that waits before the time is up.
        fast = {"fetch.wait.max.ms": 10}
        return {"bootstrap.servers": self.address, "auto.offset.reset": "earliest", **fast}

    def send(self, topic: str, messages: Iterable[Any], partition: int | None = None) -> None:
        """Values, or (key, value), or (key, value, headers); to one partition, or in turn."""
        from confluent_kafka import Producer

        if self._producer is None:
            self._producer = Producer(
                {"bootstrap.servers": self.address, "log_level": 0, "compression.type": "lz4"}
            )
        failed: list[Any] = []
        for number, message in enumerate(messages):
            whole = (*message, None)[:3] if isinstance(message, tuple) else (None, message, None)
            key, value, headers = whole
            while True:
                try:
                    self._producer.produce(
                        topic,
                        value,
                        key,
                        partition=number % PARTITIONS if partition is None else partition,
                        headers=headers or [],
                        on_delivery=lambda error, _: failed.append(error) if error else None,
                    )
                    break
                except BufferError:
                    self._producer.poll(0.05)
        assert self._producer.flush(60) == 0
        assert failed == []

    def stall(self) -> None:
        """From now on it does not answer, as behind a broken network."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        if self._process.poll() is None:
            self.go_on()
            self._process.kill()
        self._process.communicate()


def messages_of(broker: Broker, topic: str, count: int) -> list[Any]:
    """The first ``count`` messages of a topic, as the client has them, by partition and offset."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[Any] = []
    for _ in range(100):
        found += [message for message in consumer.consume(count, 0.2) if not message.error()]
        if len(found) >= count:
            break
    consumer.close()
    assert len(found) == count
    return sorted(found, key=lambda message: (message.partition(), message.offset()))


def until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again, for half a minute at most."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen")

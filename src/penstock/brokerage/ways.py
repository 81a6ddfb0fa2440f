"""How the orders of the demonstration get from their file into the stream, and which of them a batch had."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, Final

from penstock.brokerage.feed_files import feed_files
from penstock.brokerage.feed_kafka import feed_kafka
from penstock.brokerage.feed_lines import Acknowledged, Unacknowledged
from penstock.brokerage.servers import kafka_cluster, s3_server
from penstock.clients.kafka import Cluster, consumer_settings
from penstock.errors import PenstockError
from penstock.scheduler.listener import StreamInputInfo
from penstock.sources import Intent, is_visible
from penstock.sources.receivers.outgoing import shown_address
from penstock.storage import storage_for

__all__ = ["WAYS", "DemoFailed", "Way"]

_HOST: Final = "127.0.0.1"
_TOPIC: Final = "orders"
_PATIENCE_MS: Final = 30_000

Share = Any
"""What a batch had of the orders: how many, or which messages."""


class DemoFailed(PenstockError):
    """The figures of the stream are not those of the direct computation, or it cannot begin."""


class Way(ABC):
    """One way: ``source`` is the file, of which ``lines`` are sent every ``every_s`` seconds, and ``folder``
    is that of the demonstration. To be entered before anything else is asked for, and left at the end.

    ``input`` is what the stream reads; ``kept`` what a demonstration that goes on with this one must know, or
    ``None`` if none can.
    """

    acked = False
    part = "part"

    def __init__(self, source: Path, folder: Path, lines: int, every_s: float) -> None:
        self.source, self.folder, self.lines, self.every_s = source, folder, lines, every_s
        self.quit = Event()
        self.stack = ExitStack()
        self.input = ""
        self.kept: Any = None

    def __enter__(self) -> Way:
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def prepare(self, kept: Any) -> None:
        """Make what is needed before the stream starts; ``kept`` is that of an interrupted demonstration."""

    @abstractmethod
    def intro(self) -> str:
        """What happens to the parts of the file: a sentence without its beginning."""

    @abstractmethod
    def feed(self) -> None:
        """Send all that an earlier demonstration has not sent, or until ``quit`` is set."""

    def share(self, found: StreamInputInfo) -> Share:
        """What a batch had."""
        return found.numRecords

    def recalled(self, intent: Intent) -> Share:
        """What a batch had, as a checkpoint tells it."""
        return intent.records or 0

    def count(self, share: Share) -> int:
        """How many orders that were, at most."""
        return int(share)

    def batches(self, whole: Iterator[bytes], shares: Iterable[Share | None]) -> Iterator[Iterable[bytes]]:
        """The lines of each batch; ``None`` is one that did not run. What none had is left in ``whole``."""
        for share in shares:
            yield islice(whole, 0 if share is None else share)


class _Files(Way):
    """Files that appear in a directory."""

    part = "file"

    def prepare(self, kept: Any) -> None:
        self.input, self.kept = str(self.folder / "input"), True
        Path(self.input).mkdir(exist_ok=True)

    def intro(self) -> str:
        return f"go into {self.input}, one every {self.every_s:g} s."

    def feed(self) -> None:
        storage, directory = storage_for(self.input)
        there = 0
        try:
            there = sum(map(is_visible, storage.list_names(directory).files))
        except FileNotFoundError:  # of a store that knows no empty directories
            pass
        feed_files(
            self.source, self.input, self.lines, self.every_s, skip_lines=there * self.lines, stop=self.quit
        )

    def share(self, found: StreamInputInfo) -> Share:
        return len(found.metadata["files"]) * self.lines

    def recalled(self, intent: Intent) -> Share:
        return len(intent.items) * self.lines


class _S3(_Files):
    """Files that appear in a bucket of a server of our own."""

    def prepare(self, kept: Any) -> None:
        self.input = f"s3://{self.stack.enter_context(s3_server(self.folder))}/input"


class _Connection(Way):
    """Lines through a connection."""

    def prepare(self, kept: Any) -> None:
        self._sender = self.stack.enter_context(
            Unacknowledged(self.source, _HOST, 0, self.lines, self.every_s, stop=self.quit)
        )
        self.input = shown_address(_HOST, self._sender.port)

    def intro(self) -> str:
        return f"go through a connection, {self.input}, one every {self.every_s:g} s."

    def feed(self) -> None:
        self._sender.send()


class _Acked(Way):
    """Lines through a connection, which are acknowledged."""

    acked = True

    def prepare(self, kept: Any) -> None:
        port = kept if isinstance(kept, int) else 0
        self._sender = self.stack.enter_context(
            Acknowledged(self.source, _HOST, port, self.lines, self.every_s, stop=self.quit)
        )
        self.kept = self._sender.port
        self.input = shown_address(_HOST, self.kept)

    def intro(self) -> str:
        return f"go through a connection, {self.input}, one every {self.every_s:g} s, and are acknowledged."

    def feed(self) -> None:
        self._sender.send()


class _Kafka(Way):
    """Messages of a topic of a cluster of our own. The line of number ``n`` is in partition
    ``n % partitions``, there with the offset ``n // partitions``."""

    def prepare(self, kept: Any) -> None:
        self._servers = self.stack.enter_context(kafka_cluster())
        cluster = Cluster(consumer_settings({"bootstrap.servers": self._servers})[0], _PATIENCE_MS)
        self.stack.callback(cluster.close)
        self._cluster = cluster
        self.input = f"kafka://{self._servers}/{_TOPIC}"

    def intro(self) -> str:
        return f"go to {self.input}, one every {self.every_s:g} s."

    def feed(self) -> None:
        feed_kafka(self.source, self._servers, _TOPIC, self.lines, self.every_s, stop=self.quit)

    def share(self, found: StreamInputInfo) -> Share:
        return found.metadata["offsets"]

    def count(self, share: Share) -> int:
        return sum(until - begin for _, _, begin, until in share)

    def batches(self, whole: Iterator[bytes], shares: Iterable[Share | None]) -> Iterator[Iterable[bytes]]:
        lines = list(whole)
        count = len(self._cluster.partitions([_TOPIC])[_TOPIC])
        taken = 0
        for share in shares:
            numbers = [
                offset * count + partition
                for _, partition, begin, until in share or ()
                for offset in range(begin, until)
            ]
            taken += len(numbers)
            yield [lines[number] for number in numbers]
        if taken != len(lines):
            raise DemoFailed(f"{taken:,} of the {len(lines):,} lines of {self.source} came into a batch")


WAYS: dict[str, type[Way]] = {
    "files": _Files,
    "tcp": _Connection,
    "acked": _Acked,
    "kafka": _Kafka,
    "s3": _S3,
}
"""All ways, by the name that ``--over`` has for them."""

"""Senders for tests of sockets, and a program that takes what they send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from penstock import Context, StreamingContext, StreamingListener
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.sources import ReceiverSource
from penstock.sources.receivers.line_protocol import LineSender
from penstock.testing import Stepper

__all__ = ["WAIT_S", "Acked", "Heard", "Program", "Server"]

WAIT_S = 20.0
_STEPS = 4_000


class Server:
    """Listens, and hands each connection to the next of some functions. What they raise comes at the end."""

    def __init__(self, *serve: Callable[[socket.socket], object]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self._error: BaseException | None = None
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            for serve in self._serve:
                connection, _ = self._server.accept()
                with connection:
                    serve(connection)
        except BaseException as error:
            self._error = error

    def __exit__(self, *error: object) -> None:
        self._thread.join(WAIT_S)
        self._server.close()
        if self._error is not None and error[0] is None:
            raise self._error


class Heard(StreamingListener):
    """What a listener hears of receivers and batches."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.infos: list[Any] = []
        self.metadata: list[Any] = []
        self.records: list[int] = []

    def onReceiverStarted(self, receiverStarted: Any) -> None:
        self.events.append(("started", ""))

    def onReceiverError(self, receiverError: Any) -> None:
        self.events.append(("error", receiverError.receiverInfo.lastErrorMessage))
        self.infos.append(receiverError.receiverInfo)

    def onReceiverStopped(self, receiverStopped: Any) -> None:
        self.events.append(("stopped", receiverStopped.receiverInfo.lastErrorMessage))

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        for info in batchCompleted.batchInfo.streamIdToInputInfo.values():
            self.metadata.append(info.metadata)
            self.records.append(info.numRecords)


class Program:
    """A program on the manual clock: what ``make`` makes of a context is collected."""

    def __init__(
        self,
        sc: Context,
        make: Callable[[StreamingContext], DStream],
        *,
        path: str | None = None,
        now_ms: int = 500,
        upgrade: bool = True,
    ) -> None:
        self.clock = ManualClock(now_ms)
        self.seen: list[Any] = []
        self.batches: dict[float, list[Any]] = {}
        self.heard = Heard()

        def setup() -> StreamingContext:
            ssc = StreamingContext(sc, 1, clock=self.clock)
            make(ssc).foreachRDD(self._see)
            return ssc

        if path is None:
            self.ssc = setup()
        else:
            self.ssc = StreamingContext.getOrCreate(path, setup, upgrade=upgrade, clock=self.clock)
        self.ssc.addStreamingListener(self.heard)
        self._stepper = Stepper(self.ssc, self.clock)

    def _see(self, time: Any, rdd: Any) -> None:
        found = rdd.collect()
        self.seen += found
        self.batches[time.timestamp()] = found

    def __enter__(self) -> Program:
        self._stepper.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._stepper.__exit__(*error)

    @property
    def source(self) -> ReceiverSource:
        found = self.ssc.graph.inputs[0].source
        assert isinstance(found, ReceiverSource)
        return found

    @property
    def address(self) -> tuple[str, int]:
        """Where its receiver listens, once it does."""
        self.until(lambda: self.receiver.address is not None)
        found: tuple[str, int] = self.receiver.address
        return found

    @property
    def receiver(self) -> Any:
        return self.source.receiver

    def step(self) -> None:
        self._stepper.step()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for what other threads do; the clock stands still."""
        pause = threading.Event()
        for _ in range(_STEPS):
            if condition():
                return
            pause.wait(0.005)
        raise AssertionError(f"it never came to that; seen {self.seen[-5:]}, heard {self.heard.events[-5:]}")

    def step_until(self, condition: Callable[[], object]) -> None:
        """Run batches until something holds."""

        def stepped() -> object:
            self.step()
            return condition()

        self.until(stepped)

    def take(self, count: int) -> list[Any]:
        """Run batches until so many records have come, and one batch more."""
        self.step_until(lambda: len(self.seen) >= count)
        self.step()
        return self.seen


class Acked:
    """A sender of acknowledged lines, step by step."""

    def __init__(self, address: tuple[str, int], stream: str = "s") -> None:
        self._socket = socket.create_connection(address, timeout=WAIT_S)
        self._file = self._socket.makefile("rb")
        self.sender = LineSender(stream)

    def hello(self) -> int:
        self.raw(self.sender.hello())
        return self.answer()

    def answer(self) -> int:
        return self.sender.answered(self._file.readline())

    def send(self, data: bytes) -> int:
        self.raw(self.sender.frame(data))
        return self.answer()

    def raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def begin(self, data: bytes) -> int:
        """Send what is taken before the other side is silent for a while; how much that was."""
        sent = 0
        self._socket.settimeout(0.5)
        try:
            while sent < len(data):
                sent += self._socket.send(data[sent : sent + (1 << 20)])
        except TimeoutError:
            pass
        finally:
            self._socket.settimeout(WAIT_S)
        return sent

    @property
    def at_end(self) -> bool:
        """Whether the receiver has closed the connection."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._file.close()
        self._socket.close()

"""``python -m benchmarks.sending FILE``: a process that sends the lines of a file to whoever connects.

It says its port on standard output once all is in memory, so that it is never what is waited for. With
``--first N`` it sends so many lines, and the others when a line comes on standard input. ``--acked`` speaks
the protocol of acknowledged lines.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.engines import ROOT

__all__ = ["sender"]

_FRAME_LINES = 10_000


@contextmanager
def sender(file: Path, *arguments: str) -> Iterator[tuple[int, Any]]:
    """A sender at work: its port, and the process."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sending", str(file), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sending", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--acked", action="store_true")
    options = parser.parse_args()
    if options.acked:
        _acknowledged(options.file)
    else:
        _plain(options.file, options.first)


def _plain(file: Path, first: int) -> None:
    data = memoryview(file.read_bytes())
    begin = _after(data, first)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
        with connection:
            connection.sendall(data[:begin])
            if first:
                sys.stdin.readline()
            connection.sendall(data[begin:])
            sys.stdin.readline()  # open until nobody needs it: some receivers connect again at its end


def _after(data: memoryview, lines: int) -> int:
    """Where so many lines are over."""
    at, whole = 0, data.obj
    assert isinstance(whole, bytes)
    for _ in range(lines):
        at = whole.index(b"\n", at) + 1
    return at


def _acknowledged(file: Path) -> None:
    from penstock.sources.receivers.line_sender import ReliableLineSender

    lines = file.read_bytes().splitlines(keepends=True)
    blocks = [b"".join(lines[at : at + _FRAME_LINES]) for at in range(0, len(lines), _FRAME_LINES)]
    del lines

    def blocks_from(first: int) -> Iterator[bytes]:
        assert first % _FRAME_LINES == 0, "nothing breaks here"
        yield from blocks[first // _FRAME_LINES :]

    with ReliableLineSender("orders", blocks_from, "127.0.0.1", 0, listen=True) as lines_sender:
        print(lines_sender.port, flush=True)
        lines_sender.send()


if __name__ == "__main__":
    main()

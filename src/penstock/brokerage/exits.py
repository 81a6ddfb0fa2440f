"""How a command ends: exit codes, one-line messages, and signals as requests to stop.

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage, 130 stopped with
Ctrl-C, 143 stopped with SIGTERM.
"""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from penstock.errors import PenstockError, UsageError

__all__ = ["ExitCodeCommand", "ExitCodeGroup", "StopRequest", "sigterm_as_exit", "stop_request"]

_EXIT_INTERRUPTED = 128 + signal.SIGINT


class ExitCodeCommand(click.Command):
    """A command that ends with the exit codes above, whatever it raises as failures.

    Penstock's errors and the operating system's become one line and a code; anything else is a
    programming error and keeps its traceback. The command's function just raises.

    >>> ExitCodeCommand(name="tool").name
    'tool'
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(_EXIT_INTERRUPTED)
        except UsageError as problem:
            raise click.UsageError(_one_line(str(problem)), ctx) from problem
        except PenstockError as problem:
            raise click.ClickException(_one_line(str(problem))) from problem
        except OSError as problem:
            if problem.errno == errno.EPIPE:  # whoever read our output has gone: click ends quietly
                raise
            where = f"{problem.filename}: " if problem.filename is not None else ""
            raise click.ClickException(_one_line(f"{where}{problem.strerror or problem}")) from problem


class ExitCodeGroup(click.Group):
    """A group whose commands are :class:`ExitCodeCommand`, those of the groups in it too.

    >>> ExitCodeGroup(name="tools").name
    'tools'
    """

    command_class = ExitCodeCommand
    group_class = type


def _one_line(message: str) -> str:
    return " ".join(message.split())


class StopRequest:
    """Whether someone asked the command to stop: ``event`` is set then, and ``exit_code`` says how.

    ``exit_code`` is 0 before that, then 130 for Ctrl-C or 143 for SIGTERM.

    >>> StopRequest().event.is_set(), StopRequest().exit_code
    (False, 0)
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.exit_code = 0


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Take Ctrl-C and SIGTERM, while the block runs, as a request to stop at the next good moment.

    A second signal acts as it did before the block, so that a command that hangs can still be ended.
    Outside the main thread, where Python allows no signal handlers, the request never comes.

    >>> with stop_request() as request:
    ...     request.event.is_set()
    False
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def on_signal(number: int, frame: FrameType | None) -> None:
        restore()
        request.exit_code = 128 + number
        # From a thread of its own: the signal may have come while this one holds the event's lock.
        threading.Thread(target=request.event.set, name="penstock-stop", daemon=True).start()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield request
    finally:
        restore()


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM raise ``SystemExit(143)`` while the block runs, so that what is half done is cleaned up.

    Outside the main thread SIGTERM does what it did before.

    >>> with sigterm_as_exit():
    ...     pass
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)

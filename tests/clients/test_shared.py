"""One object per process, whoever asks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings

import cloudpickle
import pytest

from penstock import Shared
from penstock.errors import SignatureError


class Connection:
    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = 0


def test_threads_that_ask_at_once_get_the_same() -> None:
    begin, made = threading.Barrier(8), []
    handle = Shared(lambda: made.append(1) or Connection("a"))
    found: list[Connection] = []

    def ask() -> None:
        begin.wait()
        found.append(handle.get())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert made == [1]


def test_copies_of_a_handle_share_the_object() -> None:
    handle = Shared(Connection, "a")
    copy = cloudpickle.loads(cloudpickle.dumps(handle))
    assert copy.get() is handle.get()
    assert Shared(Connection, "a").get() is not handle.get()


def test_what_was_closed_is_made_anew() -> None:
    handle = Shared(Connection, "a", close=lambda made: setattr(made, "closed", made.closed + 1))
    handle.close()  # nothing is there yet
    first = handle.get()
    handle.close()
    handle.close()
    assert first.closed == 1
    assert handle.get() is not first


def test_a_failure_to_make_is_raised_and_tried_again() -> None:
    attempts = []

    def make() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("nobody listens")
        return "made"

    handle = Shared(make)
    with pytest.raises(ConnectionError):
        handle.get()
    assert handle.get() == "made"


class Ends:
    """Something whose end would be wrong in another process, as a client with threads is."""

    def __init__(self, ended: int) -> None:
        self.ended = ended

    def __del__(self) -> None:
        os.write(self.ended, b"x")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_does_not_end_what_is_not_its_own() -> None:
    reading, writing = os.pipe()
    handle = Shared(Ends, writing)
    handle.get()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    handle.close()
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.close(writing)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_makes_its_own() -> None:
    handle = Shared(Connection, "a")
    mine = handle.get()
    with warnings.catch_warnings():  # newer Pythons warn of threads, which the child does not use
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os._exit(0 if handle.get() is not mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert handle.get() is mine


FORKS = """
import os
from penstock import Shared


class Connection:
    def __del__(self, getpid=os.getpid, write=os.write, owner=os.getpid()):
        if getpid() != owner:
            write(1, b"goodbye")


connection = Shared(Connection)
connection.get()
child = os.fork()
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_that_ends_as_others_do_leaves_them_too() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, check=True, timeout=60)
    assert ended.stdout == b""


def test_what_cannot_make_is_refused() -> None:
    with pytest.raises(SignatureError):
        Shared("db:5432")

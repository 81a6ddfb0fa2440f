"""Whole scripts in processes of their own: how they end, and what they say."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

HEAD = """
import logging, sys
from penstock import *
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
sc = Context("local[2]", "script")
"""


def script(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output and errors of a script that ends by itself."""
    out, errors = process.communicate(timeout=100)
    return process.returncode, out, errors


def test_a_script_that_ends_without_waiting_stops_and_says_so() -> None:
    code, _, errors = ended(
        script("""
        ssc = StreamingContext(sc, 0.01)
        ssc.queueStream([[1]]).foreachRDD(lambda rdd: rdd.collect())
        ssc.start()
        """)
    )
    assert code == 0
    assert "the script ended without awaitTermination(), so the streaming context was stopped after" in errors
    assert "Traceback" not in errors


def test_the_batch_that_runs_meanwhile_can_still_use_the_thread_pool() -> None:
    code, out, errors = ended(
        script("""
        import threading
        begun = threading.Event()
        def slow(rdd):
            begun.set()
            for _ in range(10):
                threading.Event().wait(0.05)
                assert rdd.map(lambda x: x + 1).sum() == sum(range(1, 50_001))
            print("whole", flush=True)
        ssc = StreamingContext(sc, 0.01)
        ssc.queueStream([sc.parallelize(list(range(50_000)), 4)]).foreachRDD(slow)
        ssc.start()
        begun.wait()
        """)
    )
    assert (code, out) == (0, "whole\n"), errors
    assert "Traceback" not in errors


def test_with_the_setting_the_end_of_a_script_is_graceful() -> None:
    code, out, errors = ended(
        script("""
        import threading
        sc.conf.set("spark.streaming.stopGracefullyOnShutdown", "true")
        late = threading.Event()
        def slow(rdd):
            late.wait(0.3)
            print(rdd.collect(), flush=True)
        ssc = StreamingContext(sc, 0.05)
        ssc.queueStream([[i] for i in range(1000)]).foreachRDD(slow)
        ssc.start()
        while ssc.driver._machine.waiting < 4:
            late.wait(0.01)
        """)
    )
    assert code == 0, errors
    assert len(out.splitlines()) >= 5
    assert out.splitlines()[:5] == ["[0]", "[1]", "[2]", "[3]", "[4]"]


def test_a_script_that_fails_ends_all_the_same() -> None:
    code, _, errors = ended(
        script("""
        ssc = StreamingContext(sc, 0.01)
        ssc.queueStream([]).pprint(0)
        ssc.start()
        raise SystemExit(7)
        """)
    )
    assert code == 7, errors


def test_a_script_that_has_waited_says_nothing() -> None:
    code, out, errors = ended(
        script("""
        ssc = StreamingContext(sc, 0.01)
        ssc.queueStream([[1], [2]]).foreachRDD(lambda rdd: print(rdd.collect(), flush=True))
        ssc.start(availableNow=True)
        ssc.awaitTermination()
        """)
    )
    assert (code, out, errors) == (0, "[1]\n[2]\n", "")


def test_an_error_of_a_batch_ends_a_script_that_waits() -> None:
    code, _, errors = ended(
        script("""
        ssc = StreamingContext(sc, 0.01)
        ssc.queueStream([[0]]).map(lambda x: 1 // x).pprint()
        ssc.start()
        ssc.awaitTermination()
        """)
    )
    assert code == 1
    assert "ZeroDivisionError" in errors
    assert "in map (<string>:" in errors
    assert "of the output pprint (<string>:" in errors


@pytest.mark.parametrize("caught", [False, True])
def test_ctrl_c_while_it_waits(caught: bool) -> None:
    process = script(f"""
    ssc = StreamingContext(sc, 0.02)
    ssc.queueStream([]).foreachRDD(lambda rdd: print("batch", flush=True))
    try:
        ssc.start()
        print("waits", flush=True)
        ssc.awaitTermination()
    except KeyboardInterrupt:
        if not {caught}:
            raise
        ssc.stop(stopGraceFully=True)
        print("stopped", flush=True)
    """)
    assert process.stdout is not None
    told = ""
    while not ("batch" in told and "waits" in told):  # in either order, from two threads
        line = process.stdout.readline()
        assert line, told
        told += line
    process.send_signal(signal.SIGINT)
    code, out, errors = ended(process)
    if caught:
        assert code == 0, errors
        assert out.endswith("stopped\n")
    else:
        assert code in (1, 130, -signal.SIGINT)
        assert "KeyboardInterrupt" in errors
    assert "ended without awaitTermination" not in errors


def test_a_signal_handler_may_stop_it() -> None:
    process = script("""
    import signal
    ssc = StreamingContext(sc, 0.02)
    ssc.queueStream([]).foreachRDD(lambda rdd: print("batch", flush=True))
    signal.signal(signal.SIGTERM, lambda number, frame: ssc.stop(stopGraceFully=True))
    ssc.start()
    ssc.awaitTermination()
    print("stopped", flush=True)
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "batch\n"
    process.send_signal(signal.SIGTERM)
    code, out, errors = ended(process)
    assert (code, errors) == (0, "")
    assert out.endswith("stopped\n")


def test_stopping_from_within_a_batch_ends_a_script_that_waits() -> None:
    code, out, errors = ended(
        script("""
        ssc = StreamingContext(sc, 0.01)
        def enough(time, rdd):
            print("batch", flush=True)
            ssc.stop()
        ssc.queueStream([]).foreachRDD(enough)
        ssc.start()
        ssc.awaitTermination()
        Context("local[1]", "another").stop()
        """)
    )
    assert (code, out, errors) == (0, "batch\n", "")

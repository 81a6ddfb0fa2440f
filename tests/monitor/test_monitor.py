"""The monitor of a stream in this process: when there is a page, what it says, and that nothing needs it."""

from __future__ import annotations

import gc
import importlib.util
import io
import json
import logging
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context, StateSpec, StreamingContext, StreamingListener
from penstock.clock import ManualClock
from penstock.monitor import monitor as monitor_module
from penstock.monitor.progress import ProgressLine
from penstock.testing import Stepper, run_batches
from tests.monitor.conftest import until
from tests.monitor.test_health import alive, over

Build = Callable[[StreamingContext], None]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "_AFTER_S", 0.0)
    monkeypatch.setattr(monitor_module, "_said", False)


class Streams:
    """Streams with a page, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: list[StreamingContext] = []

    def start(
        self, build: Build | None = None, *, checkpoint: bool = False, **settings: str
    ) -> StreamingContext:
        conf = Conf().set("spark.ui.port", "0")
        for key, value in settings.items():
            conf.set(key.replace("_", "."), value)
        sc = Context("local[2]", "monitored", conf=conf)
        ssc = StreamingContext(sc, 0.05)
        sc.setCheckpointDir(str(self._folder / "rdds"))
        if checkpoint:
            ssc.checkpoint(str(self._folder / "checkpoint"))
        (build or _plain)(ssc)
        self._open.append(ssc)
        ssc.start()
        return ssc

    def stop(self) -> None:
        for ssc in self._open:
            ssc.stop()


def _plain(ssc: StreamingContext) -> None:
    ssc.queueStream([[1, 2, 3]]).foreachRDD(lambda rdd: None)


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    streams = Streams(tmp_path)
    yield streams
    streams.stop()


def page_of(ssc: StreamingContext) -> str:
    until(lambda: ssc.uiWebUrl is not None)
    assert ssc.uiWebUrl is not None
    return ssc.uiWebUrl


def figures_read(text: str) -> list[Any]:
    """As the client library of Prometheus reads them."""
    parser = pytest.importorskip("prometheus_client.parser", reason="Hint: pip install prometheus-client")
    return list(parser.text_string_to_metric_families(text))


def ask(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}{path}", timeout=10) as answer:
        text = answer.read().decode()
        return json.loads(text) if "json" in answer.headers["content-type"] else text


def test_a_started_stream_has_a_page_that_ends_with_it(
    streams: Streams, capsys: pytest.CaptureFixture[str]
) -> None:
    ssc = streams.start()
    url = page_of(ssc)
    assert ssc.sparkContext.uiWebUrl == url
    assert ask(url, "api/v1/application")["name"] == "monitored"
    assert "<title>" in ask(url, "")
    ssc.stop()
    assert ssc.uiWebUrl is None
    with pytest.raises(urllib.error.URLError):
        ask(url, "api/v1/application")
    assert capsys.readouterr().err.count(f"penstock: the stream's page is at {url}\n") == 1


def test_what_the_page_needs_is_left_alone_by_the_garbage_collector_too(streams: Streams) -> None:
    frozen: list[int] = []
    ssc = streams.start(
        lambda ssc: ssc.queueStream([]).foreachRDD(lambda rdd: frozen.append(gc.get_freeze_count()))
    )
    page_of(ssc)
    until(lambda: frozen[-1] > frozen[0])
    ssc.stop()
    until(lambda: gc.get_freeze_count() == 0)


def test_what_the_api_says_is_what_listeners_hear(streams: Streams) -> None:
    heard: dict[int, Any] = {}

    class Heard(StreamingListener):
        def onBatchCompleted(self, batchCompleted: Any) -> None:
            heard[batchCompleted.batchInfo.batchTime] = batchCompleted.batchInfo

    def build(ssc: StreamingContext) -> None:
        ssc.addStreamingListener(Heard())
        ssc.queueStream([[("a", 1), ("b", 1)], [("a", 2)]]).updateStateByKey(
            lambda values, state: sum(values) + (state or 0)
        ).name("sums").foreachRDD(lambda rdd: rdd.count())

    url = page_of(streams.start(build))
    until(lambda: len(heard) >= 3)
    batches = {
        each["time"]: each for each in ask(url, "api/v1/batches")["batches"] if each["status"] == "completed"
    }
    for time_ms, info in list(heard.items())[:3]:
        batch = batches[time_ms]
        assert batch["records"] == info.numRecords
        assert batch["processingTime"] == round(info.processingDelay, 3)
        assert batch["schedulingDelay"] == round(info.schedulingDelay, 3)
        assert batch["state"][0]["keys"] == info.stateOperatorInfos[0].numKeys
        one = ask(url, f"api/v1/batches/{time_ms}")
        assert f"{time_ms}" in one["story"]


def test_a_receiver_that_runs_is_there_from_the_start(streams: Streams) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def build(ssc: StreamingContext) -> None:
            ssc.socketTextStream("127.0.0.1", listening.getsockname()[1]).foreachRDD(lambda rdd: rdd.count())

        ssc = streams.start(build, spark_streaming_backpressure_enabled="true")
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"one\ntwo\n")
            url = page_of(ssc)
            until(lambda: ask(url, "api/v1/inputs")[0]["records"] == 2)
            [receiver] = ask(url, "api/v1/receivers")
            assert (receiver["input"], receiver["active"]) == ("socketTextStream-1", True)
            [family] = [f for f in figures_read(ask(url, "metrics")) if f.name == "penstock_receiver_active"]
            assert [(each.labels["input"], each.value) for each in family.samples] == [
                ("socketTextStream-1", 1)
            ]
            until(lambda: connection.sendall(b"more\n") or ask(url, "api/v1/inputs")[0]["limit"] is not None)
        ssc.stop()


def test_no_more_batches_are_kept_than_the_setting_says(streams: Streams) -> None:
    ssc = streams.start(spark_streaming_ui_retainedBatches="3")
    url = page_of(ssc)
    until(lambda: ask(url, "api/v1/application")["totals"]["batches"] >= 6)
    found = ask(url, "api/v1/batches?status=completed")["batches"]
    assert len(found) == 3
    assert all("story" not in each and "error" not in each for each in found)


def test_state_is_asked_by_key_while_batches_run(streams: Streams) -> None:
    def counted(key: Any, value: int, state: Any) -> None:
        state.update((state.getOption() or 0) + value)

    def build(ssc: StreamingContext) -> None:
        pairs = ssc.queueStream([[(("a", 1), 5), ("b", 7)], [("b", 1)]])
        pairs.mapWithState(StateSpec.function(counted)).name("seen").foreachRDD(lambda rdd: rdd.count())

    ssc = streams.start(build)
    url = page_of(ssc)
    until(lambda: ssc.state("seen").get("b") == 8)
    assert ask(url, "api/v1/state/seen?key=%22b%22")["value"] == 8
    assert ask(url, "api/v1/state/seen?key=%5B%22a%22%2C1%5D")["value"] == 5
    assert ask(url, "api/v1/state/seen")["keys"] == 2
    assert len(ask(url, "api/v1/state/seen?limit=1")["items"]) == 1
    [listed] = ask(url, "api/v1/state")
    assert (listed["name"], listed["keys"], listed["canBeAsked"]) == ("seen", 2, True)
    for path, status, words in (
        ("nothing?key=1", 404, "There is seen."),
        ("seen?key=%22c%22", 404, 'seen has no key \\"c\\"'),
        ("seen?key=b", 400, "a key is given as JSON"),
        ("seen?limit=0", 400, "limit must be a whole number"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url, f"api/v1/state/{path}")
        assert refused.value.code == status
        assert words in refused.value.read().decode()
        refused.value.close()


def test_a_batch_that_fails_is_told_with_the_users_line(streams: Streams) -> None:
    def build(ssc: StreamingContext) -> None:
        ssc.queueStream([[1, 0]]).map(lambda n: 1 // n).foreachRDD(lambda rdd: rdd.collect())

    url = page_of(streams.start(build))
    [failed] = ask(url, "api/v1/batches?status=failed")["batches"]
    assert failed["cause"]["what"].startswith("ZeroDivisionError")
    assert f"{__file__}:" in failed["cause"]["where"]


def test_a_batch_that_runs_shows_the_output_that_runs(streams: Streams) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def waits(rdd: Any) -> None:
        if rdd.collect() == [2]:
            begun.set()
            go_on.wait(20)

    def build(ssc: StreamingContext) -> None:
        numbers = ssc.queueStream([[1], [2], [3]])
        numbers.foreachRDD(lambda rdd: None)
        numbers.foreachRDD(waits)

    url = page_of(streams.start(build))
    assert begun.wait(10)
    until(lambda: bool(ask(url, "api/v1/batches?status=running")["batches"]))
    [batch] = ask(url, "api/v1/batches?status=running")["batches"]
    assert [each["status"] for each in batch["outputs"]] == ["completed", "running"]
    until(lambda: ask(url, "api/v1/application")["waiting"] > 0)
    assert ask(url, "api/v1/application")["lag"] > 0
    go_on.set()
    until(lambda: ask(url, f"api/v1/batches/{batch['time']}")["status"] == "completed")


def test_no_page_if_the_setting_says_so(streams: Streams) -> None:
    ssc = streams.start(spark_ui_enabled="false")
    until(lambda: ssc.driver.finished_batches >= 3)
    assert ssc._monitor is None
    assert not ssc._bus.wanted  # nobody listens, so nothing is posted
    assert ssc.uiWebUrl is None


def test_the_test_kit_never_has_a_page() -> None:
    before = set(threading.enumerate())
    with Context("local[2]", "kit") as sc:
        clock = ManualClock()
        ssc = StreamingContext(sc, 1, clock=clock)
        ssc.queueStream([[1]]).foreachRDD(lambda rdd: None)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            assert ssc._monitor is None
            assert not ssc._bus.wanted
        assert run_batches([[1]], lambda numbers: numbers) == [[1]]
        begun = {thread.name for thread in set(threading.enumerate()) - before}
    watching = ("penstock-listeners", "penstock-monitor", "penstock-pages", "penstock-batch-log")
    assert not begun.intersection(watching)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_a_program_runs_as_ever(
    streams: Streams, missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    with caplog.at_level(logging.INFO, "penstock"):
        ssc = streams.start()
        until(lambda: ssc.driver.finished_batches >= 2)
        ssc.stop()
    assert caplog.text.count("pip install 'penstock[ui]'") == 1
    assert [record.levelname for record in caplog.records if "penstock[ui]" in record.getMessage()] == [
        "INFO"
    ]


def test_the_servers_fall_does_not_touch_the_stream(
    streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    ssc = streams.start()
    page_of(ssc)
    assert ssc._monitor is not None
    server = ssc._monitor.server
    assert server is not None

    async def falls(*arguments: Any) -> bool:
        raise RuntimeError("the roof")

    server._server.shutdown = falls
    server._server.leave()
    until(lambda: not server.running)
    done = ssc.driver.finished_batches
    until(lambda: ssc.driver.finished_batches >= done + 3)
    assert ssc.uiWebUrl is None
    assert ssc.driver.error is None
    assert "the stream goes on" in caplog.text


def test_a_port_that_cannot_be_had_does_not_touch_the_stream(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from penstock.monitor import server

    def refused(*arguments: Any, **more: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(server.socket, "create_server", refused)
    ssc = streams.start()
    until(lambda: "there is no page of this stream" in caplog.text)
    done = ssc.driver.finished_batches
    until(lambda: ssc.driver.finished_batches >= done + 3)
    assert caplog.text.count("there is no page") == 1


def test_another_address_needs_the_token_that_is_printed(
    streams: Streams, capsys: pytest.CaptureFixture[str]
) -> None:
    ssc = streams.start(penstock_ui_host="0.0.0.0")
    url = page_of(ssc)
    port = url.rstrip("/").rpartition(":")[2]
    local = f"http://127.0.0.1:{port}/"
    until(lambda: ssc._monitor is not None and ssc._monitor.server is not None)
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        ask(local, "api/v1/application")
    refused.value.close()
    printed: list[str] = []
    until(lambda: bool(printed.append(capsys.readouterr().err) or "token=" in "".join(printed)))
    token = "".join(printed).rpartition("token=")[2].split()[0]
    question = urllib.request.Request(
        f"{local}api/v1/application", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(question, timeout=10) as answer:
        assert json.load(answer)["name"] == "monitored"
    assert "token" not in url


def test_the_batch_log_lies_beside_the_checkpoint_with_or_without_a_page(
    streams: Streams, tmp_path: Path
) -> None:
    from penstock.monitor.ended import ended_in

    def files(ssc: StreamingContext) -> None:
        (tmp_path / "in").mkdir()
        ssc.textFileStream(str(tmp_path / "in"), newFilesOnly=False).foreachRDD(lambda rdd: rdd.count())
        (tmp_path / "in" / "a.txt").write_text("1\n2\n")

    ssc = streams.start(files, checkpoint=True, spark_ui_enabled="false")
    until(lambda: ssc.driver.finished_batches >= 2)
    ssc.stop()
    application = ended_in(str(tmp_path / "checkpoint"), ManualClock())
    assert application.history.totals()["batches"] == ssc.driver.finished_batches
    assert application.history.totals()["records"] == 2
    assert application.history.end is not None
    assert application.history.end["error"] is None
    assert application.history.over()[0]["story"]


def test_a_slow_listener_of_the_users_delays_the_page_and_no_batch(streams: Streams) -> None:
    go_on = threading.Event()

    class Slow(StreamingListener):
        def onBatchStarted(self, batchStarted: Any) -> None:
            go_on.wait(20)

    def build(ssc: StreamingContext) -> None:
        ssc.addStreamingListener(Slow())
        _plain(ssc)

    ssc = streams.start(build)
    until(lambda: ssc.driver.finished_batches >= 5)
    assert ssc.uiWebUrl is None
    go_on.set()
    page_of(ssc)


# ------------------------------------------------------------------------------------- the terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_is_cleared_before_anybody_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    line = ProgressLine(alive(over(1000)))
    line.begin()
    line.draw()
    print("a result")
    line.draw()
    line.end()
    assert sys.stdout is terminal
    clear = "\r\x1b[2K"
    shown = "1 batch, 1 record, 1/s, lag 0.0 s"
    assert terminal.getvalue() == f"{clear}{shown}{clear}a result\n{clear}{shown}{clear}{shown}\n"


def test_what_goes_into_a_file_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setattr(sys, "stderr", terminal)
    line = ProgressLine(alive(over(1000)))
    line.begin()
    line.draw()
    print("a result")
    line.end()
    assert file.getvalue() == "a result\n"


def test_the_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "20")
    line = ProgressLine(alive(over(1000)))
    line.begin()
    line.draw()
    assert len(terminal.getvalue().rpartition("\x1b[2K")[2]) <= 19
    line.end()


def test_a_run_with_a_progress_line(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    def build(ssc: StreamingContext) -> None:
        ssc.queueStream([[f"record {n}"] for n in range(5)]).pprint()

    ssc = streams.start(build, spark_ui_enabled="false", spark_ui_showConsoleProgress="true")
    until(lambda: ssc.driver.finished_batches >= 7)
    ssc.stop()
    assert sys.stdout is terminal
    lines = terminal.getvalue().split("\n")
    assert [line for line in lines if line.endswith("record 3")]
    for line in lines:  # what is seen of a line is what stands behind the last clearing
        seen = line.rpartition("\x1b[2K")[2]
        assert not ("lag" in seen and "record 3" in seen)
    assert "batches, 5 records" in terminal.getvalue()


def test_no_line_where_there_is_no_terminal(streams: Streams, capsys: pytest.CaptureFixture[str]) -> None:
    ssc = streams.start(spark_ui_enabled="false", spark_ui_showConsoleProgress="true")
    until(lambda: ssc.driver.finished_batches >= 2)
    ssc.stop()
    assert "\x1b" not in capsys.readouterr().err


# ---------------------------------------------------------------------------------- the command line


def test_the_command_shows_a_summary(streams: Streams, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from penstock.cli import main

    def files(ssc: StreamingContext) -> None:
        (tmp_path / "in").mkdir()
        ssc.textFileStream(str(tmp_path / "in")).foreachRDD(lambda rdd: rdd.count())

    ssc = streams.start(files, checkpoint=True)
    until(lambda: ssc.driver.finished_batches >= 2)
    ssc.stop()
    done = CliRunner().invoke(main, ["monitor", str(tmp_path / "checkpoint"), "--text"])
    assert done.exit_code == 0, done.output
    assert "monitored, every" in done.output
    assert f"batches   {ssc.driver.finished_batches}, 0 of them failed" in done.output
    missing = CliRunner().invoke(main, ["monitor", str(tmp_path / "nothing"), "--text"])
    assert missing.exit_code == 2
    assert "there is no batch log" in missing.output

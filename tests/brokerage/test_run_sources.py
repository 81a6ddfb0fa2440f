"""The dashboard over connections and topics: what it is told, what it reads, and what is refused where."""

from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from penstock.brokerage.direct import figures, report
from penstock.brokerage.drawing import Totals, summary
from penstock.brokerage.feed_lines import Acknowledged, Unacknowledged
from penstock.brokerage.generate import write_orders
from penstock.brokerage.options import Options
from penstock.brokerage.places import Kafka, Tcp
from penstock.brokerage.preflight import notes_before
from penstock.brokerage.run import _RejectsFile, run
from penstock.brokerage.view import View
from penstock.errors import ArgumentError
from penstock.sources import Reject
from penstock.storage import storage_for

ORDERS = 3_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "orders.txt"
    write_orders(path, ORDERS, seed=4, malformed=0.02)
    return path


def expected_of(source: Path) -> Any:
    """The figures after all lines, as one batch."""
    with source.open("rb") as whole:
        [batch] = figures([whole], 1, 1)
    return batch


def run_until_all(options: Options, count: int = ORDERS) -> tuple[View, str]:
    """Run until so many lines were orders or rejected; what was drawn, and what was said."""
    said = io.StringIO()
    view = View(Console(file=io.StringIO(), width=200), options, messages=Console(file=said, width=1000))
    late = threading.Timer(60, lambda: late_stop.set())
    late_stop = threading.Event()
    late.start()

    def enough(totals: Totals) -> bool:
        return totals.orders + totals.rejected >= count

    try:
        run(options, view, late_stop, enough=enough)
    finally:
        late.cancel()
    assert not late_stop.is_set(), f"only {view.totals.orders} orders came\n{said.getvalue()}"
    return view, said.getvalue()


@contextmanager
def sending(sender: Acknowledged | Unacknowledged) -> Iterator[Callable[[], None]]:
    thread = threading.Thread(target=sender.send)
    with sender:
        thread.start()
        yield lambda: thread.join(30)
        thread.join(30)
        assert not thread.is_alive()


def rejected_in(options: Options) -> list[tuple[str, int]]:
    """Source and number of each rejected line."""
    lines = options.rejects_file.read_text().splitlines()
    return [(line.split("\t")[0], int(line.split("\t")[1])) for line in lines]


# Reading


@pytest.mark.parametrize("acked", [False, True])
def test_lines_through_a_connection(acked: bool, source: Path, tmp_path: Path) -> None:
    kind = Acknowledged if acked else Unacknowledged
    sender = kind(source, "localhost", 0, 500, 0)
    url = f"tcp://localhost:{sender.port}"
    options = Options(url, str(tmp_path / "out" / "f"), interval_s=0.1, window_s=3600, acked=acked)
    with sending(sender):
        view, said = run_until_all(options)
    wanted = expected_of(source)
    assert view.totals.orders == wanted["buys"] + wanted["sells"]
    assert view.totals.clients == wanted["top_clients"]
    assert view.totals.stocks == wanted["top_stocks"]
    assert rejected_in(options) == [(url, number) for number, _ in wanted["rejected"]]
    lost = "Lines that are on their way when the connection or this run ends are lost."
    assert (lost in said) is not acked


@pytest.mark.parametrize("acked", [False, True])
def test_a_run_that_listens(acked: bool, source: Path, tmp_path: Path) -> None:
    probe = Unacknowledged(source, "localhost", 0)
    port = probe.port
    probe.close()
    url = f"tcp://localhost:{port}"
    options = Options(
        url, str(tmp_path / "out" / "f"), interval_s=0.1, window_s=3600, acked=acked, listen=True
    )
    kind = Acknowledged if acked else Unacknowledged
    with sending(kind(source, "localhost", port, 500, 0, listen=False)):
        view, _ = run_until_all(options)
    wanted = expected_of(source)
    assert view.totals.orders == wanted["buys"] + wanted["sells"]
    assert [number for _, number in rejected_in(options)] == [number for number, _ in wanted["rejected"]]


def test_a_second_run_goes_on_with_the_lines_that_follow(source: Path, tmp_path: Path) -> None:
    """The stream is at its end for now, and both sides stop; then it has grown, and both go on."""
    half = tmp_path / "half.txt"
    half.write_bytes(b"".join(source.read_bytes().splitlines(keepends=True)[:1_500]))
    sender = Acknowledged(half, "localhost", 0, 100, 0, stream_id="orders")
    url = f"tcp://localhost:{sender.port}"
    options = Options(url, str(tmp_path / "out" / "f"), interval_s=0.1, window_s=3600, acked=True)
    with sending(sender):
        first, _ = run_until_all(options, 1_500)
    with sending(Acknowledged(source, "localhost", sender.port, 100, 0, stream_id="orders")):
        second, said = run_until_all(options, 1_500)
    assert "Going on from the checkpoint" in said
    assert "what had been received and is in no complete batch is taken" in said
    wanted = expected_of(source)
    assert first.totals.orders + second.totals.orders == wanted["buys"] + wanted["sells"]
    assert second.totals.clients == wanted["top_clients"]
    assert rejected_in(options) == [(url, number) for number, _ in wanted["rejected"]]


def test_messages_of_a_topic(source: Path, tmp_path: Path) -> None:
    pytest.importorskip(
        "confluent_kafka", reason="needs confluent-kafka. Hint: pip install 'penstock[kafka]'."
    )
    from penstock.brokerage.feed_kafka import feed_kafka
    from penstock.brokerage.servers import kafka_cluster
    from penstock.clients.kafka import Sending, producer_settings

    with kafka_cluster() as servers:
        feed_kafka(source, servers, "orders", 500, 0)
        tombstone = Sending(producer_settings({"bootstrap.servers": servers}), "orders")
        tombstone.send(b"key", None, [], 0)
        tombstone.finish()
        url = f"kafka://{servers}/orders"
        options = Options(url, str(tmp_path / "out" / "f"), window_s=3600, available_now=True)
        view, _ = run_until_all(options)
    wanted = expected_of(source)
    assert view.totals.orders == wanted["buys"] + wanted["sells"]
    assert view.totals.clients == wanted["top_clients"]
    [written] = (tmp_path / "out").glob("f-*.txt/part-00000")
    assert written.read_text().splitlines() == report(wanted)
    rejected = rejected_in(options)
    assert len(rejected) == len(wanted["rejected"]) + 1
    assert {source for source, _ in rejected} == {url}


def test_a_message_without_a_value_is_rejected_and_stops_nothing(tmp_path: Path) -> None:
    kafka = pytest.importorskip(
        "confluent_kafka", reason="needs confluent-kafka. Hint: pip install 'penstock[kafka]'."
    )
    from penstock.brokerage.servers import kafka_cluster

    with kafka_cluster() as servers:
        producer = kafka.Producer({"bootstrap.servers": servers, "log_level": 0})
        producer.produce("orders", None, b"key", 0)
        producer.produce("orders", b"2016-03-22 20:25:28,1,80,EPE,710,51.00,B", None, 0)
        assert producer.flush(30) == 0
        options = Options(f"kafka://{servers}/orders", str(tmp_path / "f"), available_now=True)
        view, _ = run_until_all(options, 2)
        del producer
    assert (view.totals.orders, view.totals.rejected) == (1, 1)
    assert options.rejects_file.read_text().split("\t")[2] == "an empty line"


def test_a_line_that_is_too_long_counts_as_rejected(tmp_path: Path) -> None:
    source = tmp_path / "orders.txt"
    source.write_bytes(b"x" * 2_000_000 + b"\n2016-03-22 20:25:28,1,80,EPE,710,51.00,B\n")
    sender = Acknowledged(source, "localhost", 0, every_s=0)
    options = Options(f"tcp://localhost:{sender.port}", str(tmp_path / "f"), interval_s=0.2, acked=True)
    with sending(sender):
        view, _ = run_until_all(options, 2)
    assert (view.totals.orders, view.totals.rejected) == (1, 1)
    assert summary(view.totals, options, "Done").startswith("Done after")


# What is refused


@pytest.mark.parametrize(
    ("url", "more", "problem"),
    [
        ("tcp://localhost:9", {"max_files_per_batch": 1}, "--max-files-per-batch is for a directory"),
        ("tcp://localhost:9", {"max_files_per_batch": 1}, "spark.streaming.receiver.maxRate"),
        ("kafka://a/b", {"max_files_per_batch": 1}, "spark.streaming.kafka.maxRatePerPartition"),
        ("tcp://localhost:9", {"available_now": True}, "--available-now is for a directory or a topic"),
        ("in", {"listen": True}, "--listen is for lines through a connection"),
        ("s3://bucket/in", {"acked": True}, "--acked is for lines through a connection"),
        ("kafka://a/b", {"log": False}, "--no-log is for lines through a connection"),
        ("tcp://localhost", {}, "--input tcp://localhost has no port. Hint: tcp://localhost:9999."),
        ("kafka://a", {}, "--input kafka://a names no topic"),
    ],
)
def test_options_that_do_not_fit_the_input(url: str, more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Options(url, "out/f", **more)
    assert problem in str(caught.value)


def test_what_fits() -> None:
    assert Options("tcp://localhost:9", "out/f", listen=True, acked=True, log=False).place == Tcp(
        "localhost", 9
    )
    assert Options("kafka://a/b", "out/f", available_now=True).place == Kafka("a", "b")


def test_notes_on_what_may_be_lost(tmp_path: Path) -> None:
    out = str(tmp_path / "out" / "f")
    plain = Options("tcp://localhost:9", out)
    assert notes_before(plain, goes_on=False) == [
        "Lines that are on their way when the connection or this run ends are lost. "
        "Hint: --acked, here and at the sender, loses none."
    ]
    safe = Options("tcp://localhost:9", out, acked=True)
    assert notes_before(safe, goes_on=False) == []
    assert notes_before(safe, goes_on=True) == [
        f"Going on from the checkpoint in {out}-checkpoint: what had been received and is in no complete "
        "batch is taken. Hint: --fresh begins anew."
    ]
    [unlogged] = notes_before(Options("tcp://localhost:9", out, acked=True, log=False), goes_on=False)
    assert unlogged.startswith(
        "With --no-log, lines that were received and are in no complete batch are lost"
    )
    [topic] = notes_before(Options("kafka://a/b", out), goes_on=False)
    assert topic.startswith("Messages that are in the topic b already are left alone")
    assert notes_before(Options("kafka://a/b", out, available_now=True), goes_on=False) == []
    [on] = notes_before(Options("kafka://a/b", out), goes_on=True)
    assert "messages that came meanwhile are taken" in on


def test_outputs_in_a_store_that_knows_no_empty_directories(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    url = f"memory://{uuid.uuid4().hex}/out/figures"
    options = Options(str(tmp_path / "in"), url, available_now=True, rejects=str(tmp_path / "r.tsv"))
    assert notes_before(options, goes_on=False) == []
    storage, prefix = storage_for(url)
    storage.write_atomic(f"{prefix}-1000.txt/part-00000", b"")
    [note] = notes_before(options, goes_on=False)
    assert note.startswith("The figures of 1 batch of an earlier run")


# The file of rejects


def rejects(*numbers: int, source: str = "tcp://localhost:9") -> list[Reject]:
    return [Reject(source, number, "bad", "no order") for number in numbers]


def at(second: int) -> datetime:
    return datetime(2026, 1, 1, 0, 0, second)


def test_lines_that_are_alike_in_two_batches_are_both_kept(tmp_path: Path) -> None:
    """The numbers of lines begin anew with every connection."""
    file = _RejectsFile(tmp_path / "r.tsv", "", goes_on=False)
    assert file.append(at(1), rejects(1, 2)) == 2
    assert file.append(at(2), rejects(1, 2)) == 2
    assert len((tmp_path / "r.tsv").read_text().splitlines()) == 4


def test_a_batch_that_is_run_again_writes_nothing_twice(tmp_path: Path) -> None:
    file = _RejectsFile(tmp_path / "r.tsv", "", goes_on=False)
    file.append(at(1), rejects(1))
    file.append(at(2), rejects(1, 2))
    assert file.append(at(2), rejects(1, 2)) == 2
    assert len((tmp_path / "r.tsv").read_text().splitlines()) == 3


@pytest.mark.parametrize("written", range(5))
def test_a_run_that_goes_on_completes_what_a_dead_one_wrote(written: int, tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    _RejectsFile(path, "", goes_on=False).append(at(1), rejects(7, 8))
    whole = len(path.read_bytes())
    _RejectsFile(path, "", goes_on=True).append(at(2), rejects(1, 2, 3))
    every = path.read_bytes()
    path.write_bytes(every[: whole + (len(every) - whole) * written // 4])  # it died while it wrote
    again = _RejectsFile(path, "", goes_on=True)
    assert again.append(at(2), rejects(1, 2, 3)) == 3
    assert path.read_bytes() == every
    again.append(at(3), rejects(3))
    assert len(path.read_bytes().splitlines()) == 6


def test_a_line_without_a_source_has_that_of_the_input(tmp_path: Path) -> None:
    file = _RejectsFile(tmp_path / "r.tsv", "kafka://a/b", goes_on=False)
    file.append(at(1), rejects(1, source=""))
    assert (tmp_path / "r.tsv").read_text() == "kafka://a/b\t1\tno order\tbad\n"

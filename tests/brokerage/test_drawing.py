"""What the dashboard looks like, on a console that is a text."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from rich.cells import cell_len
from rich.console import Console

from penstock.brokerage.drawing import Shown, Totals, header, line, summary, table
from penstock.brokerage.options import Options
from penstock.scheduler import BatchInfo
from penstock.scheduler.listener import StreamInputInfo

TIME = round(datetime(2016, 3, 22, 20, 25, 30).timestamp() * 1000)
LIVE = Options("in", "out/figures", interval_s=5, window_s=60)
TOTALS = Totals(
    batches=12,
    orders=119_500,
    rejected=57,
    buys=4_900,
    sells=5_050,
    refused=3,
    clients=[(80, 12_345_678_905), (7, 99), (1, 5)],
    stocks=[("EPE", 1_234_567), ("BRK.B", 20)],
)


def batch(
    time: int = TIME, delay_ms: float = 182.4, failure: str | None = None, waiting: int = 0
) -> BatchInfo:
    metadata = {"files": ["a", "b"], "waiting": waiting, "changed": 0}
    source = StreamInputInfo(0, 10_000, metadata)
    return BatchInfo(time, time, {0: source}, processingDelay=delay_ms, failureReason=failure)


def drawn(shown: Shown, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, record=True)
    console.print(table(shown, width))
    return console.export_text()


def test_the_whole_table() -> None:
    shown = Shown(LIVE, TOTALS, newest=batch(), now_ms=TIME + 400)
    assert [row.rstrip() for row in drawn(shown).splitlines()] == [
        "──────────────────────── Brokerage  2016-03-22 20:25:30 ────────────────────────",
        "from  in",
        "to    out/figures-<ms>.txt",
        "",
        "orders per second              1,990    batches                12, one every 5 s",
        "buys                           4,900    processing time            182 ms of 5 s",
        "sells                          5,050    files                            2 taken",
        "orders so far                119,500    rejected lines                        57",
        "",
        "  top clients          amount so far      top securities     volume, last minute",
        "1 80                  123,456,789.05    1 EPE                          1,234,567",
        "2 7                             0.99    2 BRK.B                               20",
        "3 1                             0.05    3",
        "4                                       4",
        "5                                       5",
        "────────────────────────────────────────────────────────────────────────────────",
        "next batch at 20:25:35",
    ]


def test_before_the_first_batch_it_is_as_tall_as_later() -> None:
    first = drawn(Shown(LIVE, Totals(), now_ms=TIME))
    assert len(first.splitlines()) == 17
    assert "orders per second" in first
    assert "next batch at 20:25:35" in first


@pytest.mark.parametrize("width", [20, 40, 79, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_or_100(width: int) -> None:
    huge = Totals(
        batches=10**6,
        orders=10**12,
        rejected=10**9,
        buys=10**11,
        sells=10**11,
        clients=[(10**18 - 1, 10**20)] * 5,
        stocks=[("ABCDEFGHIJKL", 10**15)] * 5,
    )
    options = Options("주문/" * 20, "결과/大" * 9 + "/figures", interval_s=5, window_s=60)
    failure = "Traceback\n  File\nValueError: " + "가나다 " * 40
    text = drawn(Shown(options, huge, newest=batch(delay_ms=1e9, failure=failure), now_ms=TIME), width)
    assert max(map(cell_len, text.splitlines())) <= min(width, 100)


@pytest.mark.parametrize("width", [50, 80, 100])
def test_nothing_of_a_large_figure_is_lost(width: int) -> None:
    totals = Totals(batches=1, clients=[(10**18 - 1, 8 * 10**20 + 8)], stocks=[("ABCDEFGHIJKL", 7 * 10**15)])
    ranking = drawn(Shown(LIVE, totals, newest=batch()), width).partition("top clients")[2]
    assert ranking.count("9") == 18
    assert ranking.count("8") == 2
    assert ranking.count("0") == 19 + 15
    assert all(letter in ranking for letter in "ABCDEFGHIJKL")


def test_a_table_fits_a_terminal_of_24_lines_with_a_warning() -> None:
    shown = Shown(LIVE, TOTALS, newest=batch(delay_ms=7_000), now_ms=TIME, waiting=3)
    text = drawn(shown)
    assert len(text.splitlines()) <= 23
    assert "processing takes longer than the interval, 5 s" in text
    assert "7,000 ms of 5 s" in text
    assert "next batch at 20:25:35; 3 waiting" in text


def test_a_failed_batch() -> None:
    failure = (
        'Traceback (most recent call last):\n  File "x.py", line 1\n'
        "penstock.errors.InputVanished: in/a.txt is gone\nin the batch 5 ms\n"
    )
    assert "FAILED: in/a.txt is gone" in drawn(Shown(LIVE, TOTALS, newest=batch(failure=failure)))
    assert line(Shown(LIVE, TOTALS, newest=batch(failure=failure))).plain == (
        "2016-03-22 20:25:30  FAILED: in/a.txt is gone"
    )


def test_a_batch_that_runs_and_those_that_wait() -> None:
    shown = Shown(LIVE, TOTALS, newest=batch(), running=batch(TIME + 5_000), waiting=2, now_ms=TIME + 15_100)
    assert drawn(shown).splitlines()[-1].rstrip() == "the batch of 2016-03-22 20:25:35 is running; 2 waiting"


def test_files_that_wait_their_turn() -> None:
    assert "2 taken, 1,500 waiting" in drawn(Shown(LIVE, TOTALS, newest=batch(waiting=1_500)))


def test_once_it_is_over_no_next_batch_is_promised() -> None:
    last = drawn(Shown(LIVE, TOTALS, newest=batch())).splitlines()[-1]
    assert set(last.strip()) == {"─"}


def test_nothing_is_read_as_markup() -> None:
    options = Options("[red]in[/]", "out/[bold]x", interval_s=5, window_s=60)
    text = drawn(Shown(options, TOTALS, newest=batch(failure="ValueError: [/nothing]")))
    for literal in ("[red]in[/]", "out/[bold]x-<ms>.txt", "[/nothing]"):
        assert literal in text


def test_with_available_now_the_rate_is_that_of_processing() -> None:
    options = Options("in", "out/figures", interval_s=5, window_s=60, available_now=True)
    shown = Shown(options, TOTALS, newest=batch(delay_ms=10_000), now_ms=TIME)
    assert shown.orders_per_s == 995
    assert shown.warning is None, "no batch waits for the clock, so none is late"
    assert shown.state == "taking the files that are there"


def test_lines_stand_under_their_headings() -> None:
    shown = Shown(LIVE, TOTALS, newest=batch())
    top, row = header(shown).plain, line(shown).plain
    assert row == (
        "2016-03-22 20:25:30      1,990      4,900      5,050         3       182  "
        "80 7 1               EPE BRK.B"
    )
    for heading, value in (("orders/s", "1,990"), ("buys", "4,900"), ("sells", "5,050"), ("ms", "182")):
        assert top.index(heading) + len(heading) == row.index(value) + len(value)
    for heading, value in (("top clients", "80 7 1"), ("top securities", "EPE")):
        assert top.index(heading) == row.index(value)


def test_lines_of_an_interval_of_half_a_second() -> None:
    options = Options("in", "out/figures", interval_s=0.5, window_s=60)
    on, between = (
        line(Shown(options, TOTALS, newest=batch(time, delay_ms=600))) for time in (TIME, TIME + 500)
    )
    assert on.plain.startswith("2016-03-22 20:25:30         19,900")
    assert between.plain.startswith("2016-03-22 20:25:30.500     19,900")
    assert between.plain.endswith("EPE BRK.B  (processing takes longer than the interval, 500 ms)")


def test_a_line_of_an_empty_batch() -> None:
    empty = line(Shown(LIVE, Totals(batches=1), newest=batch(delay_ms=2.0))).plain
    assert empty.split() == ["2016-03-22", "20:25:30", "0", "0", "0", "0", "2", "-", "-"]


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        (Totals(), "Done after 0 batches: nothing is written."),
        (
            Totals(batches=1, orders=1),
            "Done after 1 batch: 1 order, 0 lines rejected; figures in out/figures-<ms>.txt",
        ),
        (
            Totals(batches=1_000, failed=1, orders=2_000, rejected=1),
            "Done after 1,000 batches (1 failed): 2,000 orders, 1 line rejected "
            "(see out/figures-rejects.tsv); figures in out/figures-<ms>.txt",
        ),
    ],
)
def test_summary(totals: Totals, expected: str) -> None:
    assert summary(totals, LIVE, "Done") == expected


@pytest.mark.parametrize(
    ("url", "row"), [("tcp://localhost:9", "lines"), ("kafka://localhost:9/orders", "messages")]
)
def test_what_is_no_directory_has_no_files(url: str, row: str) -> None:
    """Its records are counted."""
    options = Options(url, "out/f", interval_s=5, window_s=60)
    text = drawn(Shown(options, TOTALS, newest=batch(), now_ms=TIME))
    [shown] = [line for line in text.splitlines() if "10,000 taken" in line]
    assert row in shown
    assert "files" not in text

"""The figures as a picture: a bar for each engine, as a ratio to its workload's base.

::

    W1  wall time for 500,000 orders in 50 files
    penstock       ======|======= 2.1
    pyarrow-loop         |        1.0       the line is where the base is; the scale is logarithmic,
    pyspark              |============ 90   so that ten times as much is everywhere as wide

SVG is written by hand: a library would be a dependency for a few rectangles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape

from benchmarks.measure import Figures
from benchmarks.report import shown_seconds
from benchmarks.runner import Results
from benchmarks.workload import Workload

__all__ = ["picture"]

_WIDTH, _LEFT, _RIGHT = 860, 150, 130  # pixels: all, names of engines, figures behind the bars
_ROW, _BAR, _HEAD, _GAP = 20, 13, 26, 10
_OURS, _OTHERS, _LINE, _INK = "#0b7285", "#adb5bd", "#495057", "#212529"


def picture(results: Results, workloads: Mapping[str, Workload]) -> str:
    """An SVG of all workloads whose base was measured.

    >>> from pathlib import Path
    >>> work = Workload("time", "loop", {"penstock": lambda folder: {}, "loop": lambda folder: {}})
    >>> drawn = picture({"W0": {"penstock": {"seconds": 3.0}, "loop": {"seconds": 1.0}}}, {"W0": work})
    >>> drawn.count("<rect"), "3.00 s (3.0)" in drawn
    (3, True)
    """
    shown = {name: engines for name, engines in results.items() if workloads[name].base in engines}
    ratios = [
        figures["seconds"] / engines[workloads[name].base]["seconds"]
        for name, engines in shown.items()
        for figures in engines.values()
    ]
    scale = _Scale(min([0.5, *ratios]), max([2.0, *ratios]))
    body: list[str] = []
    y = _GAP
    for name, engines in shown.items():
        body.append(_text(_GAP, y + 16, f"{name}  {workloads[name].unit}", weight="bold"))
        y += _HEAD
        body += _bars(engines, workloads[name].base, y, scale)
        y += _ROW * len(engines) + _GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
            f'viewBox="0 0 {_WIDTH} {y}" font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{y}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


class _Scale:
    """Ratios to pixels, logarithmically."""

    def __init__(self, least: float, greatest: float) -> None:
        self._least = math.log(least)
        self._span = math.log(greatest) - self._least

    def __call__(self, ratio: float) -> float:
        return _LEFT + (math.log(ratio) - self._least) / self._span * (_WIDTH - _LEFT - _RIGHT)


def _bars(engines: Mapping[str, Figures], base: str, y: int, scale: _Scale) -> Iterator[str]:
    one, unit = scale(1.0), engines[base]["seconds"]
    for row, (engine, figures) in enumerate(engines.items()):
        top, ratio = y + row * _ROW, figures["seconds"] / unit
        end = scale(ratio)
        left, width = min(one, end), max(abs(end - one), 1.0)
        fill = _OURS if engine == "penstock" else _OTHERS
        yield _text(_LEFT - 8, top + 12, engine, anchor="end")
        yield f'<rect x="{left:.1f}" y="{top + 1}" width="{width:.1f}" height="{_BAR}" fill="{fill}"/>'
        yield _text(max(one, end) + 6, top + 12, f"{shown_seconds(figures['seconds'])} ({_ratio(ratio)})")
    bottom = y + _ROW * len(engines)
    yield f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{y - 2}" y2="{bottom - 2}" stroke="{_LINE}"/>'


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 1 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="{_INK}">'
        f"{escape(text)}</text>"
    )

"""How panels look: colours that eyes of every kind tell apart, and charts as Plotly describes them.

The page draws with the same colours and dashes, in the same order; a notebook's figures are made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.times import local_datetime

__all__ = ["COLOURS", "DASHES", "spec_of"]

# Okabe and Ito's palette; on a dark ground its lighter half comes first. A dash tells series apart without
# any colour.
COLOURS = {
    "light": ["#0072B2", "#D55E00", "#007A58", "#A8508A", "#9C6B00", "#2C86BD", "#555555", "#000000"],
    "dark": ["#56B4E9", "#E69F00", "#1FC79A", "#E08FBE", "#F0E442", "#FF8A3D", "#BBBBBB", "#FFFFFF"],
}
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash"]

Json = dict[str, Any]


def spec_of(panel: Json, view: Json) -> Json:
    """The ``data`` and ``layout`` of a Plotly figure, of a panel's description and its view."""
    made = {
        "line": _lines,
        "batches": _lines,
        "bar": _bars,
        "table": _table,
        "number": _number,
        "log": _log,
    }[panel["kind"]](panel, view)
    layout = {
        "template": "plotly_white",
        "title": {"text": escaped(panel["title"])},
        "height": made.get("height", 320),
        "margin": {"t": 60, "b": 10 if "height" in made else 40},
    }
    return {"data": made["data"], "layout": {**layout, **made.get("layout", {})}}


def escaped(text: str) -> str:
    """As Plotly shows it letter by letter: it takes what looks like a tag for one.

    >>> escaped("<b>&")
    '&lt;b&gt;&amp;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _lines(panel: Json, view: Json) -> Json:
    times = [local_datetime(time) for time in view["times"]]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": escaped(series["name"]),
            "x": times,
            "y": series["values"],
            "line": {"color": COLOURS["light"][place], "dash": DASHES[place], "width": 2.5},
        }
        for place, series in enumerate(view["series"])
    ]
    layout: Json = {
        "yaxis": {"rangemode": "tozero", "title": {"text": _unit(panel)}},
        "showlegend": len(data) > 1,
        "hovermode": "x unified",
    }
    if panel["kind"] == "batches":
        limit = panel["interval"]
        layout["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": limit, "y1": limit,
             "line": {"dash": "dash", "width": 1.5, "color": "#555555"}}
        ]  # fmt: skip
    return {"data": data, "layout": layout}


def _bars(panel: Json, view: Json) -> Json:
    bars: Sequence[tuple[str, float | None, str]] = view["bars"]
    data = {
        "type": "bar",
        "orientation": "h",
        "x": [value for _, value, _ in bars],
        "y": [escaped(name) for name, _, _ in bars],
        "text": [text for _, _, text in bars],
        "marker": {"color": COLOURS["light"][0]},
    }
    return {"data": [data], "layout": {"yaxis": {"autorange": "reversed", "type": "category"}}}


def _table(panel: Json, view: Json) -> Json:
    rows = view["rows"]
    columns = [escaped(column) for column in view["columns"]]
    cells = [[escaped(row["cells"][place]) for row in rows] for place in range(len(columns))]
    if panel["keyed"]:
        columns.append("rank")
        cells.append([moved(row.get("move")) for row in rows])
    return _as_table({"values": columns}, {"values": cells}, len(rows))


def _number(panel: Json, view: Json) -> Json:
    # As text, not as Plotly's indicator: that knows neither exact decimals nor words.
    words = escaped(view["text"] or f"no {panel['noun']} yet")
    font = {"size": 42 if view["text"] else 20, "color": COLOURS["light"][1] if view["warn"] else None}
    shown: list[tuple[str, Json, float]] = [
        (f"⚠ {words}" if view["warn"] else words, font, 0.65),
        (escaped(view["note"]), {"size": 14}, 0.05),
    ]
    place = {"x": 0, "xanchor": "left", "yanchor": "middle", "xref": "paper", "yref": "paper"}
    notes = [
        {"text": text, "font": font, "y": y, "showarrow": False, **place} for text, font, y in shown if text
    ]
    return {
        "data": [],
        "height": 150,
        "layout": {"annotations": notes, "xaxis": {"visible": False}, "yaxis": {"visible": False}},
    }


def _log(panel: Json, view: Json) -> Json:
    lines = view["lines"]
    times = [f"{local_datetime(time):%H:%M:%S}" for time, _ in lines]
    values = [times, [escaped(line) for _, line in lines]]
    header = {"values": ["batch", escaped(panel["noun"])]}
    return _as_table(header, {"values": values}, len(lines), columnwidth=[1, 8])


def _as_table(header: Json, cells: Json, rows: int, **more: Any) -> Json:
    """As high as its rows, up to ten; more are scrolled."""
    look = {"align": "left", "height": 28, "font": {"size": 14}}
    data = {"type": "table", "header": {**look, **header}, "cells": {**look, **cells}, **more}
    return {"data": [data], "height": 110 + 28 * min(10, max(1, rows))}


def moved(move: int | str | None) -> str:
    """How a rank has changed, as an arrow and how far.

    >>> [moved(move) for move in (2, -1, 0, "new", None)]
    ['▲ 2', '▼ 1', '=', 'new', '']
    """
    if move is None or isinstance(move, str):
        return move or ""
    return f"▲ {move}" if move > 0 else f"▼ {-move}" if move < 0 else "="


def _unit(panel: Json) -> str:
    if not panel.get("perSecond"):
        return escaped(panel["unit"])
    return escaped(f"{panel['unit'] or panel['noun']} per second")

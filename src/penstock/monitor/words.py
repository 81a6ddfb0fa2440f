"""What a dashboard shows, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.monitor.look import moved
from penstock.times import local_datetime

__all__ = ["lines_of"]

Json = dict[str, Any]


def lines_of(panel: Json, view: Json) -> Iterator[str]:
    """A panel's title with its figures, and lines below it where there are more.

    >>> panel = {"kind": "line", "title": "Orders per second", "noun": "orders"}
    >>> list(lines_of(panel, {"times": [], "series": []}))
    ['Orders per second: no orders yet']
    """
    title, nothing = panel["title"], f"no {panel['noun']} yet"
    match panel["kind"]:
        case "number":
            note = f" ({view['note']})" if view["note"] else ""
            yield f"{title}: {view['text'] or nothing}{note}{', a warning' if view['warn'] else ''}"
        case "line" | "batches":
            series = view["series"]
            alone = len(series) == 1 and series[0]["name"] == title
            texts = [each["text"] if alone else f"{each['name']} {each['text']}" for each in series]
            yield f"{title}: {', '.join(texts) or nothing}"
        case "bar":
            yield f"{title}:" if view["bars"] else f"{title}: {nothing}"
            yield from (f"  {name}  {text}" for name, _, text in view["bars"])
        case "table":
            yield f"{title}: {', '.join(view['columns']) if view['rows'] else nothing}"
            for row in view["rows"]:
                move = moved(row.get("move"))
                yield "  " + "  ".join([*row["cells"], *([move] if move else [])])
        case "log":
            yield f"{title}:" if view["lines"] else f"{title}: no {panel['noun']} so far"
            yield from (f"  {local_datetime(time):%H:%M:%S}  {line}" for time, line in view["lines"])

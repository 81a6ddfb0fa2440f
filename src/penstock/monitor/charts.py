"""Figures for notebooks, and the chart library's own script for pages. The one file that knows Plotly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from penstock.errors import UnsupportedError
from penstock.monitor.look import spec_of
from penstock.monitor.words import lines_of

__all__ = ["bundle_of", "figure_of", "html_of", "library_html", "script"]

_MARKS = re.compile(r'getElementById\("([0-9a-f]{64})"\)')  # of the maps in it, which charts do not use
_PRELUDE = """for (const id of %s) {
  const mark = document.createElement("meta");
  mark.id = id;
  mark.className = "no-inline-styles";
  document.head.append(mark);
}
"""


def figure_of(panel: dict[str, Any], view: dict[str, Any]) -> Any:
    """A ``plotly.graph_objects.Figure``."""
    try:
        from plotly.graph_objects import Figure
    except ImportError as error:
        raise _missing() from error
    return Figure(spec_of(panel, view))


def bundle_of(panel: dict[str, Any], view: dict[str, Any]) -> dict[str, Any]:
    """A figure as notebooks take it: as Plotly's own kind of data, as HTML for those that do not know that,
    which needs :func:`library_html` before it, and in words."""
    figure = figure_of(panel, view)
    html = figure.to_html(full_html=False, include_plotlyjs=False, include_mathjax=False, validate=False)
    return {
        "application/vnd.plotly.v1+json": json.loads(figure.to_json(validate=False)),
        "text/html": html,
        "text/plain": "\n".join(lines_of(panel, view)),
    }


def library_html() -> str:
    """The library's script in an element, for HTML that needs it and fetches nothing."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise _missing() from error
    return f"<script>{get_plotlyjs()}</script>"


def html_of(title: str, figures: Mapping[str, Any]) -> str:
    """The figures one below the other, with the library's script in the text, so that nothing is fetched."""
    parts = [f"<h2>{escape(title)}</h2>"]
    for number, figure in enumerate(figures.values()):
        parts.append(figure.to_html(full_html=False, include_plotlyjs=number == 0, include_mathjax=False))
    return "\n".join(parts)


def script() -> bytes:
    """The library's script, from its Python package.

    Loaded, it writes styles into the page, which pages of ours forbid: a style in the page may be anybody's.
    It does so only if they are not there, which it tells by elements with certain ids. They are put there
    before it, and what charts need of these styles is in the page's own.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise _missing() from error
    text: str = get_plotlyjs()
    marks = ["plotly.js-style-global", *sorted(set(_MARKS.findall(text)))]
    return (_PRELUDE % json.dumps(marks) + text).encode()


def _missing() -> UnsupportedError:
    return UnsupportedError("charts need plotly, which is not installed. Hint: pip install 'penstock[ui]'.")

"""Figures in a notebook that are kept up to date while the stream runs. The one file that knows IPython."""

from __future__ import annotations

import logging
import sys
import threading
from html import escape
from typing import TYPE_CHECKING, Any

from penstock.clock import Clock, SystemClock

if TYPE_CHECKING:
    from penstock.monitor.board import Board

__all__ = ["LiveFigures", "in_a_notebook"]

_log = logging.getLogger(__name__)

_PAUSE_S = 1.0
_SHARE = 20  # at most a twentieth of the time is spent on it


def in_a_notebook() -> bool:
    """Whether a Jupyter kernel runs this. Where IPython is not loaded, none does, and it stays unloaded.

    >>> in_a_notebook()
    False
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class LiveFigures:
    """The figures of a dashboard in the output of a cell, one below the other. While the stream runs, those
    in which something is new are put in place of the old ones, at most every ``pause_s`` and less often where
    that takes long, by a thread that ends with the stream. No batch waits for it."""

    def __init__(
        self, title: str, board: Board, pause_s: float = _PAUSE_S, clock: Clock | None = None
    ) -> None:
        self._title = title
        self._board = board
        self._clock = clock or SystemClock()
        self._pause_s = pause_s
        self._over = threading.Event()
        self._handles: list[Any] = []
        self._thread = threading.Thread(target=self._run, name="penstock-notebook", daemon=True)

    def show(self) -> None:
        """Put them into the output of the cell that runs, and begin to keep them up to date."""
        from IPython import display as displaying

        from penstock.monitor.charts import library_html

        display: Any = displaying.display  # which has types in some versions, and in others not
        self._counts = self._board.counts()
        bundles = self._bundles(self._counts)  # before anything is shown: without Plotly nothing is
        html = f"<h2>{escape(self._title)}</h2>{library_html()}"
        head = {"text/plain": self._title, "text/html": html}
        display(head, raw=True)
        self._handles = [display(bundle, raw=True, display_id=True) for bundle in bundles.values()]
        self._thread.start()

    def stop(self) -> None:
        """Leave them as they are."""
        self._over.set()
        self._board.touch()

    def _bundles(self, counts: list[int], since: list[int] | None = None) -> dict[int, dict[str, Any]]:
        """Each figure, or each in which something is new, as kinds of notebooks take it, by its number."""
        from penstock.monitor.charts import bundle_of

        return {
            number: bundle_of(panel.described(), self._board.view(number))
            for number, panel in enumerate(self._board.panels)
            if since is None or since[number] != counts[number]
        }

    def _run(self) -> None:
        board, seen = self._board, 0
        try:
            while not self._over.is_set():
                begun_ns = self._clock.elapsed_ns()
                over = board.over  # before what is shown is asked for
                counts = board.counts()
                for number, bundle in self._bundles(counts, self._counts).items():
                    self._handles[number].update(bundle, raw=True)
                self._counts = counts
                if over:
                    return
                took_s = (self._clock.elapsed_ns() - begun_ns) / 1e9
                self._over.wait(max(self._pause_s, _SHARE * took_s))
                seen = board.wait_for_news(seen)
        except Exception:  # the notebook is gone, or cannot show it
            _log.exception("the figures in the notebook are no longer kept up to date; the stream goes on")

"""The dashboards of a streaming context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.context.lifecycle import Lifecycle
from penstock.errors import ArgumentError

if TYPE_CHECKING:
    from penstock.monitor.dashboard import Dashboard

__all__ = ["Dashboards"]


class Dashboards(Lifecycle):
    """What of a StreamingContext is for those who look at it."""

    def dashboard(self, title: str, *, noun: str = "records") -> Dashboard:
        """A page of panels made of streams, under ``/dashboards/<title>`` of the context's pages; see
        :class:`Dashboard`. ``noun`` is what the records are called. ``ArgumentError`` for a second one of the
        same title, ``StateError`` after the start.

        >>> ssc = StreamingContext(sc, 1)
        >>> orders = ssc.queueStream([[3, 4], [5]])
        >>> board = ssc.dashboard("Orders").number("Largest", orders.reduce(max)).log("All", orders)
        >>> ssc.start(availableNow=True)
        >>> ssc.awaitTermination()
        >>> print(board.text())  # doctest: +ELLIPSIS
        Orders
        Largest: 5
        All:
          ...  3
          ...  4
          ...  5
        """
        from penstock.monitor.dashboard import Dashboard, slug_of  # here: loaded if it is used

        self.must_be_open()
        known = self._graph.shown
        if any(each.title == title for each in known):
            raise ArgumentError(f"there is a dashboard {title!r} already. Hint: give this one another title.")
        slug = slug_of(str(title), [each.slug for each in known])
        made = Dashboard(self, title, slug, noun)
        known.append(made)
        return made

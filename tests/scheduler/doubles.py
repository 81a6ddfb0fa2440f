"""A source that follows a script, and a listener that notes everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.errors import CallSite
from penstock.plan import Node, SliceReader, Source
from penstock.scheduler import StreamingListener
from penstock.sources import Intent, StreamSource
from penstock.times import BatchTime


class ScriptedSource(StreamSource):
    """Gives each batch what a script says: records, or an exception to raise."""

    def __init__(self, *script: Any) -> None:
        self.name = "scripted"
        self.script = list(script)
        self.calls: list[Any] = []

    def open(self) -> None:
        self.calls.append("open")

    def only_available(self) -> None:
        self.calls.append("only_available")

    def plan(self, time: BatchTime) -> Intent:
        self.calls.append(("plan", time))
        item = self.script.pop(0) if self.script else []
        if callable(item):
            item = item()
        if isinstance(item, BaseException):
            raise item
        return Intent(tuple(item), len(item), f"{len(item)} records")

    def node(self, intent: Intent, site: CallSite) -> Node:
        return Source(site, [SliceReader.of(list(intent.items))])

    @property
    def exhausted(self) -> bool:
        return not self.script

    def done(self, time: BatchTime) -> None:
        self.calls.append(("done", time))

    def close(self) -> None:
        self.calls.append("close")


class Events(StreamingListener):
    """Notes the name and content of every event."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def names(self) -> list[str]:
        return [name for name, _ in self.seen]

    def of(self, name: str) -> list[Any]:
        return [event for seen, event in self.seen if seen == name]


def _noting(name: str) -> Callable[[Events, Any], None]:
    def note(self: Events, event: Any) -> None:
        self.seen.append((name.removeprefix("on"), event))

    return note


for _name in [name for name in dir(StreamingListener) if name.startswith("on")]:
    setattr(Events, _name, _noting(_name))

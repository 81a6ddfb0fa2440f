"""What a version of the state of a partition is, whether it is kept as Python objects or as columns.

A version never changes. A batch makes the next one of it, and either may be read or gone on from later. Who
saves versions saves one whole and of those that follow what differs, both as
:class:`~penstock.state.TableChange`::

    image of 3      slots 0 1 2 3       a:7 b:1 c:4 d:2
    changes of 4    slots   1     4         hole     e:9       5 slots
    image of 4      slots 0   2 3 4     a:7     c:4 d:2 e:9

Slots are the numbers of places, in order of the keys' first appearance. A key that is removed leaves a hole;
if it comes again it has another slot. An image says which slots its keys are in, so that later changes fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from penstock.chunk import Chunk
from penstock.state.changes import TableChange

__all__ = ["Update", "Version"]


class Update(Protocol):
    """The version of a batch in the making, as a context: left with an exception, it never was.

    One thread makes it. Meanwhile the version that it comes from can be read by others, and waits for it.
    """

    time: int
    expired: int
    version: Any

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def prepare(self, keys: Iterable[Any]) -> None:
        """These keys will be asked for, as far as they can be keys."""

    def get(self, key: Any, absent: Any) -> Any:
        """The state of a key: the object itself."""

    def put(self, key: Any, state: Any) -> None:
        """Set the state of a key, which has its news now."""

    def touch(self, key: Any) -> None:
        """A key that has a state has its news now."""

    def remove(self, key: Any) -> None:
        """Forget a key; one that is not there is no error."""

    def expiring(self, before: int) -> list[tuple[Any, Any]]:
        """The keys, with their states, whose last news is of a time before that one, in their order."""

    def expire(self, key: Any) -> None:
        """Forget a key for want of news."""

    def expire_before(self, before: int) -> None:
        """Forget all keys whose last news is of a time before that one, for want of news."""

    def forget_times(self, before: int) -> None:
        """Of this version and those after it nobody will ask for keys whose last news is of a time before
        that one, as they are gone."""


@runtime_checkable
class Version(Protocol):
    """The states of a partition's keys at one moment. It never changes."""

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """How much memory it takes: exact for columns, an estimate for Python objects. Costs next to
        nothing."""

    def pairs(self) -> Chunk:
        """Keys and states in order of first appearance; objects are the version's own, not to be changed."""

    def get(self, key: Any, absent: Any) -> Any:
        """The state of a key, or ``absent``; an object is the version's own, not to be changed. On any
        thread, and while a later version is made, for which it waits: what it costs does not depend on how
        many keys there are. ``TypeError`` for what has no hash."""

    def first(self, count: int) -> Chunk:
        """As :meth:`pairs`, but so many at most."""

    def update(self, time: int) -> Any:
        """Begin the version of the batch at ``time``: an :class:`Update`."""

    def image(self) -> TableChange:
        """All of it, each key in its slot, with the batch times of the last news. Costs what it holds."""

    def changes(self, since: Any) -> TableChange | None:
        """What makes it of the version ``since``, on which :meth:`update` was called to make it. Costs what
        the batch has touched; ``None`` if that does not tell, and the whole has to be saved: the versions lie
        in different tables, as when one was made without the holes of the other, or are not neighbours."""

    def followed_by(self, change: TableChange) -> Self:
        """The version that a change of :meth:`changes` makes of this one, wherever that was found: slots have
        the same numbers. Costs what the change holds. This one stays as it is. ``RowTypeError`` if it does
        not fit in, and nothing has happened."""

    def oldest_news(self) -> int | None:
        """The time of the longest-ago last news of a key, for the newest version. ``None`` without keys, or
        where nobody asks for times."""

    @classmethod
    def of_image(cls, image: TableChange, *, expires: bool = True) -> Self:
        """The version of an image, on slots of the same numbers. Without ``expires`` nobody will ask which
        keys have had no news for long."""

"""What a function of ``mapWithState`` sees of the state of its key."""

from __future__ import annotations

from typing import Any

from penstock.chunk import isolated
from penstock.errors import StateError

__all__ = ["State"]

_NOT_SET = object()


class State:
    """The state of one key, as long as the function that is given it runs. Methods are Scala's.

    ``get`` gives a copy of what can be changed, the same one each time: what a function does to it counts
    once it is given to ``update``, and only then.

    >>> state = State()
    >>> state.exists(), state.getOption()
    (False, None)
    >>> state.update(5)
    >>> state.exists(), state.get()
    (True, 5)
    >>> state.remove()
    >>> state.get()
    Traceback (most recent call last):
    penstock.errors.StateError: State is not set
    """

    __slots__ = ("_given", "_held", "_removed", "_timing_out", "_updated")

    def __init__(self) -> None:
        self._held: Any = _NOT_SET
        self._given = self._updated = self._removed = self._timing_out = False

    def exists(self) -> bool:
        """Whether the key has a state."""
        return self._held is not _NOT_SET

    def get(self) -> Any:
        """The state. Raises ``StateError`` if there is none."""
        if self._held is _NOT_SET:
            raise StateError("State is not set")
        if not self._given:
            self._held, self._given = isolated(self._held), True
        return self._held

    def getOption(self) -> Any:
        """The state, or ``None`` if there is none."""
        return None if self._held is _NOT_SET else self.get()

    def update(self, newState: Any) -> None:
        """Set the state. Raises ``StateError`` once it is removed, or where it is timing out."""
        if self._removed:
            raise StateError("Cannot update the state after it has been removed")
        if self._timing_out:
            raise StateError("Cannot update the state that is timing out")
        self._held, self._given, self._updated = newState, True, True

    def remove(self) -> None:
        """Forget the key. Raises ``StateError`` the second time, or where it is timing out."""
        if self._timing_out:
            raise StateError("Cannot remove the state that is timing out")
        if self._removed:
            raise StateError("Cannot remove the state that has already been removed")
        self._held, self._updated, self._removed = _NOT_SET, False, True

    def isTimingOut(self) -> bool:
        """Whether the key is forgotten after this call, as it has had no news for so long."""
        return self._timing_out

    def __repr__(self) -> str:
        return "State()" if self._held is _NOT_SET else f"State({self._held!r})"

    # For who calls the function

    def open(self, held: Any, *, timing_out: bool = False) -> None:
        """Be the state of another key; see :meth:`absent`."""
        self._held = held
        self._given = self._updated = self._removed = False
        self._timing_out = timing_out

    @staticmethod
    def absent() -> Any:
        """What stands for a key without a state."""
        return _NOT_SET

    @property
    def removed(self) -> bool:
        """Whether the function has removed it."""
        return self._removed

    def news(self) -> Any:
        """What the function has set it to, as it is to be kept: nobody else can change it. ``absent()`` if
        the function has not."""
        return isolated(self._held) if self._updated else _NOT_SET

"""What operators with state say of themselves, partition by partition, and what they may not exceed."""

from __future__ import annotations

import logging
import threading

from penstock.conf import STATE_MAX_BYTES, STATE_MAX_KEYS, STATE_TTL, Conf
from penstock.dstream.node import StreamNode
from penstock.errors import CallSite, StateError
from penstock.plan import Task
from penstock.times import shown_ms
from penstock.values import dataclass

__all__ = ["ExpiryReport", "StateLimits", "StateMeter"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StateLimits:
    """How much an operator may remember, and for how long without news; ``None``: as much, or as long, as it
    likes."""

    max_keys: int | None = None
    max_bytes: int | None = None
    ttl_ms: int | None = None

    @classmethod
    def of(cls, conf: Conf) -> StateLimits:
        """As the settings have it."""
        return cls(conf.value(STATE_MAX_KEYS), conf.value(STATE_MAX_BYTES), conf.value(STATE_TTL))


class StateMeter:
    """What an operator remembers in one batch, summed up over its partitions as they are made."""

    def __init__(self, node: StreamNode, limits: StateLimits) -> None:
        self._node = node
        self._limits = limits
        self.place = (id(node), str(node.site))  # of its figures, with the partition
        self._lock = threading.Lock()
        self._held: dict[int, tuple[int, int]] = {}

    def note(self, task: Task, *, keys: int, touched: int | None, nbytes: int, expired: int = 0) -> None:
        """So many keys the partition remembers now, in so much memory; so many had news (``None``: that is
        noted elsewhere), so many were forgotten for want of any. They are for the listener and the monitor.

        Raises: :class:`StateError` once all partitions together remember more than they may: the batch
        fails, and state stays as it was.
        """
        place = (*self.place, task.partition)
        figures = (
            ("state_keys", keys), ("state_touched", touched), ("state_expired", expired),
            ("state_bytes", nbytes),
        )  # fmt: skip
        for name, count in figures:
            if count is not None:
                task.metrics.note(name, place, count)
        with self._lock:
            self._held[task.partition] = keys, nbytes
            all_keys, all_bytes = map(sum, zip(*self._held.values(), strict=True))
        limits = self._limits
        if limits.max_keys is not None and all_keys > limits.max_keys:
            raise self._too_much(f"{all_keys:,} keys", STATE_MAX_KEYS.key, f"{limits.max_keys:,}")
        if limits.max_bytes is not None and all_bytes > limits.max_bytes:
            held = f"{all_bytes:,} bytes for {all_keys:,} keys"
            raise self._too_much(held, STATE_MAX_BYTES.key, f"{limits.max_bytes:,}")

    def _too_much(self, held: str, key: str, limit: str) -> StateError:
        return StateError(
            f"with this batch the state of {self._node.site} has at least {held}, and {key} allows {limit}: "
            f"the batch fails, its state stays as it was before. Hint: let keys go, by a timeout of the "
            f"StateSpec, {STATE_TTL.key}, state.remove() or the new state None; or set {key} to more."
        )


class ExpiryReport:
    """Says once that an operator forgets keys because of the setting."""

    def __init__(self, site: CallSite, ttl_ms: int) -> None:
        self._site = site
        self._ttl_ms = ttl_ms
        self._said = False

    def forgotten(self, keys: int) -> None:
        """So many keys were forgotten."""
        if self._said or not keys:
            return
        self._said = True
        _log.warning(
            "%s has forgotten keys that had no news for longer than %s = %s, %d of them in this batch. From "
            "now on they are only counted, as numExpired of the batch's stateOperatorInfos.",
            self._site,
            STATE_TTL.key,
            shown_ms(self._ttl_ms),
            keys,
        )

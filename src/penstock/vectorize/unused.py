"""What a function computes and does not use: the values are nobody's, but what Python raises on the way is.

::

    def f(r):
        share = 100 // r.count        # nobody reads it, and a count of 0 raises all the same
        return r.name
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from penstock.chunk import leaves as leaf
from penstock.vectorize.expressions import Call, Expression, within
from penstock.vectorize.kernels import Kernel

__all__ = ["dropped"]


def dropped(made: Iterable[Expression], kept: Sequence[Expression]) -> tuple[Expression, ...]:
    """Refusals, none or one, for what is in ``made`` and may refuse operands, but not in ``kept``.

    The one is false in every row, once all of that could be computed.
    """
    used = set(within(kept))
    lost = [
        each for each in within(made) if isinstance(each, Call) and not each.kernel.total and each not in used
    ]
    return (Call(bool, _COMPUTED, tuple(lost)),) if lost else ()


_NO = leaf.array_of(bool, [False])


def _no(*values: Any) -> pa.Array:
    return _NO


_COMPUTED = Kernel("computed", (object,), bool, lambda *values: False, _no, True)

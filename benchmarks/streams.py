"""Batches of Penstock: typed pairs as their input, and their times as the listener tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from penstock import RDD, Context, StreamingContext, StreamingListener

__all__ = ["Processing", "pairs_of_columns", "pairs_of_table", "run_to_end"]


def pairs_of_table(sc: Context, pairs: Sequence[tuple[int, int]]) -> RDD:
    """These pairs, read from an Arrow table as a typed source would give them.

    >>> pairs_of_table(sc, [(1, 2), (3, 4)]).collect()
    [(1, 2), (3, 4)]
    """
    keys, values = zip(*pairs, strict=True)
    return pairs_of_columns(sc, pa.array(keys, pa.int64()), pa.array(values, pa.int64()))


def pairs_of_columns(sc: Context, keys: Any, values: Any) -> RDD:
    """The same, of two columns: Arrow's or numpy's.

    >>> pairs_of_columns(sc, np.array([1, 3]), np.array([2, 4])).collect()
    [(1, 2), (3, 4)]
    """
    table = pa.table({"key": keys, "value": values})
    return sc.fromArrow(table).map(lambda row: (row.key, row.value))


class Processing(StreamingListener):
    """The processing times of all batches, in seconds, in their order, and how much memory the states of the
    last one take; a batch that failed is an error."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.state_bytes = 0

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        info = batchCompleted.batchInfo
        assert info.failureReason is None, info.failureReason
        self.seconds.append(info.processingDelay / 1000)
        self.state_bytes = sum(each.memoryUsedBytes for each in info.stateOperatorInfos)


def run_to_end(ssc: StreamingContext, processing: Processing | None = None) -> list[float]:
    """Run the stream over what is there; the processing times of its batches, in seconds."""
    processing = processing or Processing()
    ssc.addStreamingListener(processing)
    ssc.start(availableNow=True)
    ssc.awaitTermination()
    return processing.seconds

"""Batches of Penstock, timed one by one: as the listener tells it, from their start to their end."""

from __future__ import annotations

from typing import Any

from penstock import StreamingContext, StreamingListener

__all__ = ["Processing", "run_to_end"]


class Processing(StreamingListener):
    """The processing times of all batches, in seconds, in their order; a batch that failed is an error."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        info = batchCompleted.batchInfo
        assert info.failureReason is None, info.failureReason
        self.seconds.append(info.processingDelay / 1000)


def run_to_end(ssc: StreamingContext) -> list[float]:
    """Run the stream over what is there; the processing times of its batches, in seconds."""
    processing = Processing()
    ssc.addStreamingListener(processing)
    ssc.start(availableNow=True)
    ssc.awaitTermination()
    return processing.seconds

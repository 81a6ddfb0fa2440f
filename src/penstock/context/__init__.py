"""Contexts: where all parts come together."""

from penstock.context.context import Context
from penstock.context.kafka_inputs import KafkaUtils
from penstock.context.lifecycle import has_checkpoint
from penstock.context.streaming import StreamingContext

__all__ = ["Context", "KafkaUtils", "StreamingContext", "has_checkpoint"]

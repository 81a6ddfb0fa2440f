"""The entry points, where all parts come together."""

from penstock.context.context import Context
from penstock.context.streaming import StreamingContext

__all__ = ["Context", "StreamingContext"]

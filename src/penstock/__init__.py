"""Penstock: Spark Streaming's model in Python, without a JVM.

An endless input is cut by time into mini-batches; each mini-batch is an ordinary dataset (RDD); a stream
(DStream) is the lazy sequence of them. The names are PySpark's.
"""

from penstock.clients import Shared
from penstock.conf import Conf
from penstock.conf import Conf as SparkConf
from penstock.context import Context, StreamingContext
from penstock.context import Context as SparkContext
from penstock.dstream import DStream, Ledger, MapWithStateDStream, StateSpec
from penstock.formats import Format, Words
from penstock.plan import StorageLevel
from penstock.rdd import RDD, Accumulator, AccumulatorParam, Broadcast, Partitioner, Reject
from penstock.scheduler import StreamingListener
from penstock.sinks import files_of_set
from penstock.sources import Receiver, SourceLine
from penstock.state import State
from penstock.times import Duration, Durations, Milliseconds, Minutes, Seconds

__version__ = "0.1.0"

__all__ = [
    "RDD",
    "Accumulator",
    "AccumulatorParam",
    "Broadcast",
    "Conf",
    "Context",
    "DStream",
    "Duration",
    "Durations",
    "Format",
    "Ledger",
    "MapWithStateDStream",
    "Milliseconds",
    "Minutes",
    "Partitioner",
    "Receiver",
    "Reject",
    "Seconds",
    "Shared",
    "SourceLine",
    "SparkConf",
    "SparkContext",
    "State",
    "StateSpec",
    "StorageLevel",
    "StreamingContext",
    "StreamingListener",
    "Words",
    "__version__",
    "files_of_set",
]

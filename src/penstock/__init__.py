"""Penstock: Spark Streaming's model in Python, without a JVM.

An endless input is cut by time into mini-batches; each mini-batch is an ordinary dataset (RDD); a stream
(DStream) is the lazy sequence of them. The names are PySpark's.
"""

from penstock.clients import Shared
from penstock.conf import Conf
from penstock.conf import Conf as SparkConf
from penstock.context import Context, KafkaUtils, StreamingContext
from penstock.context import Context as SparkContext
from penstock.dstream import DStream, Ledger, MapWithStateDStream, StateSpec
from penstock.formats import Format, Words
from penstock.plan import StorageLevel
from penstock.rdd import RDD, Accumulator, AccumulatorParam, Broadcast, Partitioner
from penstock.scheduler import StreamingListener
from penstock.sinks import KafkaRepeats, files_of_set
from penstock.sources import (
    FilePath,
    InputFormat,
    KafkaMessageAndMetadata,
    OffsetRange,
    Receiver,
    Reject,
    SourceLine,
    Split,
    TopicAndPartition,
    utf8_decoder,
)
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
    "FilePath",
    "Format",
    "InputFormat",
    "KafkaMessageAndMetadata",
    "KafkaRepeats",
    "KafkaUtils",
    "Ledger",
    "MapWithStateDStream",
    "Milliseconds",
    "Minutes",
    "OffsetRange",
    "Partitioner",
    "Receiver",
    "Reject",
    "Seconds",
    "Shared",
    "SourceLine",
    "SparkConf",
    "SparkContext",
    "Split",
    "State",
    "StateSpec",
    "StorageLevel",
    "StreamingContext",
    "StreamingListener",
    "TopicAndPartition",
    "Words",
    "__version__",
    "files_of_set",
    "utf8_decoder",
]

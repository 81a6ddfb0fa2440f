"""Where records come from: stream sources, and the partitions of files that both streams and RDDs read."""

from penstock.sources.base import Intent, LogPlace, SourceEvent, StreamSource
from penstock.sources.files import FileSource
from penstock.sources.kafka import (
    KafkaMessageAndMetadata,
    KafkaReading,
    KafkaSource,
    MessageDecoding,
    OffsetRange,
    TopicAndPartition,
    offset_ranges_of,
    ranges_node,
    utf8_decoder,
)
from penstock.sources.listing import files_of
from penstock.sources.queue import QueueSource
from penstock.sources.receiver import Receiver
from penstock.sources.receiving import ReceiverSettings, ReceiverSource
from penstock.sources.records import FixedRecords, Pickled, WholeFiles, grouped
from penstock.sources.sockets import LineSocket, ObjectSocket, ReliableLineSocket
from penstock.sources.text import TEXT, SourceLine, TextReader, text_readers

__all__ = [
    "TEXT",
    "FileSource",
    "FixedRecords",
    "Intent",
    "KafkaMessageAndMetadata",
    "KafkaReading",
    "KafkaSource",
    "LineSocket",
    "LogPlace",
    "MessageDecoding",
    "ObjectSocket",
    "OffsetRange",
    "Pickled",
    "QueueSource",
    "Receiver",
    "ReceiverSettings",
    "ReceiverSource",
    "ReliableLineSocket",
    "SourceEvent",
    "SourceLine",
    "StreamSource",
    "TextReader",
    "TopicAndPartition",
    "WholeFiles",
    "files_of",
    "grouped",
    "offset_ranges_of",
    "ranges_node",
    "text_readers",
    "utf8_decoder",
]

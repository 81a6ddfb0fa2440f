"""Where records come from: stream sources, and the partitions of files that both streams and RDDs read."""

from penstock.sources.base import Intent, LogPlace, SourceEvent, StreamSource
from penstock.sources.files.fixed import FixedRecords, RecordLayout, must_be_partial, record_length
from penstock.sources.files.input_format import InputFormat, Split, format_readers
from penstock.sources.files.listing import files_of
from penstock.sources.files.looking import COPYING, is_visible, root_of
from penstock.sources.files.numbered import NumberedLines, NumberedTables, row_options
from penstock.sources.files.records import Pickled, WholeFiles, grouped
from penstock.sources.files.settling import AfterCommit
from penstock.sources.files.source import FileSource
from penstock.sources.files.text import OFFSET_AND_TEXT, TEXT, SourceLine, TextReader, text_readers
from penstock.sources.files.waiting import FilePath, Limits
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
from penstock.sources.queue import LiveQueue, LiveQueueSource, QueueSource
from penstock.sources.receivers.receiver import Receiver
from penstock.sources.receivers.receiving import ReceiverSettings, ReceiverSource
from penstock.sources.receivers.sockets import LineSocket, ObjectSocket, ReliableLineSocket
from penstock.sources.rejects import Reject, Rejects

__all__ = [
    "COPYING",
    "OFFSET_AND_TEXT",
    "TEXT",
    "AfterCommit",
    "FilePath",
    "FileSource",
    "FixedRecords",
    "InputFormat",
    "Intent",
    "KafkaMessageAndMetadata",
    "KafkaReading",
    "KafkaSource",
    "Limits",
    "LineSocket",
    "LiveQueue",
    "LiveQueueSource",
    "LogPlace",
    "MessageDecoding",
    "NumberedLines",
    "NumberedTables",
    "ObjectSocket",
    "OffsetRange",
    "Pickled",
    "QueueSource",
    "Receiver",
    "ReceiverSettings",
    "ReceiverSource",
    "RecordLayout",
    "Reject",
    "Rejects",
    "ReliableLineSocket",
    "SourceEvent",
    "SourceLine",
    "Split",
    "StreamSource",
    "TextReader",
    "TopicAndPartition",
    "WholeFiles",
    "files_of",
    "format_readers",
    "grouped",
    "is_visible",
    "must_be_partial",
    "offset_ranges_of",
    "ranges_node",
    "record_length",
    "root_of",
    "row_options",
    "text_readers",
    "utf8_decoder",
]

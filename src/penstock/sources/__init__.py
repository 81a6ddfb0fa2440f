"""Where records come from: stream sources, and the partitions of files that both streams and RDDs read."""

from penstock.sources.base import Intent, SourceEvent, StreamSource
from penstock.sources.files import FileSource
from penstock.sources.listing import files_of
from penstock.sources.queue import QueueSource
from penstock.sources.records import FixedRecords, Pickled, WholeFiles, grouped
from penstock.sources.text import TEXT, SourceLine, TextReader, text_readers

__all__ = [
    "TEXT",
    "FileSource",
    "FixedRecords",
    "Intent",
    "Pickled",
    "QueueSource",
    "SourceEvent",
    "SourceLine",
    "StreamSource",
    "TextReader",
    "WholeFiles",
    "files_of",
    "grouped",
    "text_readers",
]

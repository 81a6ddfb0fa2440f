"""Where results go."""

from penstock.sinks.base import PartFormat, replace_directory, save_directory, write_directory
from penstock.sinks.csv import CsvFormat
from penstock.sinks.file_set import FileSet, Rolling
from penstock.sinks.json import JsonFormat
from penstock.sinks.kafka import KafkaRepeats, MessageShape, save_kafka
from penstock.sinks.manifest import files_of_set
from penstock.sinks.parquet import ParquetFormat
from penstock.sinks.pickle import PickleFormat, save_pickle_directory
from penstock.sinks.text import TextFormat, replace_text_directory, save_text_directory

__all__ = [
    "CsvFormat",
    "FileSet",
    "JsonFormat",
    "KafkaRepeats",
    "MessageShape",
    "ParquetFormat",
    "PartFormat",
    "PickleFormat",
    "Rolling",
    "TextFormat",
    "files_of_set",
    "replace_directory",
    "replace_text_directory",
    "save_directory",
    "save_kafka",
    "save_pickle_directory",
    "save_text_directory",
    "write_directory",
]

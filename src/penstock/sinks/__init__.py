"""Where results go."""

from penstock.sinks.base import write_directory
from penstock.sinks.kafka import KafkaRepeats, MessageShape, save_kafka
from penstock.sinks.pickle import save_pickle_directory
from penstock.sinks.text import replace_text_directory, save_text_directory

__all__ = [
    "KafkaRepeats",
    "MessageShape",
    "replace_text_directory",
    "save_kafka",
    "save_pickle_directory",
    "save_text_directory",
    "write_directory",
]

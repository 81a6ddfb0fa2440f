"""Files as Penstock needs them: atomic replace, create if absent, whole directories; here or at a URL."""

from penstock.storage.base import FileInfo, LogFile, Names, Storage, join, name_of, parent_of
from penstock.storage.globs import has_wildcard, is_hidden
from penstock.storage.local import LocalStorage
from penstock.storage.resolve import storage_for
from penstock.storage.staging import MARKER, Existing, Outcome, StagedDirectory, is_complete
from penstock.storage.temporaries import clean_leftovers, temporary_path

__all__ = [
    "MARKER",
    "Existing",
    "FileInfo",
    "LocalStorage",
    "LogFile",
    "Names",
    "Outcome",
    "StagedDirectory",
    "Storage",
    "clean_leftovers",
    "has_wildcard",
    "is_complete",
    "is_hidden",
    "join",
    "name_of",
    "parent_of",
    "storage_for",
    "temporary_path",
]

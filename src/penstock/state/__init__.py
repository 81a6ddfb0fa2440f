"""State by key that is versioned: a batch costs what it touches, and a batch that fails changes nothing.

``versions`` is what a version is, ``changes`` how one is saved. It has two forms: ``rows`` keeps Python
objects, ``columns`` keeps arrays (``arrays``), whose slots ``index`` finds by the keys' hashes;
``counterparts`` says which key in columns another one is equal to. ``stored`` keeps versions in files that
several processes share. ``handle`` is what a function of ``mapWithState`` is given.
"""

from penstock.state.arrays import arrow_of, columns_of, key_kinds_of, kinds_of
from penstock.state.changes import TableChange, changed, difference, whole
from penstock.state.columns import ColumnUpdate, ColumnVersion
from penstock.state.counterparts import NONE_EQUAL, UNKNOWN, counterpart
from penstock.state.encoded import change_in, change_out, chunk_out
from penstock.state.handle import State
from penstock.state.rows import RowUpdate, RowVersion
from penstock.state.sizes import objects_bytes
from penstock.state.stored import Form, Listed, Steps, StoredFile, TableFiles, Versioned, time_of, version_of
from penstock.state.versions import Update, Version

__all__ = [
    "NONE_EQUAL",
    "UNKNOWN",
    "ColumnUpdate",
    "ColumnVersion",
    "Form",
    "Listed",
    "RowUpdate",
    "RowVersion",
    "State",
    "Steps",
    "StoredFile",
    "TableChange",
    "TableFiles",
    "Update",
    "Version",
    "Versioned",
    "arrow_of",
    "change_in",
    "change_out",
    "changed",
    "chunk_out",
    "columns_of",
    "counterpart",
    "difference",
    "key_kinds_of",
    "kinds_of",
    "objects_bytes",
    "time_of",
    "version_of",
    "whole",
]

"""State by key that is versioned: a batch costs what it touches, and a batch that fails changes nothing.

``versions`` is what a version is, ``changes`` how one is saved. It has two forms: ``rows`` keeps Python
objects, ``columns`` keeps arrays (``arrays``), whose slots ``index`` finds by the keys' hashes;
``counterparts`` says which key in columns another one is equal to. ``handle`` is what a function of
``mapWithState`` is given.
"""

from penstock.state.arrays import arrow_of, columns_of, key_kinds_of, kinds_of
from penstock.state.changes import TableChange, changed, difference, whole
from penstock.state.columns import ColumnUpdate, ColumnVersion
from penstock.state.counterparts import NONE_EQUAL, UNKNOWN, counterpart
from penstock.state.handle import State
from penstock.state.rows import RowUpdate, RowVersion
from penstock.state.sizes import objects_bytes
from penstock.state.versions import Update, Version

__all__ = [
    "NONE_EQUAL",
    "UNKNOWN",
    "ColumnUpdate",
    "ColumnVersion",
    "RowUpdate",
    "RowVersion",
    "State",
    "TableChange",
    "Update",
    "Version",
    "arrow_of",
    "changed",
    "columns_of",
    "counterpart",
    "difference",
    "key_kinds_of",
    "kinds_of",
    "objects_bytes",
    "whole",
]

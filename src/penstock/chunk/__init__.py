"""Chunks: bounded pieces of a partition, as rows or as columns, and what holds for their records.

``base`` is the contract, ``rows`` and ``columns`` are its two forms, ``lines`` is text that nobody has
looked at yet. ``row_types`` says how columns look as Python objects, ``exact`` finds that out,
``records`` knows which classes can be columns, ``leaves`` and ``tables`` turn values and tables into
arrays and back. ``hashing`` and ``keys`` say which keys belong together, ``isolation`` copies what could
be changed. ``left`` are those that stay where they were computed.
"""

from penstock.chunk.base import CHUNK_ROWS, Chunk, rows_of
from penstock.chunk.columns import CHUNK_BYTES, Columns, concatenated_columns
from penstock.chunk.exact import check_rows, exact_row_type, fits
from penstock.chunk.fields import record_at, with_fields
from penstock.chunk.grouped import Grouped
from penstock.chunk.hashing import portable_hash
from penstock.chunk.isolation import isolated
from penstock.chunk.keys import distinct_nans
from penstock.chunk.left import Key, Left, Place, arriving, handed_out, whole
from penstock.chunk.lines import Lines
from penstock.chunk.row_types import Optional, Record, RowType, Scalar, Tuple, row_type_of_class
from penstock.chunk.rows import Rows
from penstock.chunk.tables import arrow_schema, row_type_of_schema, row_type_of_table

__all__ = [
    "CHUNK_BYTES",
    "CHUNK_ROWS",
    "Chunk",
    "Columns",
    "Grouped",
    "Key",
    "Left",
    "Lines",
    "Optional",
    "Place",
    "Record",
    "RowType",
    "Rows",
    "Scalar",
    "Tuple",
    "arriving",
    "arrow_schema",
    "check_rows",
    "concatenated_columns",
    "distinct_nans",
    "exact_row_type",
    "fits",
    "handed_out",
    "isolated",
    "portable_hash",
    "record_at",
    "row_type_of_class",
    "row_type_of_schema",
    "row_type_of_table",
    "rows_of",
    "whole",
    "with_fields",
]

"""Formats: lines of text as records of a class with typed fields.

``base`` is the contract. ``fields`` reads the class, ``kinds`` and ``moments`` are the grammar of one field,
for single texts and for columns of them; ``csv`` and ``json`` are the formats.
"""

from penstock.formats.base import Block, LineFormat, MalformedLine, Refused
from penstock.formats.csv import CsvFormat
from penstock.formats.fields import Format, Words
from penstock.formats.json import JsonFormat

__all__ = ["Block", "CsvFormat", "Format", "JsonFormat", "LineFormat", "MalformedLine", "Refused", "Words"]

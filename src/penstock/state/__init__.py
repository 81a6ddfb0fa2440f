"""State by key that is versioned: a batch costs what it touches, and a batch that fails changes nothing."""

from penstock.state.changes import TableChange, changed, difference, whole
from penstock.state.handle import State
from penstock.state.rows import RowUpdate, RowVersion

__all__ = ["RowUpdate", "RowVersion", "State", "TableChange", "changed", "difference", "whole"]

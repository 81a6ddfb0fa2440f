"""``penstock ...``: the command line."""

from penstock.cli.main import main

__all__ = ["main"]

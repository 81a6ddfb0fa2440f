"""What user functions mean, found without running them."""

from penstock.vectorize.reading import only_reads_items

__all__ = ["only_reads_items"]

"""Streams that are written: a directory a batch."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath
from types import NoneType
from typing import Any

from penstock.dstream.outputs import batch_directory, save_batch
from penstock.dstream.windowed import Windowed
from penstock.errors import SignatureError
from penstock.sinks import CsvFormat, JsonFormat, ParquetFormat, PartFormat, PickleFormat, TextFormat

__all__ = ["Saves"]

Prefix = str | PathLike[str]


class Saves(Windowed):
    """Outputs that write files.

    Each batch is a directory ``<prefix>-<batch time in ms>[.<suffix>]`` with a file ``part-00000<extension>``
    a partition, and ``_SUCCESS`` last. It appears whole or not at all, for an empty batch too, unless
    ``skipEmpty``: then a batch without records has none. A batch that is run again after a crash leaves the
    same directory, so every record is there exactly once; with ``skipEmpty`` there is still none if it is
    empty. On an object store the parts are there before ``_SUCCESS`` is: wait for that.
    """

    __slots__ = ()

    def saveAsTextFiles(
        self,
        prefix: Prefix,
        suffix: str | None = None,
        codec: str | None = None,
        skipEmpty: bool = False,
    ) -> None:
        """Each batch as a directory ``<prefix>-<batch time in ms>[.<suffix>]`` of text files, a line a
        record, a ``part-00000`` a partition, ``_SUCCESS`` last. The directory appears whole or not at all,
        for an empty batch too, unless ``skipEmpty``: then a batch without records leaves nothing, and nothing
        again if it is run again.

        ``codec`` is ``gzip``, ``bz2``, ``xz`` or ``zstd``, or a Hadoop class name of one of these.
        """
        self._save("saveAsTextFiles", prefix, suffix, skipEmpty, lambda: TextFormat(codec, "saveAsTextFiles"))

    def saveAsPickleFiles(
        self, prefix: Prefix, suffix: str | None = None, *, skipEmpty: bool = False
    ) -> None:
        """Each batch as a directory, as ``saveAsTextFiles``, of files that ``sc.pickleFile`` reads back."""
        self._save("saveAsPickleFiles", prefix, suffix, skipEmpty, lambda: PickleFormat("saveAsPickleFiles"))

    def saveAsObjectFiles(
        self, prefix: Prefix, suffix: str | None = None, *, skipEmpty: bool = False
    ) -> None:
        """``saveAsPickleFiles`` under Scala's name."""
        self._save("saveAsObjectFiles", prefix, suffix, skipEmpty, lambda: PickleFormat("saveAsObjectFiles"))

    def saveAsJsonFiles(
        self,
        prefix: Prefix,
        suffix: str | None = None,
        *,
        codec: str | None = None,
        skipEmpty: bool = False,
    ) -> None:
        """Each batch as a directory, as ``saveAsTextFiles``, of JSON lines ``part-00000.json``; what a value
        becomes is in ``RDD.saveAsJsonFile``. A partition without records has no file."""
        self._save(
            "saveAsJsonFiles", prefix, suffix, skipEmpty, lambda: JsonFormat("saveAsJsonFiles", codec=codec)
        )

    def saveAsCsvFiles(
        self,
        prefix: Prefix,
        suffix: str | None = None,
        *,
        header: bool = False,
        sep: str = ",",
        codec: str | None = None,
        skipEmpty: bool = False,
    ) -> None:
        """Each batch as a directory, as ``saveAsTextFiles``, of CSV files ``part-00000.csv``; what a value
        becomes is in ``RDD.saveAsCsvFile``. A partition without records has a file with nothing but the
        header if the fields are known before anything runs (``explain`` shows columns), and else none."""

        def format() -> PartFormat:
            return CsvFormat("saveAsCsvFiles", header=header, sep=sep, codec=codec)

        self._save("saveAsCsvFiles", prefix, suffix, skipEmpty, format)

    def saveAsParquetFiles(
        self,
        prefix: Prefix,
        suffix: str | None = None,
        *,
        schema: Any = None,
        compression: str = "snappy",
        rowGroupSize: int | None = None,
        skipEmpty: bool = False,
    ) -> None:
        """Each batch as a directory, as ``saveAsTextFiles``, of Parquet files ``part-00000.parquet``; the
        arguments are those of ``RDD.saveAsParquetFile``. The schema is the same in all batches if ``schema``
        is given, or if the records are known to be columns before anything runs (``explain`` shows it); a
        partition without records then has a file of no rows. Otherwise the records of the batch decide, and a
        partition without any has no file.

        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> batches = [[(1, "a")], []]
        >>> save = lambda s: s.saveAsParquetFiles(folder + "/pairs", schema=tuple[int, str])
        >>> _ = run_batches(batches, save, numPartitions=1)
        >>> import pyarrow.parquet as pq
        >>> [pq.read_table(f"{folder}/pairs-{ms}/part-00000.parquet").to_pylist() for ms in (1000, 2000)]
        [[{'_1': 1, '_2': 'a'}], []]
        """

        def format() -> PartFormat:
            return ParquetFormat(
                "saveAsParquetFiles", schema=schema, compression=compression, row_group_rows=rowGroupSize
            )

        self._save("saveAsParquetFiles", prefix, suffix, skipEmpty, format)

    def _save(
        self,
        operation: str,
        prefix: Prefix,
        suffix: str | None,
        skip_empty: bool,
        format: Callable[[], PartFormat],
    ) -> None:
        if not isinstance(prefix, (str, PathLike)) or not isinstance(suffix, (str, NoneType)):
            raise SignatureError(
                f"{operation} needs a prefix and a suffix of text, not {prefix!r}, {suffix!r}"
            )
        if not isinstance(skip_empty, bool):
            raise SignatureError(f"skipEmpty of {operation} must be True or False, not {skip_empty!r}")
        prefix = fspath(prefix)
        save = save_batch(prefix, suffix, self._ssc.graph.run, format(), skip_empty)
        self._output(operation, save, writes=batch_directory(prefix, suffix, "<ms>"))

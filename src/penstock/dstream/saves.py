"""Streams that are written: a directory a batch."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath
from types import NoneType
from typing import Any, Literal

from penstock.conf import SIZE
from penstock.dstream.outputs import batch_directory, place_of, save_batch
from penstock.dstream.windowed import Windowed
from penstock.errors import ArgumentError, SignatureError
from penstock.rdd import RDD
from penstock.sinks import (
    CsvFormat,
    FileSet,
    JsonFormat,
    ParquetFormat,
    PartFormat,
    PickleFormat,
    Rolling,
    TextFormat,
)
from penstock.times import BatchTime, DurationLike, milliseconds_of

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

    def saveAsFileSet(
        self,
        directory: Prefix,
        format: Literal["parquet", "csv", "json", "text"] = "parquet",
        *,
        maxFileBytes: int | str = "128m",
        maxFileAge: DurationLike = 3600,
        retain: DurationLike | None = None,
        grace: DurationLike = 600,
        schema: Any = None,
        compression: str = "snappy",
        header: bool = True,
        sep: str = ",",
        name: str = "",
    ) -> None:
        """All batches as one growing set of files in a directory, each record exactly once.

        The files of a batch are small. They are merged, and once there are ``maxFileBytes`` of them, or
        their first batch is older than ``maxFileAge``, they are *sealed*: one file
        ``part-<first batch time in ms>-<last>-...`` in ``directory``, which never changes again. What counts
        is in the manifest below it.

        - ``penstock.files_of_set(directory)`` gives the files of all batches that are complete. A reader that
          asks for them sees every record once, and each batch whole. Files that were merged stay for
          ``grace``.
        - Who just reads ``directory/*.parquet`` sees the sealed files: whole files, every record at most once
          and none of a batch that is not complete, but the newest only once they are sealed. A batch may be
          in several of them.

        A batch that is run again after a crash is left out if it was added, and else writes its own files
        again; programs may add to one set at the same time. ``retain`` drops files whose newest batch is
        older than that; of sets of more than two thousand sealed files a thousand at a time. ``schema`` and
        ``compression`` are those of ``saveAsParquetFiles``, ``header`` and ``sep`` those of
        ``saveAsCsvFiles``; ``name`` tells several outputs into one set apart. A merge holds about
        ``maxFileBytes`` in memory. The store must be able to create a file if there is none.

        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> batches = [[("a", 1)], [("b", 2)], [("c", 3)]]
        >>> save = lambda s: s.saveAsFileSet(folder, "csv", maxFileAge=2)
        >>> _ = run_batches(batches, save, numPartitions=1)
        >>> sc.textFile(",".join(files_of_set(folder))).collect()
        ['_1,_2', 'a,1', 'b,2', 'c,3']
        """
        if not isinstance(directory, (str, PathLike)) or not directory or not isinstance(name, str):
            raise SignatureError(
                f"saveAsFileSet needs a directory and perhaps a name, not {directory!r}, {name!r}"
            )
        made: PartFormat
        if format == "parquet":
            made = ParquetFormat("saveAsFileSet", schema=schema, compression=compression)
        elif format == "csv":
            made = CsvFormat("saveAsFileSet", header=header, sep=sep, codec=None)
        elif format == "json":
            made = JsonFormat("saveAsFileSet", codec=None)
        elif format == "text":
            made = TextFormat(None, "saveAsFileSet")
            made.extension = ".txt"
        else:
            raise ArgumentError(f"saveAsFileSet has no format {format!r}. Hint: parquet, csv, json or text.")
        try:
            size = SIZE.parse(maxFileBytes) if isinstance(maxFileBytes, str) else maxFileBytes
        except ValueError as error:
            raise ArgumentError(f"maxFileBytes of saveAsFileSet: {error}") from None
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ArgumentError(f"maxFileBytes of saveAsFileSet must be at least 1, not {maxFileBytes!r}")
        rolling = Rolling(
            size,
            milliseconds_of(maxFileAge, "maxFileAge"),
            milliseconds_of(grace, "grace"),
            None if retain is None else milliseconds_of(retain, "retain"),
        )
        place, run = fspath(directory), self._ssc.graph.run
        target = FileSet(place, made, format, rolling, name)

        def save(time: BatchTime, rdd: RDD) -> None:
            target.write(rdd.context, rdd.plan, time, run.id, durable=run.sync_outputs)

        own = name or "the set"
        self._output("saveAsFileSet", save, writes=f"{own} in {place}", place=f"{own} in {place_of(place)}")

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
        writes = batch_directory(prefix, suffix, "<ms>")
        self._output(operation, save, writes=writes, place=place_of(writes))

"""RDD: the user's handle on a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from penstock.chunk import Chunk, Columns, exact_row_type
from penstock.errors import SignatureError, StateError, UnsupportedError
from penstock.plan import Node, StorageLevel, Task, debug_string, explained
from penstock.rdd.actions import Actions
from penstock.rdd.indexing import flat
from penstock.sinks import (
    CsvFormat,
    JsonFormat,
    MessageShape,
    ParquetFormat,
    save_directory,
    save_kafka,
    save_pickle_directory,
    save_text_directory,
)
from penstock.sources import OffsetRange, offset_ranges_of

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["RDD"]


class RDD(Actions):
    """A lazily computed, partitioned collection of Python objects, with PySpark's methods.

    Made by a :class:`~penstock.Context` (``sc.parallelize``, ``sc.textFile``, ...) and by other RDDs.
    Functions given to its methods may change the records they get: nobody else sees those.

    >>> words = sc.parallelize(["b a", "a"]).flatMap(str.split)
    >>> words.map(lambda word: (word, 1)).reduceByKey(int.__add__).sortByKey().collect()
    [('a', 2), ('b', 1)]
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"RDD[{self._id}] {self._name or ''} at {self.plan.site}".replace("  ", " ")

    def id(self) -> int:
        """A number no other RDD of this context has."""
        return self._id

    def name(self) -> str | None:
        """What ``setName`` gave, or ``None``."""
        return self._name

    @property
    def ctx(self) -> Any:
        """The context, under PySpark's other name."""
        return self.context

    def getNumPartitions(self) -> int:
        """How many partitions.

        >>> sc.parallelize(range(10), 3).getNumPartitions()
        3
        """
        return self.plan.partitions

    def offsetRanges(self) -> list[OffsetRange]:
        """Of an RDD of ``KafkaUtils``, the range of offsets that each partition is. ``StateError`` for any
        other RDD, also one that was made of such.

        >>> sc.parallelize([1]).offsetRanges()
        Traceback (most recent call last):
        penstock.errors.StateError: offsetRanges (...) is known of the RDDs of createDirectStream ...
        """
        return offset_ranges_of(self.plan, self._site("offsetRanges"))

    def toDebugString(self) -> str:
        """The plan as text, youngest node first, a stage indented under what shuffles it.

        >>> print(sc.parallelize([1], 1).map(abs).toDebugString())  # doctest: +ELLIPSIS
        (1) Narrow map at map (...)
          ...
        """

        def kept(node: Node) -> str:
            level = self.context.level_of(node)
            return "" if level == StorageLevel.NONE else f" [{level}]"

        return debug_string(self.plan, kept)

    def explain(self) -> str:
        """For each step whether it runs on columns, on which, or else on rows, and why; see
        ``DStream.explain``.

        >>> import pyarrow as pa
        >>> numbers = sc.fromArrow(pa.table({"n": [1, 2]}), 1)
        >>> print(numbers.map(lambda row: row.n + 1).map(repr).explain())  # doctest: +ELLIPSIS
          1 fromArrow at ...: columns: Row(n: int)
          2 map at ... of 1: columns: int
          3 map at ... of 2: rows: repr is a builtin_function_or_method, which is neither plain data nor known
          ...
        """
        return explained(self.plan, self.context.elsewhere)

    # Keeping

    def persist(self, storageLevel: StorageLevel = StorageLevel.MEMORY_ONLY) -> Self:
        """Keep the partitions once they are computed; returns this RDD. ``StateError`` if it is kept
        already at another level.

        >>> sc.parallelize([1]).persist(StorageLevel.DISK_ONLY).getStorageLevel() == StorageLevel.DISK_ONLY
        True
        """
        if not isinstance(storageLevel, StorageLevel):
            raise SignatureError(f"persist needs a StorageLevel, not {type(storageLevel).__name__}")
        known = self.context.level_of(self.plan)
        if known not in (StorageLevel.NONE, storageLevel):
            raise StateError(
                f"cannot change the storage level of {self!r} from {known} to {storageLevel}. "
                f"Hint: unpersist() it first."
            )
        self.context.keep(self.plan, storageLevel)
        return self

    def cache(self) -> Self:
        """``persist(StorageLevel.MEMORY_ONLY)``.

        >>> sc.parallelize([1]).cache().is_cached
        True
        """
        return self.persist(StorageLevel.MEMORY_ONLY)

    def unpersist(self, blocking: bool = False) -> Self:
        """Forget what was kept; returns this RDD.

        >>> sc.parallelize([1]).cache().unpersist().is_cached
        False
        """
        self.context.drop(self.plan)
        return self

    @property
    def is_cached(self) -> bool:
        """Whether it is persisted."""
        return self.context.level_of(self.plan) != StorageLevel.NONE

    def getStorageLevel(self) -> StorageLevel:
        """How it is kept; ``StorageLevel.NONE`` if it is not."""
        return self.context.level_of(self.plan)

    def checkpoint(self) -> None:
        """Write this RDD to the checkpoint directory with the first job that reads it; it is read from
        there afterwards. ``StateError`` if ``sc.setCheckpointDir`` was not called.
        """
        self.context.request_checkpoint(self.plan)

    def isCheckpointed(self) -> bool:
        """Whether it has been written to the checkpoint directory."""
        return self.getCheckpointFile() is not None

    def getCheckpointFile(self) -> str | None:
        """The directory it was written to, or ``None``."""
        return self.context.checkpoint_file(self.plan)

    # Leaving

    def saveAsTextFile(self, path: str, compressionCodecClass: str | None = None) -> None:
        """Write ``str(record)`` a line to ``path/part-00000``, ... and ``path/_SUCCESS`` last; the whole
        directory appears at once. ``bytes`` are written as they are.

        ``compressionCodecClass`` is ``gzip``, ``bz2``, ``xz`` or ``zstd``, or a Hadoop class name of one of
        these. ``OutputExists`` if ``path`` is there.
        """
        save_text_directory(self.context, self.plan, path, codec=compressionCodecClass)

    def saveAsPickleFile(self, path: str, batchSize: int = 10) -> None:
        """Write the records so that ``sc.pickleFile`` reads them back. ``OutputExists`` if ``path`` is
        there; ``batchSize`` is accepted and not needed.
        """
        save_pickle_directory(self.context, self.plan, path)

    def saveToKafka(
        self,
        topic: str,
        kafkaParams: Mapping[str, Any],
        key: Callable[[Any], Any] | None = None,
        value: Callable[[Any], Any] | None = None,
        headers: Callable[[Any], Any] | None = None,
    ) -> None:
        """Send each record to a topic as a message, and return when all have arrived at all brokers that must
        have them; ``StorageError`` if one has not. Not in PySpark.

        ``kafkaParams`` are librdkafka's settings of a producer, ``bootstrap.servers`` among them.
        ``key(record)`` and ``value(record)`` give ``bytes``, ``str`` or ``None``; without them a pair gives
        its key and its value, any other record is the value: ``str`` and ``bytes`` as they are, all else as
        ``str(record)``. ``headers(record)`` gives pairs of a name and ``bytes`` or ``str``, in
        a list or as a dict.

        One producer per process and ``kafkaParams`` sends them, idempotently. Each message has the header
        ``penstock-record``: ``0/<partition>/<number>``.
        """
        shape = MessageShape.of(topic, kafkaParams, key, value, headers, self._site("saveToKafka"))
        save_kafka(self.context, self.plan, shape)

    def saveAsParquetFile(
        self,
        path: str,
        *,
        schema: Any = None,
        compression: str = "snappy",
        rowGroupSize: int | None = None,
    ) -> None:
        """Write a Parquet file a partition, ``path/part-00000.parquet``, ..., and ``_SUCCESS`` last; the
        whole directory appears at once. ``OutputExists`` if ``path`` is there.

        The columns are those of :meth:`toArrow`, and all may hold nulls. ``schema`` says of what types they
        are: a record class, ``tuple[int, str]`` and the like, or a ``pyarrow.Schema``, to which values are
        cast if that loses nothing. Without it the records decide, all of which are held as columns meanwhile,
        unless they are known to be columns (see :meth:`explain`). ``RowTypeError`` names the first record
        that does not fit. ``compression`` is ``snappy``, ``zstd``, ``gzip``, ``lz4``, ``brotli`` or ``none``,
        ``rowGroupSize`` the most records in a row group (default: a million, or 64 MB of them).

        >>> import tempfile, pyarrow.parquet
        >>> folder = tempfile.mkdtemp() + "/out"
        >>> sc.parallelize([(1, "a"), (2, None)], 1).saveAsParquetFile(folder)
        >>> pyarrow.parquet.read_table(folder).to_pydict()
        {'_1': [1, 2], '_2': ['a', None]}
        """
        format = ParquetFormat(
            "saveAsParquetFile", schema=schema, compression=compression, row_group_rows=rowGroupSize
        )
        save_directory(self.context, self.plan, path, format)

    def saveAsJsonFile(self, path: str, *, codec: str | None = None) -> None:
        """Write JSON lines, a file a partition that has records: ``path/part-00000.json``, ..., and
        ``_SUCCESS`` last; the whole directory appears at once. ``OutputExists`` if ``path`` is there.

        A record is an object of its fields, a tuple one of ``_1``, ``_2``, ..., anything but a ``dict`` one
        of ``value``. Floats and ints are written as Python's ``repr``, NaN and infinities as the strings
        ``"NaN"``, ``"Infinity"``, ``"-Infinity"``, ``None`` as ``null``, dates and times as ISO strings,
        ``bytes`` as base64; lists and dicts are arrays and objects. ``RowTypeError`` names a record with
        anything else. ``codec`` is as in ``saveAsTextFile``.

        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/out"
        >>> sc.parallelize([(1, "a"), (2, None)], 1).saveAsJsonFile(folder)
        >>> sc.textFile(folder).collect()
        ['{"_1":1,"_2":"a"}', '{"_1":2,"_2":null}']
        """
        save_directory(self.context, self.plan, path, JsonFormat("saveAsJsonFile", codec=codec))

    def saveAsCsvFile(
        self, path: str, *, header: bool = False, sep: str = ",", codec: str | None = None
    ) -> None:
        """Write CSV, a file a partition that has records: ``path/part-00000.csv``, ..., and ``_SUCCESS``
        last; the whole directory appears at once. ``OutputExists`` if ``path`` is there.

        Columns are a record's fields, ``_1``, ``_2``, ... of a tuple, ``value`` of anything else; ``header``
        writes their names first. ``None`` is an empty field, an empty text ``""``; text stands in quotes
        where it has the separator, quotes or line ends. Floats and ints are written as Python's ``repr``,
        bools as ``true`` and ``false``, dates and times in ISO with a blank between, ``bytes`` as base64.
        ``RowTypeError`` names a record with anything else, or with other fields than those before.
        ``sep`` is one ASCII character, ``codec`` is as in ``saveAsTextFile``.

        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/out"
        >>> sc.parallelize([(1, "a"), (2, "b,c")], 1).saveAsCsvFile(folder, header=True)
        >>> sc.textFile(folder).collect()
        ['_1,_2', '1,a', '2,"b,c"']
        """
        format = CsvFormat("saveAsCsvFile", header=header, sep=sep, codec=codec)
        save_directory(self.context, self.plan, path, format)

    def toArrow(self) -> pyarrow.Table:
        """The records as an Arrow table with columns of exactly their types.

        Scalars give one column ``value``, tuples ``_1``, ``_2``, ..., records their fields.
        ``RowTypeError`` names the first record that fits no type, such as 2.5 among ints.

        >>> sc.parallelize([(1, "a"), (2, "b")]).toArrow().to_pydict()
        {'_1': [1, 2], '_2': ['a', 'b']}
        """
        import pyarrow

        chunks: list[Chunk] = flat(self._run(_owned))
        columns = [chunk for chunk in chunks if isinstance(chunk, Columns)]
        if chunks and len(columns) == len(chunks) and len({part.row_type for part in columns}) == 1:
            parts = columns
        else:
            rows: list[Any] = [row for chunk in chunks for row in chunk.rows()]
            row_type = exact_row_type(rows)
            parts = [Columns.from_rows(rows, row_type)]
        return pyarrow.Table.from_batches([part.to_arrow() for part in parts])

    def toPandas(self) -> pandas.DataFrame:
        """The records as a pandas DataFrame, through :meth:`toArrow`; needs the ``pandas`` extra."""
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise UnsupportedError("toPandas needs pandas. Hint: pip install 'penstock[pandas]'.") from None
        frame: pandas.DataFrame = self.toArrow().to_pandas()
        return frame


def _owned(task: Task, chunks: Iterator[Chunk]) -> list[Chunk]:
    return list(chunks)

"""Streams of the files that appear in a directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from penstock.chunk import RowType
from penstock.conf import MIN_REMEMBER_DURATION, MOST_WAITING, SPLIT_BYTES
from penstock.context.inputs import Inputs, must_be_positive
from penstock.dstream import DStream
from penstock.errors import ArgumentError, SignatureError
from penstock.plan import PartitionReader
from penstock.sources import (
    OFFSET_AND_TEXT,
    TEXT,
    AfterCommit,
    FilePath,
    FileSource,
    FixedRecords,
    InputFormat,
    Limits,
    NumberedLines,
    NumberedTables,
    WholeFiles,
    format_readers,
    must_be_partial,
    record_length,
    root_of,
    row_options,
    text_readers,
)
from penstock.storage import FileInfo, Storage, storage_for
from penstock.times import DurationLike, milliseconds_of

__all__ = ["FileInputs"]

Readers = Callable[[Storage, FileInfo, int], list[PartitionReader]]
_FORMATS = ("text", "wholetext", "wholebytes", "csv", "jsonl", "parquet", "arrow")


class FileInputs(Inputs):
    """The inputs of a context that are files.

    What they have in common, by name:

    - ``newFilesOnly=False`` takes the files that are there at the start too.
    - ``recursive=True`` takes those in directories below, at any depth, also in directories that come later;
      directories whose names begin with ``.`` or ``_`` are left alone.
    - ``filter(path)`` is asked once for each file, with its path or URL as a :class:`FilePath`: text that has
      ``name``, ``suffix``, ``stem``, ``parent`` and ``match`` too. If it raises, the batch fails, and it is
      asked again for the next.
    - ``maxFilesPerBatch`` and ``maxBytesPerBatch`` let the others wait, in the order in which they appeared
      and, of those that appeared together, of their paths. One file is taken however large it is.
    - ``stableFor``: seconds for which neither the size nor the time of a file may have changed before it is
      taken. Those behind it need not wait. ``start(availableNow=True)`` cannot wait, so it leaves files that
      changed less than that ago to the next run.
    - ``afterCommit="delete"`` or ``afterCommit="archive:DIRECTORY"`` deletes or moves each file once the
      batch that read it is committed, and its RDDs are not remembered any more; not if the batch fails. In
      the archive a file keeps its path below the watched directory, with a number if there is one already;
      what lies in the archive is never read. With a checkpoint a run ends what one before could not.
    """

    def textFileStream(
        self,
        directory: str | PathLike[str],
        newFilesOnly: bool = True,
        maxFilesPerBatch: int | None = None,
        *,
        withSource: bool = False,
        filter: Callable[[FilePath], object] | None = None,
        recursive: bool = False,
        maxBytesPerBatch: int | None = None,
        stableFor: DurationLike | None = None,
        afterCommit: str | None = None,
    ) -> DStream:
        """The lines of the files that appear in ``directory``, each file exactly once, whatever its date.

        ``directory`` may be a glob of directories, and may be made later. Names beginning with ``.`` or ``_``
        and names ending with ``._COPYING_`` are left alone, so write under such a name and rename.
        ``newFilesOnly=False`` takes the files that are there at the start too; ``maxFilesPerBatch`` lets the
        others wait, in the order of their paths. ``withSource=True`` gives
        ``SourceLine(source, number, text)`` instead of ``str``. Lines are read as ``sc.textFile`` reads them.
        The other arguments are those of :class:`FileInputs`.
        """
        split = self._sc.conf.value(SPLIT_BYTES)

        def readers(storage: Storage, file: FileInfo, origin: int) -> list[PartitionReader]:
            return text_readers(storage, file, split_bytes=split, numbered=withSource, origin=origin)

        return self._files(
            "textFileStream", directory, readers, None if withSource else TEXT, newFilesOnly, recursive,
            _limits(filter, maxFilesPerBatch, maxBytesPerBatch, stableFor), afterCommit,
        )  # fmt: skip

    def binaryRecordsStream(
        self,
        directory: str | PathLike[str],
        recordLength: int | None = None,
        newFilesOnly: bool = True,
        maxFilesPerBatch: int | None = None,
        *,
        dtype: Any = None,
        cls: type | None = None,
        partial: str = "reject",
        filter: Callable[[FilePath], object] | None = None,
        recursive: bool = False,
        maxBytesPerBatch: int | None = None,
        stableFor: DurationLike | None = None,
        afterCommit: str | None = None,
    ) -> DStream:
        """The bytes of the files that appear in ``directory``, in records of ``recordLength``; which files
        these are is as in :meth:`textFileStream`.

        With a NumPy ``dtype`` each record is read by it, and the length may be left out: one with fields
        gives records of ``cls``, a NamedTuple or dataclass with the same names and classes, or of a
        NamedTuple ``Row``; any other gives numbers, bools or bytes. They are columns from the start.

        ``partial`` is what becomes of the bytes behind the last whole record of a file: ``reject`` puts them
        into ``.rejects`` of this stream, as a ``Reject`` whose text is their ``hex()``, logs a warning, and
        counts them as ``partial_records`` and ``partial_bytes`` in the listener's metadata; ``fail`` fails
        the batch. The other arguments are those of :class:`FileInputs`.

        >>> import numpy, pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> layout = numpy.dtype([("id", "<i8"), ("price", "<f8")])
        >>> _ = (folder / "a.bin").write_bytes(numpy.array([(1, 51.0)], layout).tobytes())
        >>> ssc, seen = StreamingContext(sc, 1), []
        >>> records = ssc.binaryRecordsStream(folder, dtype=layout, newFilesOnly=False)
        >>> records.foreachRDD(lambda rdd: seen.extend(rdd.collect()))
        >>> ssc.start(availableNow=True)
        >>> ssc.awaitTermination()
        >>> seen
        [Row(id=1, price=51.0)]
        """
        length, layout = record_length(recordLength, dtype, cls)
        wanted = must_be_partial(partial)

        def readers(storage: Storage, file: FileInfo, origin: int) -> list[PartitionReader]:
            return [FixedRecords(storage, file, length, origin, partial=wanted, layout=layout)]

        return self._files(
            "binaryRecordsStream", directory, readers, None if layout is None else layout.row_type,
            newFilesOnly, recursive, _limits(filter, maxFilesPerBatch, maxBytesPerBatch, stableFor),
            afterCommit, may_refuse=wanted == "reject",
        )  # fmt: skip

    def fileStream(
        self,
        directory: str | PathLike[str],
        format: str | InputFormat | type[InputFormat] = "text",
        filter: Callable[[FilePath], object] | None = None,
        newFilesOnly: bool = True,
        conf: Mapping[str, Any] | None = None,
        *,
        recursive: bool = False,
        maxFilesPerBatch: int | None = None,
        maxBytesPerBatch: int | None = None,
        stableFor: DurationLike | None = None,
        afterCommit: str | None = None,
    ) -> DStream:
        """``(key, value)`` pairs of the files that appear in ``directory``; which files these are is as in
        :meth:`textFileStream`, and the other arguments are those of :class:`FileInputs`.

        ============== ===================================== ==============================================
        ``format``     key, value                            ``conf``
        ============== ===================================== ==============================================
        ``text``       byte at which the line begins, line
        ``wholetext``  path or URL, text
        ``wholebytes`` path or URL, bytes
        ``csv``        row number, record                    ``class sep header names words formats onError``
        ``jsonl``      row number, record                    ``class unknown words formats onError``
        ``parquet``    row number, record                    ``class columns``
        ``arrow``      row number, record                    ``class columns``
        ============== ===================================== ==============================================

        Row numbers are places in the file, from 0. With a ``class``, a NamedTuple or dataclass, records are
        its instances; of ``csv`` and ``jsonl`` then as ``parseCsv`` and ``parseJson`` read lines, with their
        arguments. Without one, a row of ``csv`` is a dict of texts, by the names in the first line or in
        ``names``; of ``jsonl`` it is what JSON says; of ``parquet`` and ``arrow`` (IPC, file or stream) it is
        a NamedTuple ``Row``, as ``sc.fromArrow`` gives. Lines that are no record are in ``.rejects`` of this
        stream (``onError`` as for ``parseCsv``). The text formats are decompressed by their extension.

        For any other format give an :class:`InputFormat`, or its class; ``conf`` is handed to its ``read``.

        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.csv").write_text("id,price\\n1,51.00\\n")
        >>> ssc, seen = StreamingContext(sc, 1), []
        >>> rows = ssc.fileStream(folder, "csv", lambda path: path.suffix == ".csv", newFilesOnly=False)
        >>> rows.foreachRDD(lambda rdd: seen.extend(rdd.collect()))
        >>> ssc.start(availableNow=True)
        >>> ssc.awaitTermination()
        >>> seen
        [(0, {'id': '1', 'price': '51.00'})]
        """
        if conf is not None and not isinstance(conf, Mapping):
            raise SignatureError(f"conf should be a dict, not {type(conf).__name__}")
        readers, row_type, may_refuse, pure = self._format(format, dict(conf or {}))
        return self._files(
            "fileStream", directory, readers, row_type, newFilesOnly, recursive,
            _limits(filter, maxFilesPerBatch, maxBytesPerBatch, stableFor), afterCommit,
            may_refuse=may_refuse, pure=pure,
        )  # fmt: skip

    def _format(
        self, format: str | InputFormat | type[InputFormat], conf: dict[str, Any]
    ) -> tuple[Readers, RowType | None, bool, bool]:
        """How files are read, the row type, whether there may be rejects, and whether none but our own code
        is run."""
        if isinstance(format, type) and issubclass(format, InputFormat):
            format = format()
        if isinstance(format, InputFormat):
            own = format
            return (
                lambda storage, file, origin: format_readers(storage, file, own, conf, origin)
            ), None, False, False  # fmt: skip
        if format not in _FORMATS:
            raise ArgumentError(
                f"fileStream knows no format {format!r}. Hint: one of {', '.join(_FORMATS)}, or an "
                f"InputFormat of your own."
            )
        if format in ("text", "wholetext", "wholebytes"):
            if conf:
                raise ArgumentError(f"the format {format} takes nothing in conf, but has {', '.join(conf)}")
            if format == "text":
                split = self._sc.conf.value(SPLIT_BYTES)
                return (
                    lambda storage, file, origin: text_readers(
                        storage, file, split_bytes=split, offsets=True, origin=origin
                    )
                ), OFFSET_AND_TEXT, False, True  # fmt: skip
            text = format == "wholetext"
            return (
                lambda storage, file, origin: [WholeFiles(storage, [file], text=text, origin=origin)]
            ), None, False, True  # fmt: skip
        options = row_options(format, conf)
        kind = NumberedLines if format in ("csv", "jsonl") else NumberedTables

        def readers(storage: Storage, file: FileInfo, origin: int) -> list[PartitionReader]:
            return [kind(storage, file, options, origin)] if file.size else []

        return readers, options.row_type, options.can_refuse, True

    def _files(
        self,
        operation: str,
        directory: str | PathLike[str],
        readers: Readers,
        row_type: RowType | None,
        new_files_only: bool,
        recursive: bool,
        limits: Limits,
        after_commit: str | None,
        *,
        may_refuse: bool = False,
        pure: bool = True,
    ) -> DStream:
        self.must_be_open()
        if not isinstance(directory, (str, PathLike)):
            raise SignatureError(f"{operation} needs a directory, not {type(directory).__name__}")
        storage, pattern = storage_for(directory)
        origin = len(self._graph.inputs)
        source = FileSource(
            storage,
            pattern,
            lambda file: readers(storage, file, origin),
            clock=self._clock,
            new_files_only=new_files_only,
            recursive=recursive,
            limits=limits,
            after_commit=_after_commit(after_commit, storage, pattern),
            interval_ms=self._graph.interval_ms,
            most_waiting=self._sc.conf.value(MOST_WAITING),
            watch_ms=self._sc.conf.value(MIN_REMEMBER_DURATION),
            row_type=row_type,
        )
        source.reads_ahead = pure
        return self._input(operation, source, may_refuse=may_refuse)


def _limits(
    filter: Callable[[FilePath], object] | None,
    max_files: int | None,
    max_bytes: int | None,
    stable_for: DurationLike | None,
) -> Limits:
    if filter is not None and not callable(filter):
        raise SignatureError(f"filter should be a function of a path, not {filter!r}")
    if max_files is not None:
        must_be_positive(max_files, "maxFilesPerBatch")
    if max_bytes is not None:
        must_be_positive(max_bytes, "maxBytesPerBatch")
    stable_ms = 0 if stable_for is None else milliseconds_of(stable_for, "stableFor")
    return Limits(filter, max_files, max_bytes, stable_ms)


def _after_commit(wanted: str | None, storage: Storage, pattern: str) -> AfterCommit | None:
    if wanted is None:
        return None
    if not isinstance(wanted, str):
        raise SignatureError(f"afterCommit should be 'delete' or 'archive:DIRECTORY', not {wanted!r}")
    if wanted == "delete":
        return AfterCommit("delete")
    action, colon, location = wanted.partition(":")
    if action != "archive" or not colon or not location:
        raise ArgumentError(f"afterCommit should be 'delete' or 'archive:DIRECTORY', not {wanted!r}")
    own, archive = storage_for(location)
    archive = archive.rstrip("/") or archive
    if own != storage:
        raise ArgumentError(
            f"the archive {location} is in another store than {storage.url(pattern)}. "
            f"Hint: archive within that store, or write the files elsewhere with foreachRDD."
        )
    root = root_of(pattern).rstrip("/")
    if root == archive or root.startswith(f"{archive}/"):
        raise ArgumentError(
            f"the archive {location} is, or holds, the directory that is watched, so nothing would be read. "
            f"Hint: a directory beside it or within it."
        )
    return AfterCommit("archive", archive)

"""Streams of the files that appear in a directory."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

from penstock.chunk import RowType
from penstock.conf import MIN_REMEMBER_DURATION, SPLIT_BYTES
from penstock.context.inputs import Inputs, must_be_positive
from penstock.dstream import DStream
from penstock.errors import SignatureError
from penstock.plan import PartitionReader
from penstock.sources import TEXT, FileSource, FixedRecords, text_readers
from penstock.storage import FileInfo, Storage, storage_for

__all__ = ["FileInputs"]


class FileInputs(Inputs):
    """The inputs of a context that are files."""

    def textFileStream(
        self,
        directory: str | PathLike[str],
        newFilesOnly: bool = True,
        maxFilesPerBatch: int | None = None,
        *,
        withSource: bool = False,
    ) -> DStream:
        """The lines of the files that appear in ``directory``, each file exactly once, whatever its date.

        ``directory`` may be a glob of directories, and may be made later. Names beginning with ``.`` or ``_``
        and names ending with ``._COPYING_`` are left alone, so write under such a name and rename.
        ``newFilesOnly=False`` takes the files that are there at the start too; ``maxFilesPerBatch`` lets the
        others wait, in the order of their paths. ``withSource=True`` gives
        ``SourceLine(source, number, text)`` instead of ``str``. Lines are read as ``sc.textFile`` reads them.
        """
        split = self._sc.conf.value(SPLIT_BYTES)

        def readers(storage: Storage, file: FileInfo, origin: int) -> list[PartitionReader]:
            return text_readers(storage, file, split_bytes=split, numbered=withSource, origin=origin)

        row_type = None if withSource else TEXT
        return self._files("textFileStream", directory, readers, newFilesOnly, maxFilesPerBatch, row_type)

    def binaryRecordsStream(
        self,
        directory: str | PathLike[str],
        recordLength: int,
        newFilesOnly: bool = True,
        maxFilesPerBatch: int | None = None,
    ) -> DStream:
        """The bytes of the files that appear in ``directory``, in records of ``recordLength``; which files
        these are is as in :meth:`textFileStream`. A file that is no whole number of records fails its batch.
        """
        must_be_positive(recordLength, "recordLength")

        def readers(storage: Storage, file: FileInfo, origin: int) -> list[PartitionReader]:
            return [FixedRecords(storage, file, recordLength, origin)]

        return self._files("binaryRecordsStream", directory, readers, newFilesOnly, maxFilesPerBatch)

    def _files(
        self,
        operation: str,
        directory: str | PathLike[str],
        readers: Callable[[Storage, FileInfo, int], list[PartitionReader]],
        new_files_only: bool,
        max_files: int | None,
        row_type: RowType | None = None,
    ) -> DStream:
        self.must_be_open()
        if not isinstance(directory, (str, PathLike)):
            raise SignatureError(f"{operation} needs a directory, not {type(directory).__name__}")
        if max_files is not None:
            must_be_positive(max_files, "maxFilesPerBatch")
        storage, pattern = storage_for(directory)
        origin = len(self._graph.inputs)
        source = FileSource(
            storage,
            pattern,
            lambda file: readers(storage, file, origin),
            clock=self._clock,
            new_files_only=new_files_only,
            max_files=max_files,
            watch_ms=self._sc.conf.value(MIN_REMEMBER_DURATION),
            row_type=row_type,
        )
        return self._input(operation, source)

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, datetime

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from penstock.errors import UnsupportedError
from penstock.storage import Storage, join, storage_for
from penstock.storage.remote import FsspecStorage
from tests.storage.contract import StorageContract


class TestMemory(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return FsspecStorage(fsspec.filesystem("memory"))

    @pytest.fixture
    def root(self, storage: Storage) -> str:
        root = f"/{uuid.uuid4().hex}"
        storage.makedirs(root)
        return root

    def test_times_are_nanoseconds_since_the_epoch(self, storage: Storage, root: str) -> None:
        storage.write_atomic(join(root, "a"), b"")
        year = datetime.fromtimestamp(storage.stat(join(root, "a")).mtime_ns / 1e9, UTC).year
        assert 2020 < year < 2200


class Overwriting(MemoryFileSystem):
    """A store that takes a request for a new file and overwrites the old one."""

    protocol = "overwriting"

    def _open(self, path, mode="rb", **options):
        return super()._open(path, mode.replace("x", "w"), **options)


class Refusing(MemoryFileSystem):
    """A store that knows no request for a new file."""

    protocol = "refusing"

    def _open(self, path, mode="rb", **options):
        if "x" in mode:
            raise NotImplementedError("File mode not supported")
        return super()._open(path, mode, **options)


@pytest.mark.parametrize("kind", [Overwriting, Refusing])
def test_a_store_that_cannot_create_if_absent_is_refused(kind: type[MemoryFileSystem]) -> None:
    storage = FsspecStorage(kind(global_store=False, skip_instance_cache=True))
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="only if there is none"):
            storage.create_if_absent("/x/commit", b"")
    assert not storage.exists("/x/commit")
    assert storage.glob("/*/.*") == []


def test_penstock_s_storage_does_not_load_fsspec_before_a_url_is_used() -> None:
    program = (
        "import sys, penstock.storage as storage; storage.storage_for('/tmp')\n"
        "assert 'fsspec' not in sys.modules\n"
        "storage.storage_for('memory://x'); assert 'fsspec' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_url_is_resolved_to_the_file_system_s_own_path() -> None:
    storage, path = storage_for("memory://in/orders")
    assert isinstance(storage, FsspecStorage)
    assert path == "/in/orders"
    assert storage.url(path) == "memory:///in/orders"


class Dying(MemoryFileSystem):
    """A store that is gone after some copies."""

    protocol = "dying"
    copies_left = 0

    def cp_file(self, path1, path2, **options):
        if self.copies_left == 0:
            raise OSError("the store is gone")
        self.copies_left -= 1
        super().cp_file(path1, path2, **options)


@pytest.mark.parametrize("copies", range(4))
def test_a_directory_that_stops_moving_has_no_marker_where_files_are_missing(copies: int) -> None:
    filesystem = Dying(global_store=False, skip_instance_cache=True)
    storage = FsspecStorage(filesystem)
    files = ["part-00000", "A", "_SUCCESS", "zzz"]
    for name in files:
        storage.write_atomic(join("/old", name), b"")
    filesystem.copies_left = copies
    with pytest.raises(OSError, match="gone"):
        storage.rename_directory("/old", "/new")
    left = storage.list_names("/old").files
    assert len(left) == 4 - copies
    assert ("_SUCCESS" in left) is (copies == 0)
    filesystem.copies_left = 99

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from penstock.clock import SystemClock
from penstock.errors import UnsupportedError
from penstock.storage import LocalStorage, Storage, join, local
from tests.storage.contract import StorageContract


class TestLocalStorage(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return LocalStorage()

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return str(tmp_path)

    def test_links_are_followed_and_broken_ones_left_out(self, tmp_path: Path, storage: Storage) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in/file").write_bytes(b"123")
        (tmp_path / "in/directory").symlink_to(tmp_path)
        (tmp_path / "in/alias").symlink_to(tmp_path / "in/file")
        (tmp_path / "in/broken").symlink_to(tmp_path / "nowhere")
        infos = storage.list_directory(str(tmp_path / "in"))
        assert [(info.name, info.size, info.is_directory) for info in infos] == [
            ("alias", 3, False),
            ("directory", 0, True),
            ("file", 3, False),
        ]
        assert not storage.exists(str(tmp_path / "in/broken"))

    def test_files_have_the_permissions_that_the_user_s_mask_gives(self, root: str, storage: Storage) -> None:
        before = os.umask(0o027)
        try:
            storage.write_atomic(join(root, "a"), b"")
            assert storage.create_if_absent(join(root, "b"), b"")
        finally:
            os.umask(before)
        for name in ("a", "b"):
            assert stat.S_IMODE(os.stat(join(root, name)).st_mode) == 0o640

    def test_a_rename_that_died_half_way_is_ended(self, tmp_path: Path, storage: Storage) -> None:
        (tmp_path / "a").write_bytes(b"a")
        os.link(tmp_path / "a", tmp_path / "b")
        storage.rename_file(str(tmp_path / "a"), str(tmp_path / "b"))
        assert os.listdir(tmp_path) == ["b"]

    def test_a_link_is_renamed_and_not_what_it_leads_to(self, tmp_path: Path, storage: Storage) -> None:
        (tmp_path / "a").write_bytes(b"a")
        (tmp_path / "link").symlink_to(tmp_path / "a")
        storage.rename_file(str(tmp_path / "link"), str(tmp_path / "moved"))
        assert (tmp_path / "moved").readlink() == tmp_path / "a"
        (tmp_path / "other").symlink_to("nowhere")
        with pytest.raises(FileExistsError):
            storage.rename_file(str(tmp_path / "moved"), str(tmp_path / "other"))
        assert sorted(os.listdir(tmp_path)) == ["a", "moved", "other"]

    @pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM])
    def test_files_are_renamed_without_links_and_to_other_file_systems(
        self, tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        (tmp_path / "a").write_bytes(b"a")
        os.utime(tmp_path / "a", (10, 10))
        (tmp_path / "taken").write_bytes(b"taken")
        link = os.link

        def refuse(source: str, target: str) -> None:
            if number == errno.EXDEV and os.path.basename(source).startswith("."):
                link(source, target)
                return
            raise OSError(number, os.strerror(number), source)

        monkeypatch.setattr(os, "link", refuse)
        with pytest.raises(FileExistsError):
            storage.rename_file(str(tmp_path / "a"), str(tmp_path / "taken"))
        storage.rename_file(str(tmp_path / "a"), str(tmp_path / "b"))
        assert sorted(os.listdir(tmp_path)) == ["b", "taken"]
        assert [(tmp_path / "b").read_bytes(), (tmp_path / "taken").read_bytes()] == [b"a", b"taken"]
        assert (tmp_path / "b").stat().st_mtime == 10

    def test_the_times_of_a_file_are_the_system_s(self, root: str, storage: Storage) -> None:
        storage.write_atomic(join(root, "a"), b"")
        os.utime(join(root, "a"), ns=(1, 123_456_789_000))
        assert storage.stat(join(root, "a")).mtime_ns == 123_456_789_000

    @pytest.fixture
    def later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The machine's clock is a minute ahead: whatever is there has been there for a while."""
        monkeypatch.setattr(local, "_clock", SystemClock(wall_ns=lambda: SystemClock().now_ns() + 60 * 10**9))

    @pytest.mark.parametrize("change", ["a name comes", "a name goes"])
    def test_the_stamp_changes_when(self, root: str, storage: Storage, later: None, change: str) -> None:
        path = join(root, "a")
        for _ in range(100_000):  # the file system's clock ticks every few milliseconds
            storage.write_atomic(path, b"") if change == "a name goes" else None
            stamp = storage.directory_stamp(root)
            assert stamp is not None
            storage.remove(path) if change == "a name goes" else storage.write_atomic(path, b"")
            if storage.directory_stamp(root) != stamp:
                return
        pytest.fail("the stamp stayed the same")

    def test_a_directory_whose_mtime_is_set_back_has_another_stamp_all_the_same(
        self, root: str, storage: Storage, later: None
    ) -> None:
        os.utime(root, ns=(1, 1))
        stamp = storage.directory_stamp(root)
        for _ in range(100_000):
            storage.write_atomic(join(root, "a"), b"")
            os.utime(root, ns=(1, 1))  # as tar and rsync do once the files are there
            if storage.directory_stamp(root) != stamp:
                return
        pytest.fail("the stamp stayed the same")

    def test_a_write_that_fails_names_the_file(
        self, root: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as write() does: it knows no name

        monkeypatch.setattr(local, "_sync_content", full)
        for write in (storage.write_atomic, storage.create_if_absent):
            with pytest.raises(OSError, match=r"No space left on device: .*\.a\."):
                write(join(root, "a"), b"x", durable=True)
        assert os.listdir(root) == []

    def test_a_directory_that_changed_just_now_has_no_stamp(self, root: str, storage: Storage) -> None:
        storage.write_atomic(join(root, "a"), b"")
        assert storage.directory_stamp(root) is None

    def test_a_name_as_long_as_the_system_allows(self, root: str, storage: Storage) -> None:
        path = join(root, "ü" * 127)
        storage.write_atomic(path, b"1")
        assert storage.read(path) == b"1"

    def test_a_write_that_fails_leaves_the_old_file_and_no_temporary(
        self, root: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage.write_atomic(join(root, "a"), b"old")

        def full(source: str, target: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", target)

        for call in ("replace", "link"):
            monkeypatch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            storage.write_atomic(join(root, "a"), b"new")
        with pytest.raises(OSError, match="No space left"):
            storage.create_if_absent(join(root, "b"), b"new")
        assert os.listdir(root) == ["a"]
        assert storage.read(join(root, "a")) == b"old"

    def test_a_file_system_without_hard_links_is_refused(
        self, root: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(source: str, target: str) -> None:
            raise OSError(errno.EPERM, "Operation not permitted", target)

        monkeypatch.setattr(os, "link", no_links)
        with pytest.raises(UnsupportedError, match="without hard links"):
            storage.create_if_absent(join(root, "a"), b"")
        assert os.listdir(root) == []

    def test_a_link_whose_answer_was_lost_counts(
        self, root: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = os.link

        def link_and_lose_the_answer(source: str, target: str) -> None:
            link(source, target)
            raise FileExistsError(target)

        monkeypatch.setattr(os, "link", link_and_lose_the_answer)
        assert storage.create_if_absent(join(root, "a"), b"mine")

    def test_durable_writes_sync_the_content_first_and_then_the_directory(
        self, root: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[str] = []

        def record(descriptor: int) -> None:
            synced.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")

        monkeypatch.setattr("penstock.storage.local._sync_content", record)
        monkeypatch.setattr(os, "fsync", record)
        storage.write_atomic(join(root, "a"), b"a", durable=True)
        assert storage.create_if_absent(join(root, "b"), b"b", durable=True)
        storage.open_write(join(root, "c"), durable=True).close()
        assert synced == ["content", "directory"] * 2 + ["content"]
        synced.clear()
        storage.makedirs(join(root, "x/y/z"), durable=True)
        assert synced == ["directory"] * 3
        synced.clear()
        storage.write_atomic(join(root, "a"), b"a")
        storage.create_if_absent(join(root, "d"), b"d")
        storage.open_write(join(root, "e")).close()
        storage.makedirs(join(root, "v/w"))
        assert synced == []

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from penstock.storage import LocalStorage, Storage, join
from penstock.storage.faulty import Call, Fault, FaultyStorage, seeded_faults
from tests.storage.contract import StorageContract


class TestFaultyStorageWithoutFaults(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return FaultyStorage(LocalStorage())

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return str(tmp_path)


def test_calls_are_recorded(tmp_path: Path) -> None:
    storage, path = FaultyStorage(LocalStorage()), str(tmp_path / "a")
    with storage.open_write(path, durable=True) as file:
        file.write(b"x")
    storage.write_atomic(path, b"y")
    assert storage.calls == [
        Call("open_write", path, durable=True),
        Call("write", path),
        Call("close", path, durable=True),
        Call("write_atomic", path),
    ]


def test_a_fault_hits_the_call_it_names_and_no_other(tmp_path: Path) -> None:
    storage = FaultyStorage(LocalStorage(), [Fault(2, "exists"), Fault(4, errno=errno.ENOSPC)])
    path = str(tmp_path)
    assert storage.exists(path)
    with pytest.raises(OSError, match="Input/output error"):
        storage.exists(path)
    assert storage.exists(path)
    with pytest.raises(OSError, match="No space left on device") as caught:
        storage.stat(path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, path)
    assert storage.exists(path)


def test_a_lasting_fault_is_the_end(tmp_path: Path) -> None:
    storage = FaultyStorage(LocalStorage(), [Fault(1, "write_atomic", "after", lasting=True)])
    with pytest.raises(OSError, match="Input/output"):
        storage.write_atomic(str(tmp_path / "a"), b"a")
    with pytest.raises(OSError, match="Input/output"):
        storage.write_atomic(str(tmp_path / "b"), b"b")
    with pytest.raises(OSError, match="Input/output"):
        storage.exists(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(("moment", "content"), [("before", None), ("half", None), ("after", b"1234")])
@pytest.mark.parametrize("operation", ["write_atomic", "create_if_absent"])
def test_atomic_writes_are_whole_or_absent(
    tmp_path: Path, operation: str, moment: str, content: bytes | None
) -> None:
    storage, path = FaultyStorage(LocalStorage(), [Fault(1, operation, moment)]), tmp_path / "a"
    with pytest.raises(OSError, match="Input/output"):
        getattr(storage, operation)(str(path), b"1234")
    assert (path.read_bytes() if path.exists() else None) == content
    hidden = [left.read_bytes() for left in tmp_path.iterdir() if left.name.startswith(".")]
    assert hidden == ([b"12"] if moment == "half" else [])


@pytest.mark.parametrize(("moment", "content"), [("before", b""), ("half", b"12"), ("after", b"1234")])
def test_a_write_to_a_file_is_torn(tmp_path: Path, moment: str, content: bytes) -> None:
    storage, path = FaultyStorage(LocalStorage(), [Fault(1, "write", moment)]), tmp_path / "a"
    with pytest.raises(OSError, match="Input/output"), storage.open_write(str(path)) as file:
        file.write(b"1234")
    assert path.read_bytes() == content


def test_half_a_removal_removes_the_marker_first(tmp_path: Path) -> None:
    for name in ("_SUCCESS", "a", "b", "c"):
        (tmp_path / name).write_bytes(b"")
    storage = FaultyStorage(LocalStorage(), [Fault(1, "remove_tree", "half")])
    with pytest.raises(OSError, match="Input/output"):
        storage.remove_tree(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


@pytest.mark.parametrize("lose_syncs", [False, True])
def test_a_loss_of_power_tears_what_was_not_synced(tmp_path: Path, lose_syncs: bool) -> None:
    root = str(tmp_path)
    storage = FaultyStorage(LocalStorage(), lose_syncs=lose_syncs)
    storage.makedirs(join(root, "staged"))
    with storage.open_write(join(root, "staged/a"), durable=True) as file:
        file.write(b"1234")
    with storage.open_write(join(root, "staged/b")) as file:
        file.write(b"1234")
    storage.rename_directory(join(root, "staged"), join(root, "final"))
    storage.create_if_absent(join(root, "c"), b"1234", durable=True)
    storage.lose_power()
    kept = b"12" if lose_syncs else b"1234"
    assert storage.read(join(root, "final/a")) == kept
    assert storage.read(join(root, "final/b")) == b"12"
    assert storage.read(join(root, "c")) == kept


def test_seeded_faults_are_the_same_for_the_same_seed(seed: int) -> None:
    faults = seeded_faults(seed, calls=20, count=5)
    assert faults == seeded_faults(seed, calls=20, count=5)
    assert len({fault.call for fault in faults}) == 5
    assert all(1 <= fault.call <= 20 for fault in faults)

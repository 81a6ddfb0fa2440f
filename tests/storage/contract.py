"""What every storage must do. A suite for one storage is this class with a ``storage`` and a ``root``."""

from __future__ import annotations

import pickle
import threading

import pytest

from penstock.errors import OutputExists
from penstock.storage import Storage, join, storage_for

NAMES = [
    "a b", "größe", "100%", "%41", "a+b", "a#b", "a&b=c", "a;b", "'", '"', "日本", "~",
    "a,b", "a@b:c", "[1]", "{x}", "a*b",
]  # fmt: skip


class StorageContract:
    """Subclasses give the fixtures ``storage`` and ``root``, an empty directory there. Some stores know of a
    directory only by what is in it: ``empty_directories = False``."""

    empty_directories = True

    @pytest.fixture
    def storage(self) -> Storage:
        raise NotImplementedError

    @pytest.fixture
    def root(self) -> str:
        raise NotImplementedError

    # ---- reading and writing

    def test_what_is_written_is_read(self, storage: Storage, root: str) -> None:
        path = join(root, "a")
        for data in (b"first", b"", b"third, and longer"):
            storage.write_atomic(path, data)
            assert storage.read(path) == data
            assert storage.stat(path).size == len(data)
        with storage.open_read(path) as file:
            assert file.read(5) == b"third"
            file.seek(0)
            assert file.read() == b"third, and longer"

    def test_a_range_ends_with_the_file(self, storage: Storage, root: str) -> None:
        path = join(root, "a")
        storage.write_atomic(path, b"0123456789")
        assert storage.read(path, 3) == b"3456789"
        assert storage.read(path, 3, 5) == b"34"
        assert storage.read(path, 3, 3) == b""
        assert storage.read(path, 8, 99) == b"89"

    def test_two_readers_do_not_share_a_position(self, storage: Storage, root: str) -> None:
        path = join(root, "a")
        storage.write_atomic(path, b"0123456789")
        with storage.open_read(path) as one, storage.open_read(path) as other:
            assert one.read(4) == b"0123"
            assert other.read(4) == b"0123"

    @pytest.mark.parametrize("durable", [False, True])
    def test_a_file_is_written_in_pieces(self, storage: Storage, root: str, durable: bool) -> None:
        path = join(root, "a")
        storage.write_atomic(path, b"old and much longer than the new")
        with storage.open_write(path, durable=durable) as file:
            for piece in (b"one ", b"two ", b"three"):
                assert file.write(piece) == len(piece)
        assert storage.read(path) == b"one two three"

    def test_durable_writes_leave_the_same_and_nothing_else(self, storage: Storage, root: str) -> None:
        storage.makedirs(join(root, "x/y"), durable=True)
        storage.write_atomic(join(root, "x/y/a"), b"a", durable=True)
        assert storage.create_if_absent(join(root, "x/y/b"), b"b", durable=True)
        storage.sync_directory(join(root, "x/y"))
        assert [info.name for info in storage.list_directory(join(root, "x/y"))] == ["a", "b"]

    @pytest.mark.parametrize("call", ["read", "open_read", "stat", "remove", "list_directory", "list_names"])
    def test_what_is_missing_is_not_found(self, storage: Storage, root: str, call: str) -> None:
        with pytest.raises(FileNotFoundError):
            getattr(storage, call)(join(root, "missing"))
        assert not storage.exists(join(root, "missing"))

    # ---- creating if absent

    def test_only_the_first_creates(self, storage: Storage, root: str) -> None:
        path = join(root, "a")
        assert storage.create_if_absent(path, b"first")
        assert not storage.create_if_absent(path, b"second")
        assert storage.read(path) == b"first"
        assert storage.list_names(root).files == ["a"]

    def test_of_many_at_a_time_one_creates(self, storage: Storage, root: str) -> None:
        path = join(root, "a")
        created: list[bytes] = []
        ready = threading.Barrier(8)

        def create(data: bytes) -> None:
            ready.wait()
            if storage.create_if_absent(path, data):
                created.append(data)

        threads = [threading.Thread(target=create, args=(f"{number}".encode(),)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [storage.read(path)] == created
        assert storage.list_names(root).files == ["a"]

    def test_nothing_is_created_only_once_too(self, storage: Storage, root: str) -> None:
        assert storage.create_if_absent(join(root, "a"), b"")
        assert not storage.create_if_absent(join(root, "a"), b"")
        assert storage.read(join(root, "a")) == b""

    @pytest.mark.parametrize("races", [4, pytest.param(20, marks=pytest.mark.long)])
    def test_of_twenty_at_a_time_one_wins_each_race(self, storage: Storage, root: str, races: int) -> None:
        ready = threading.Barrier(20)
        winners: list[tuple[int, int]] = []

        def create(number: int) -> None:
            for race in range(races):
                ready.wait(60)
                if storage.create_if_absent(join(root, f"{race}"), b"%d" % number):
                    winners.append((race, number))

        threads = [threading.Thread(target=create, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [race for race, _ in sorted(winners)] == list(range(races))
        assert all(storage.read(join(root, f"{race}")) == b"%d" % number for race, number in winners)

    # ---- names

    def test_every_name_is_itself(self, storage: Storage, root: str) -> None:
        for name in NAMES:
            storage.write_atomic(join(root, name), name.encode())
        assert sorted(storage.list_names(root).files) == sorted(NAMES)
        assert [storage.read(join(root, name)).decode() for name in NAMES] == NAMES
        for name in NAMES[::4]:
            storage.remove(join(root, name))
        assert not any(storage.exists(join(root, name)) for name in NAMES[::4])

    @pytest.mark.parametrize("name", ["100% größer [1]", "a*"])
    def test_directories_with_odd_names_move_and_go(self, storage: Storage, root: str, name: str) -> None:
        directory, moved = join(root, f"in {name}"), join(root, f"out {name}")
        storage.makedirs(directory)
        for inside in (name, f"_{name}"):
            storage.write_atomic(join(directory, inside), inside.encode())
        storage.rename_directory(directory, moved)
        assert [info.path for info in storage.list_directory(moved)] == sorted(
            join(moved, inside) for inside in (name, f"_{name}")
        )
        with storage.open_read(join(moved, name)) as file:
            assert file.read() == name.encode()
        storage.remove_tree(moved)
        assert not storage.exists(moved)
        assert not storage.exists(directory)

    def test_removing_a_directory_leaves_those_whose_names_look_alike(
        self, storage: Storage, root: str
    ) -> None:
        others = ["a1", "a1b", "a*", "a?", "ab"]
        for name in ("a[1]", *others):
            storage.makedirs(join(root, name))
            storage.write_atomic(join(root, f"{name}/file"), b"")
        storage.remove_tree(join(root, "a[1]"))
        assert sorted(storage.list_names(root).directories) == sorted(others)
        storage.remove_tree(join(root, "a*"))
        storage.remove_tree(join(root, "a?"))
        assert sorted(storage.list_names(root).directories) == ["a1", "a1b", "ab"]

    # ---- directories

    def test_a_listing_is_sorted_and_of_one_level(self, storage: Storage, root: str) -> None:
        storage.makedirs(join(root, "directory/deep"))
        storage.write_atomic(join(root, "directory/inside"), b"")
        for name in ("b", "a", ".hidden", "c [1].txt"):
            storage.write_atomic(join(root, name), name.encode())
        infos = storage.list_directory(root)
        assert [(info.name, info.size, info.is_directory) for info in infos] == [
            (".hidden", 7, False),
            ("a", 1, False),
            ("b", 1, False),
            ("c [1].txt", 9, False),
            ("directory", 0, True),
        ]
        assert [info.path for info in infos] == [join(root, info.name) for info in infos]
        names = storage.list_names(root)
        assert sorted(names.files) == [".hidden", "a", "b", "c [1].txt"]
        assert names.directories == ["directory"]

    def test_stat_is_what_a_listing_says(self, storage: Storage, root: str) -> None:
        storage.makedirs(join(root, "directory/deep"))
        storage.write_atomic(join(root, "file"), b"12345")
        for info in storage.list_directory(root):
            assert storage.stat(info.path) == info

    def test_an_empty_directory_is_there(self, storage: Storage, root: str) -> None:
        storage.makedirs(join(root, "x/y"))
        storage.makedirs(join(root, "x/y"))
        if not self.empty_directories:
            assert not storage.exists(join(root, "x"))
            return
        assert storage.exists(join(root, "x/y"))
        assert storage.list_directory(join(root, "x/y")) == []
        assert storage.list_names(join(root, "x/y")) == ([], [])

    def test_a_file_is_no_directory(self, storage: Storage, root: str) -> None:
        storage.write_atomic(join(root, "a"), b"")
        for call in (storage.list_directory, storage.list_names):
            with pytest.raises(NotADirectoryError):
                call(join(root, "a"))

    def test_a_listing_sees_what_came_since_the_last(self, storage: Storage, root: str) -> None:
        for number in range(3):
            storage.write_atomic(join(root, f"{number}"), b"")
            assert len(storage.list_directory(root)) == number + 1
            assert len(storage.list_names(root).files) == number + 1
        storage.remove(join(root, "1"))
        assert sorted(storage.list_names(root).files) == ["0", "2"]

    def test_a_file_is_renamed_and_nothing_overwritten(self, storage: Storage, root: str) -> None:
        for name in ("a", "b"):
            storage.write_atomic(join(root, name), name.encode())
        storage.makedirs(join(root, "x"))
        storage.rename_file(join(root, "a"), join(root, "x/c"))
        assert storage.read(join(root, "x/c")) == b"a"
        assert storage.list_names(root).files == ["b"]
        for source, target in (("b", "x/c"), ("x/c", "x/c"), ("b", "b")):
            with pytest.raises(FileExistsError):
                storage.rename_file(join(root, source), join(root, target))
        with pytest.raises(FileNotFoundError):
            storage.rename_file(join(root, "missing"), join(root, "x/d"))
        assert storage.read(join(root, "x/c")) == b"a"
        assert storage.read(join(root, "b")) == b"b"
        assert storage.list_names(join(root, "x")).files == ["c"]

    def test_removing(self, storage: Storage, root: str) -> None:
        storage.makedirs(join(root, "x/y"))
        storage.write_atomic(join(root, "x/y/a"), b"")
        storage.write_atomic(join(root, "x/b"), b"")
        storage.remove(join(root, "x/b"))
        assert not storage.exists(join(root, "x/b"))
        storage.remove_tree(join(root, "x"))
        assert not storage.exists(join(root, "x"))
        storage.remove_tree(join(root, "x"))

    # ---- renaming a directory

    def test_a_directory_moves_with_all_in_it(self, storage: Storage, root: str) -> None:
        storage.makedirs(join(root, "old/deep"))
        storage.write_atomic(join(root, "old/deep/a"), b"a")
        storage.write_atomic(join(root, "old/b"), b"b")
        storage.rename_directory(join(root, "old"), join(root, "new"))
        assert not storage.exists(join(root, "old"))
        assert storage.read(join(root, "new/deep/a")) == b"a"
        assert storage.read(join(root, "new/b")) == b"b"

    def test_a_directory_moves_over_an_empty_one_but_over_no_other(self, storage: Storage, root: str) -> None:
        for name in ("old", "new"):
            storage.makedirs(join(root, name))
        storage.write_atomic(join(root, "old/a"), b"a")
        storage.rename_directory(join(root, "old"), join(root, "new"))
        assert storage.read(join(root, "new/a")) == b"a"

        storage.makedirs(join(root, "third"))
        storage.write_atomic(join(root, "third/c"), b"c")
        storage.write_atomic(join(root, "file"), b"")
        for target in ("third", "file"):
            with pytest.raises(OutputExists, match=target):
                storage.rename_directory(join(root, "new"), join(root, target))
        assert storage.read(join(root, "new/a")) == b"a"
        assert storage.read(join(root, "third/c")) == b"c"

    def test_only_a_directory_that_is_there_moves(self, storage: Storage, root: str) -> None:
        storage.write_atomic(join(root, "file"), b"")
        with pytest.raises(FileNotFoundError):
            storage.rename_directory(join(root, "missing"), join(root, "new"))
        with pytest.raises(NotADirectoryError):
            storage.rename_directory(join(root, "file"), join(root, "new"))

    # ---- patterns

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("in-1/a.txt", ["in-1/a.txt"]),
            ("in-*/a.txt", ["in-1/a.txt", "in-2/a.txt"]),
            ("in-?/*", ["in-1/a.txt", "in-1/b.csv", "in-2/a.txt"]),
            ("in-*", ["in-1", "in-2"]),
            ("in-{2,1}/{a.txt,b.csv}", ["in-1/a.txt", "in-1/b.csv", "in-2/a.txt"]),
            ("{in-1/b.csv,in-*/b*}", ["in-1/b.csv"]),
            ("in-[2-9]/*", ["in-2/a.txt"]),
            ("*/_SUCCESS", ["in-1/_SUCCESS"]),
            ("*/_*", ["in-1/_SUCCESS"]),
            ("*/*/*", ["in-1/deep/c"]),
            ("file/*", []),
            ("missing/*", []),
            ("missing", []),
        ],
    )
    def test_glob(self, storage: Storage, root: str, pattern: str, expected: list[str]) -> None:
        for name in ("in-1/deep", "in-2"):
            storage.makedirs(join(root, name))
        for name in ("in-1/a.txt", "in-1/b.csv", "in-1/_SUCCESS", "in-2/a.txt", "in-1/deep/c", "file"):
            storage.write_atomic(join(root, name), b"x")
        found = [info.path for info in storage.glob(join(root, pattern))]
        expected = expected if pattern != "in-?/*" else sorted([*expected, "in-1/deep"])
        assert found == [join(root, name) for name in expected]

    # ---- the rest

    def test_the_url_of_a_path_leads_back_to_it(self, storage: Storage, root: str) -> None:
        path = join(root, "a")
        storage.write_atomic(path, b"here")
        other, there = storage_for(storage.url(path))
        assert there == path
        assert other.read(there) == b"here"

    def test_a_storage_is_pickled(self, storage: Storage, root: str) -> None:
        storage.write_atomic(join(root, "a"), b"here")
        other = pickle.loads(pickle.dumps(storage))
        assert other.read(join(root, "a")) == b"here"

    def test_a_stamp_changes_when_a_name_comes(self, storage: Storage, root: str) -> None:
        storage.makedirs(join(root, "x"))
        stamp = storage.directory_stamp(join(root, "x"))
        assert stamp == storage.directory_stamp(join(root, "x"))
        assert stamp is None or isinstance(stamp, int)

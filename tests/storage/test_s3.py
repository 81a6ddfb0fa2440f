from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import fsspec
import pytest

from penstock.storage import Storage, join, storage_for
from tests.storage.contract import StorageContract
from tests.storage.servers import SERVERS, Proxy, Reaction, Request, bucket_at, configured, free_port

PART = 5 << 20
"""The smallest part of an upload that S3 takes."""

ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 20, "read_timeout": 20}}
"""The client's own client asks once; what is asked for again is asked for by s3fs."""

DENIED = Reaction(status=403, code="AccessDenied")


@pytest.fixture(params=SERVERS, scope="module")
def endpoint(request: pytest.FixtureRequest, s3_server: Callable[[str], str]) -> str:
    return s3_server(request.param)


@pytest.fixture(scope="module")
def proxy(endpoint: str) -> Iterator[Proxy]:
    with Proxy(endpoint) as proxy:
        yield proxy


@pytest.fixture
def bucket(endpoint: str) -> Iterator[str]:
    with configured(endpoint):
        yield bucket_at(endpoint)


class TestS3(StorageContract):
    empty_directories = False

    @pytest.fixture
    def storage(self, bucket: str) -> Storage:
        return storage_for(f"s3://{bucket}")[0]

    @pytest.fixture
    def root(self, bucket: str) -> str:
        return f"{bucket}/root"

    # ---- what is S3's own

    # moto looks whether the object is there and then writes it, without a lock: of twenty two may win.
    @pytest.mark.parametrize("endpoint", ["ministack"], indirect=True)
    @pytest.mark.parametrize("races", [4, pytest.param(20, marks=pytest.mark.long)])
    def test_of_twenty_at_a_time_one_wins_each_race(self, storage: Storage, root: str, races: int) -> None:
        super().test_of_twenty_at_a_time_one_wins_each_race(storage, root, races)

    def test_a_marker_of_a_directory_is_no_file_and_goes_with_it(self, storage: Storage, root: str) -> None:
        put(root, "in/", b"")
        put(root, "in/empty/", b"")
        assert storage.exists(join(root, "in"))
        assert storage.list_names(join(root, "in")) == ([], ["empty"])
        assert storage.list_directory(join(root, "in/empty")) == []
        storage.write_atomic(join(root, "in/a"), b"a")
        storage.rename_directory(join(root, "in"), join(root, "out"))
        assert not storage.exists(join(root, "in"))
        assert storage.list_names(join(root, "out")).files == ["a"]
        put(root, "out/", b"")
        storage.remove_tree(join(root, "out"))
        assert not storage.exists(join(root, "out"))

    def test_a_name_may_be_a_file_and_a_directory(self, storage: Storage, root: str) -> None:
        storage.write_atomic(join(root, "a"), b"file")
        storage.write_atomic(join(root, "a/b"), b"in it")
        assert storage.list_names(root) == (["a"], ["a"])
        assert storage.list_names(join(root, "a")).files == ["b"]
        storage.remove_tree(join(root, "a"))
        assert storage.read(join(root, "a")) == b"file"

    def test_names_are_taken_as_they_are(self, storage: Storage, root: str) -> None:
        names = [" a", "a ", "a%20b", "a+b", "a?b", "a#b", "a*", "[a]", "v", "v?versionId=1", "{a}", "ä&='"]
        for name in names:
            storage.write_atomic(join(root, name), name.encode())
        infos = storage.list_directory(root)
        assert [info.name for info in infos] == sorted(names)
        for info in infos:
            data = info.name.encode()
            assert [storage.read(info.path), storage.open_read(info.path).read()] == [data, data]
            assert storage.stat(info.path) == info
        storage.rename_file(join(root, "v?versionId=1"), join(root, "w"))
        assert not storage.exists(join(root, "v?versionId=1"))
        assert [storage.read(join(root, name)) for name in "vw"] == [b"v", b"v?versionId=1"]

    def test_a_directory_without_a_name_is_nobody_s(self, storage: Storage, root: str) -> None:
        for name in ("in//a", "in/x//b", "in/x/c", "in///"):
            put(root, name, b"")
        assert storage.list_names(join(root, "in")) == ([], ["x"])
        assert storage.list_names(join(root, "in/x")) == (["c"], [])

    def test_a_bucket_is_listed_and_one_that_is_missing_is_not_found(
        self, storage: Storage, root: str
    ) -> None:
        bucket = root.partition("/")[0]
        assert storage.list_directory(bucket) == []
        storage.write_atomic(join(root, "a"), b"")
        assert storage.list_names(bucket) == ([], ["root"])
        for call in (storage.list_directory, storage.stat, storage.read):
            with pytest.raises(FileNotFoundError, match="s3://there-is-none/x"):
                call("there-is-none/x")
        with pytest.raises(FileNotFoundError, match="s3://there-is-none/x"):
            storage.write_atomic("there-is-none/x", b"")
        assert not storage.exists("there-is-none")

    def test_nothing_makes_a_bucket(self, storage: Storage) -> None:
        storage.makedirs("there-is-none/x", durable=True)
        assert not storage.exists("there-is-none")

    def test_a_large_file_is_there_once_it_is_closed(self, bucket: str, endpoint: str) -> None:
        with configured(endpoint, default_block_size=PART):
            storage, path = storage_for(f"s3://{bucket}/large")
            storage.write_atomic(path, b"old")
            with storage.open_write(path) as file:
                for number in range(4):
                    file.write(bytes([number]) * (PART // 2 + 1))
                assert uploads(bucket) == ["large"]
                assert storage.read(path) == b"old"
            assert storage.stat(path).size == 4 * (PART // 2 + 1)
            assert storage.read(path, PART, PART + 3) == bytes([1, 1, 2])
            assert not storage.create_if_absent(path, b"")
            with storage.open_read(path) as read:
                assert read.seek(-1, 2) == 4 * (PART // 2 + 1) - 1
                assert read.read() == bytes([3])

    def test_of_a_large_file_that_could_not_be_written_nothing_stays(self, bucket: str, proxy: Proxy) -> None:
        with configured(proxy.url, default_block_size=PART, **ONCE):
            storage, path = storage_for(f"s3://{bucket}/large")
            file = storage.open_write(path)
            file.write(bytes(PART))
            with (
                proxy.reacting(lambda request: DENIED if "partNumber=2" in request.query else None),
                pytest.raises(PermissionError, match=f"s3://{bucket}/large"),
            ):
                file.write(bytes(PART))
            file.close()
            assert not storage.exists(path)
            assert uploads(bucket) == []

    def test_many_threads_use_one_storage(self, storage: Storage, root: str) -> None:
        def use(number: int) -> bytes:
            directory = join(root, f"{number % 4}")
            path = join(directory, f"{number}")
            storage.write_atomic(path, b"%d" % number)
            assert f"{number}" in storage.list_names(directory).files
            with storage.open_read(path) as file:
                return file.read()

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(use, range(48))) == [b"%d" % number for number in range(48)]

    @pytest.mark.long
    def test_a_listing_of_more_than_a_thousand(self, storage: Storage, root: str) -> None:
        names = [f"{number:04}" for number in range(2_100)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: storage.write_atomic(join(root, name), b""), names))
        assert [info.name for info in storage.list_directory(root)] == names
        storage.remove_tree(root)
        assert not storage.exists(root)


class TestFaults:
    """A store that fails, by a proxy in front of one that does not."""

    @pytest.fixture
    def storage(self, proxy: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
        import s3fs

        monkeypatch.setattr(s3fs.S3FileSystem, "retries", 2)  # of five
        with configured(proxy.url, **ONCE):
            storage = storage_for(f"s3://{bucket}/root")[0]
            assert storage.create_if_absent(f"{bucket}/probed", b"")
            yield storage

    @pytest.fixture
    def root(self, bucket: str) -> str:
        return f"{bucket}/root"

    @pytest.mark.parametrize(
        "reaction",
        [
            Reaction(status=503, code="SlowDown"),
            Reaction(before=True),
            Reaction(after=True),
        ],
        ids=["slow down", "broken before", "broken after"],
    )
    def test_what_fails_once_is_asked_for_again(
        self, proxy: Proxy, storage: Storage, root: str, reaction: Reaction
    ) -> None:
        failed: set[tuple[str, str]] = set()

        def react(request: Request) -> Reaction | None:
            key = (request.method, request.path + request.query)
            if key in failed or (reaction.status and request.method == "HEAD"):
                return None  # such an answer has no body, so that only botocore knows what it means
            failed.add(key)
            return reaction

        with proxy.reacting(react):
            storage.write_atomic(join(root, "a"), b"first")
            assert storage.read(join(root, "a")) == b"first"
            assert storage.create_if_absent(join(root, "b"), b"second")
            assert not storage.create_if_absent(join(root, "b"), b"third")
            with storage.open_write(join(root, "c")) as file:
                file.write(b"fourth")
            assert storage.list_names(root).files == ["a", "b", "c"]
            storage.rename_directory(root, f"{root}2")
            assert [storage.read(join(f"{root}2", name)) for name in "abc"] == [
                b"first",
                b"second",
                b"fourth",
            ]
            storage.remove(join(f"{root}2", "a"))
            storage.remove_tree(f"{root}2")
            assert not storage.exists(f"{root}2")

    def test_a_put_whose_answer_was_lost_was_this_call_s(
        self, proxy: Proxy, storage: Storage, root: str
    ) -> None:
        path = join(root, "a")
        with proxy.reacting(
            lambda request: Reaction(after=True) if request.number == 0 else None
        ) as requests:
            assert storage.create_if_absent(path, b"same")
        assert [request.answer for request in requests if request.method == "PUT"] == [None, 412]
        with proxy.reacting(lambda request: Reaction(before=True) if request.number == 0 else None):
            assert not storage.create_if_absent(path, b"same")

    def test_a_put_that_met_another_is_asked_for_again(
        self, proxy: Proxy, storage: Storage, root: str
    ) -> None:
        conflict = Reaction(status=409, code="ConditionalRequestConflict")
        with proxy.reacting(lambda request: conflict if request.number < 3 else None):
            assert storage.create_if_absent(join(root, "a"), b"1")
        with proxy.reacting(lambda request: conflict if request.number < 3 else None):
            assert not storage.create_if_absent(join(root, "a"), b"2")
        with proxy.reacting(lambda request: conflict), pytest.raises(OSError, match="by the proxy"):
            storage.create_if_absent(join(root, "b"), b"3")
        assert not storage.exists(join(root, "b"))

    def test_a_put_is_conditional(self, proxy: Proxy, storage: Storage, root: str) -> None:
        for data in (b"", b"a"):
            with proxy.counting() as requests:
                storage.create_if_absent(join(root, f"{len(data)}"), data)
            assert [request.headers.get("If-None-Match") for request in requests] == ["*"]

    @pytest.mark.parametrize(
        ("reaction", "kind"),
        [
            (Reaction(status=500, code="InternalError"), OSError),
            (Reaction(status=503, code="SlowDown"), OSError),
            (DENIED, PermissionError),
            (Reaction(before=True), OSError),
        ],
        ids=["500", "503", "403", "broken"],
    )
    def test_what_goes_on_failing_is_an_error_that_names_the_path(
        self, proxy: Proxy, storage: Storage, root: str, reaction: Reaction, kind: type[OSError]
    ) -> None:
        path = join(root, "a")
        storage.write_atomic(path, b"here")
        calls: list[Callable[[], object]] = [
            lambda: storage.read(path),
            lambda: storage.open_read(path),
            lambda: storage.exists(path),
            lambda: storage.list_directory(root),
            lambda: storage.write_atomic(path, b""),
            lambda: storage.create_if_absent(path, b""),
            lambda: storage.remove(path),
            lambda: storage.remove_tree(root),
            lambda: storage.rename_directory(root, f"{root}2"),
        ]
        with proxy.reacting(lambda request: reaction):
            for call in calls:
                with pytest.raises(kind) as caught:
                    call()
                assert not isinstance(caught.value, FileNotFoundError)
                assert storage.url(root) in str(caught.value)
        assert storage.read(path) == b"here"

    def test_a_body_that_was_cut_off_is_never_less_data(
        self, proxy: Proxy, storage: Storage, root: str
    ) -> None:
        path, data = join(root, "a"), b"0123456789" * 1_000
        storage.write_atomic(path, data)
        cut = Reaction(cut=True)
        reads = (lambda: storage.read(path), lambda: storage.open_read(path).read())
        for read in reads:
            gets = count()
            with proxy.reacting(lambda r: cut if r.method == "GET" and next(gets) == 0 else None):  # noqa: B023
                assert read() == data
            assert next(gets) > 1
        for read in reads:
            with proxy.reacting(lambda request: cut), pytest.raises(OSError, match=path):
                read()

    def test_a_listing_that_was_cut_off_is_never_shorter(
        self, proxy: Proxy, storage: Storage, root: str
    ) -> None:
        for name in "abc":
            storage.write_atomic(join(root, name), b"")
        with proxy.reacting(lambda request: Reaction(cut=True) if request.number == 0 else None):
            assert storage.list_names(root).files == ["a", "b", "c"]
        with proxy.reacting(lambda request: Reaction(cut=True)), pytest.raises(OSError, match=root):
            storage.list_names(root)

    def test_a_page_that_fails_fails_the_listing(
        self, proxy: Proxy, storage: Storage, root: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = [f"{number:02}" for number in range(20)]
        for name in names:
            storage.write_atomic(join(root, name), b"")
        monkeypatch.setattr(proxy, "page", 7)
        with proxy.counting() as requests:
            assert storage.list_names(root).files == names
        assert len(requests) == 3
        with (
            proxy.reacting(lambda request: DENIED if "continuation-token" in request.query else None),
            pytest.raises(PermissionError, match=root),
        ):
            storage.list_names(root)
        storage.remove_tree(root)
        assert not storage.exists(root)

    def test_a_slow_answer_holds_up_nobody_else(self, proxy: Proxy, storage: Storage, root: str) -> None:
        storage.write_atomic(join(root, "slow"), b"slow")
        storage.write_atomic(join(root, "fast"), b"fast")
        answer = threading.Event()
        with (
            proxy.reacting(lambda request: Reaction(until=answer) if request.key == "root/slow" else None),
            ThreadPoolExecutor(1) as pool,
        ):
            slow = pool.submit(storage.read, join(root, "slow"))
            assert storage.read(join(root, "fast")) == b"fast"
            assert not slow.done()
            answer.set()
            assert slow.result(60) == b"slow"

    def test_an_object_that_cannot_be_removed_is_no_success(
        self, proxy: Proxy, storage: Storage, root: str
    ) -> None:
        storage.write_atomic(join(root, "a"), b"")
        refused = (
            b"<DeleteResult><Error><Key>root/a</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
            b"</DeleteResult>"
        )
        with (
            proxy.reacting(
                lambda request: Reaction(status=200, body=refused) if request.method == "POST" else None
            ),
            pytest.raises(PermissionError, match=join(root, "a")),
        ):
            storage.remove_tree(root)

    def test_a_mark_goes_before_what_it_marks(self, proxy: Proxy, storage: Storage, root: str) -> None:
        for name in ("A", "_SUCCESS", "part-00000"):
            storage.write_atomic(join(root, name), b"")
        with (
            proxy.reacting(
                lambda request: DENIED if request.method == "POST" and request.number > 1 else None
            ),
            pytest.raises(PermissionError),
        ):
            storage.remove_tree(root)
        assert storage.list_names(root).files == ["A", "part-00000"]


def test_a_server_that_is_not_there_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs", reason="no s3fs: pip install 'penstock[test]'")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with configured(f"http://127.0.0.1:{free_port()}", **ONCE):
        storage, path = storage_for("s3://bucket/a")
        for call in (storage.read, storage.exists, storage.list_names):
            with pytest.raises(OSError, match="s3://bucket/a") as caught:
                call(path)
            assert not isinstance(caught.value, FileNotFoundError)


def test_who_gives_no_keys_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="no s3fs: pip install 'penstock[test]'")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://127.0.0.1:{free_port()}"})
    storage, path = storage_for("s3://bucket/a")
    with pytest.raises(PermissionError, match="Hint: give keys by AWS_ACCESS_KEY_ID"):
        storage.read(path)


def put(root: str, name: str, data: bytes) -> None:
    """An object by its exact name."""
    bucket, _, above = root.partition("/")
    fsspec.filesystem("s3").call_s3("put_object", Bucket=bucket, Key=f"{above}/{name}", Body=data)


def uploads(bucket: str) -> list[str]:
    """The objects whose upload in parts has begun and not ended."""
    found = fsspec.filesystem("s3").call_s3("list_multipart_uploads", Bucket=bucket)
    return [upload["Key"] for upload in found.get("Uploads", [])]

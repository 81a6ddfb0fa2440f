"""Objects in S3, and in stores that speak its language.

What is S3's own:

- *Create if absent* is a put with ``If-None-Match: *``. An answer may get lost after the store has done what
  it was asked for; the client then asks again by itself, and is told that the object is there. So each put
  carries a token in the object's metadata: the object that is there is this call's if it has its token.
- There are no directories, so making one does nothing, and an empty one is not there.
- An object whose name ends with ``/`` stands for a directory in some programs. It counts as nothing, and goes
  with the directory. So does one with ``//`` in its name, or ``/`` at the beginning: no path leads there.
- A listing comes in pages of a thousand names, each one request.
- What was uploaded in parts is there once the last request has put it together. A process that dies before
  that leaves nothing that anybody sees; the store keeps the parts until a rule of the bucket removes them.
"""

from __future__ import annotations

import contextlib
import errno
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from penstock.storage.base import FileInfo, name_of
from penstock.storage.remote import FsspecStorage

__all__ = ["S3Storage"]

_BLOCK_BYTES = 8 << 20  # read ahead: a part of a large file looks for where its first and last lines begin
_TOKEN = "penstock-put"
_CONFLICTS = 10  # how often a put is asked for again that met another
_BATCH = 1_000  # the most that one request removes
_NO_KEYS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
)


class S3Storage(FsspecStorage):
    """A file system of s3fs. Paths are ``bucket/key``."""

    def __init__(self, filesystem: Any) -> None:
        super().__init__(filesystem)
        _read_times_fast(filesystem)
        _take_names_whole(filesystem)

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        if stop is not None and stop <= start:
            return b""
        try:
            # Never without a start: the client then reads large objects in pieces, maybe of two versions.
            return super().read(path, start, stop)
        except OSError as error:
            # S3 has no range that begins at the end; so no range of an empty object either.
            if _code(error) in ("InvalidRange", "416") and self.stat(path).size == start:
                return b""
            raise

    def list_directory(self, directory: str) -> list[FileInfo]:
        # The client lists the directory above too, however much is there, if it finds nothing.
        bucket, key, _ = self._files.split_path(directory)
        prefix = f"{key}/" if key else ""
        infos: list[FileInfo] = []
        found = 0
        with self._asking(directory):
            for page in self._pages(bucket, prefix):
                for each in page.get("CommonPrefixes", ()):
                    found += 1
                    name = each["Prefix"][:-1]
                    if name and not name.endswith("/"):  # an object in a directory without a name is nobody's
                        infos.append(FileInfo(f"{bucket}/{name}", 0, 0, True))
                for each in page.get("Contents", ()):
                    found += 1
                    if each["Key"] != prefix:
                        info = FileInfo(
                            f"{bucket}/{each['Key']}", int(each["Size"]), _seconds(each["LastModified"])
                        )
                        infos.append(info)
            if not found and key:
                # Nothing begins like that: it is a file, or not there.
                self._files.call_s3("head_object", Bucket=bucket, Key=key)
                raise NotADirectoryError(errno.ENOTDIR, "it is a file", self.url(directory))
        return sorted(infos)

    def _pages(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self._files.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/", **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def makedirs(self, directory: str, *, durable: bool = False) -> None:
        pass

    def remove(self, path: str) -> None:
        if self.stat(path).is_directory:  # S3 takes it for done if there is no such object
            raise IsADirectoryError(errno.EISDIR, "it is a directory", self.url(path))
        super().remove(path)

    def remove_tree(self, directory: str) -> None:
        # The client's own way takes names for patterns, and does not tell what could not be removed.
        paths = self._files_below(directory)
        marks = sum(name_of(path).startswith("_") for path in paths)
        for batch in (paths[:marks], *(paths[at : at + _BATCH] for at in range(marks, len(paths), _BATCH))):
            if batch:
                with self._asking(directory):
                    self._remove_all(batch)

    def _remove_all(self, paths: list[str]) -> None:
        names = [self._files.split_path(path)[:2] for path in paths]
        answer = self._files.call_s3(
            "delete_objects",
            Bucket=names[0][0],
            Delete={"Objects": [{"Key": key} for _, key in names], "Quiet": True},
        )
        for error in answer.get("Errors", ()):
            kind = PermissionError if error.get("Code") == "AccessDenied" else OSError
            said = f"it could not be removed ({error.get('Code')}: {error.get('Message')})"
            raise kind(errno.EACCES, said, self.url(f"{names[0][0]}/{error.get('Key')}"))

    def _info(self, found: Mapping[str, Any]) -> FileInfo:
        # Some stores list fractions of a second, but none tells them when asked for one object.
        info = super()._info(found)
        changed = found.get("LastModified")
        return info if changed is None else info._replace(mtime_ns=_seconds(changed))

    def _opened(self, path: str) -> Any:
        return self._files.open(path, "rb", block_size=_BLOCK_BYTES)

    def _create(self, path: str, data: bytes) -> bool:
        token = uuid.uuid4().hex
        for _ in range(_CONFLICTS):
            try:
                self._files.pipe_file(path, data, mode="create", Metadata={_TOKEN: token})
                return True
            except OSError as error:
                code = _code(error)
                if code == "ConditionalRequestConflict":  # another put or a removal was on its way: ask again
                    last = error
                    continue
                if isinstance(error, FileExistsError) or code in ("PreconditionFailed", "412"):
                    return self._is_from(path, token)
                raise
        raise last

    def _is_from(self, path: str, token: str) -> bool:
        """Whether the object at a path was put there with that token."""
        bucket, key, _ = self._files.split_path(path)
        with contextlib.suppress(FileNotFoundError):  # removed since
            found = self._files.call_s3("head_object", Bucket=bucket, Key=key)
            return bool(found.get("Metadata", {}).get(_TOKEN) == token)
        return False

    def _translated(self, error: Exception, path: str) -> OSError:
        if type(error).__name__ in _NO_KEYS:
            return PermissionError(
                errno.EACCES,
                f"{error}. Hint: give keys by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or "
                f"fsspec's configuration (docs/stores.md)",
                self.url(path),
            )
        return super()._translated(error, path)


def _read_times_fast(filesystem: Any) -> None:
    """Have a client that is not connected yet read the times of listings in one call each. Its own way, which
    tries many forms, takes four fifths of what a page of a listing costs."""
    if filesystem.session is not None:  # one that is connected, or has a session of the user's
        return
    from aiobotocore.session import AioSession
    from botocore.utils import parse_timestamp

    def moment(text: Any) -> Any:
        try:
            return datetime.fromisoformat(text)
        except (TypeError, ValueError):
            return parse_timestamp(text)

    session = AioSession(**filesystem.kwargs)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    filesystem.session = session


def _take_names_whole(filesystem: Any) -> None:
    """Have a client that knows no versions take ``?versionId=`` for a part of a name. Its own way cuts names
    there, and reads another object."""
    if filesystem.version_aware or hasattr(filesystem.split_path, "cuts"):
        return
    cuts = filesystem.split_path

    def split_path(path: str) -> tuple[str, str, str | None]:
        start, mark, rest = path.partition("?versionId=")
        bucket, key, version = cuts(start)
        return bucket, f"{key}{mark}{rest}", version

    split_path.cuts = cuts  # type: ignore[attr-defined]
    filesystem.split_path = split_path


def _seconds(moment: datetime) -> int:
    """A moment, cut to seconds, in nanoseconds."""
    return int(moment.timestamp()) * 1_000_000_000


def _code(error: BaseException) -> str:
    """What S3 called an error: its code, or the status of the answer."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        seen = seen.__cause__
    return ""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.errors import ArgumentError, UnsupportedError
from penstock.storage import LocalStorage, storage_for


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/data/in", "/data/in"),
        ("/data/in/", "/data/in"),
        ("file:/data/in", "/data/in"),
        ("file:///data/in", "/data/in"),
        ("file://localhost/data/in", "/data/in"),
        ("file:///data/in-?/a#1*", "/data/in-?/a#1*"),
        ("/data/a%20b", "/data/a%20b"),
        (Path("/data/in"), "/data/in"),
    ],
)
def test_local_locations(location: str | Path, path: str) -> None:
    assert storage_for(location) == (LocalStorage(), path)


@pytest.mark.parametrize("location", ["in", "./in", "c:in", "2016-03-22 20:25:28", "~"])
def test_other_text_is_a_path_from_here(location: str) -> None:
    expected = os.path.join(os.getcwd(), location.removeprefix("./"))
    assert storage_for(location) == (LocalStorage(), expected)


def test_a_location_stays_where_it_was_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, path = storage_for("in")
    monkeypatch.chdir("/")
    assert path == str(tmp_path / "in")


@pytest.mark.parametrize("location", ["", b"/data"])
def test_what_is_no_location(location: str) -> None:
    with pytest.raises(ArgumentError, match="path or URL"):
        storage_for(location)


def test_an_unknown_scheme_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="nonsense://bucket"):
        storage_for("nonsense://bucket/x")

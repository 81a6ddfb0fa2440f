"""The tree speaks for itself: no file names a folder of the machine that it was written on, or sends
the reader to a text that is not here.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A letter in brackets keeps this file from finding itself. What goes before the slash tells an absolute
# path from a part of one: what stands behind a word, a `~` or a bucket names no machine.
PATTERNS = {
    "a path of one machine": re.compile(
        r"(?<![\w.~/}-])/(?:[w]ork/|[r]oot\b|[h]ome/(?!you/|user/)\w|[U]sers/(?!you/|user/)\w|tmp/[p]svenv|tmp/[b]ash_)"
    ),
    "a text that is not in the tree": re.compile(
        r"\.\./[s]hared\b|\b[s]hared/(?:DESIGN|STYLE|reference)|\b[r]eference/[\w-]+\.md|\b[D]ESIGN\.md|\b[S]TYLE\.md"
    ),
}


def tracked_files(root: Path) -> list[Path]:
    """What git keeps under ``root``, or would if it were added now; the ignored and the removed are not."""
    listed = subprocess.run(
        # safe.directory: the clone may belong to another user than the one who runs the tests
        [
            "git",
            "-c",
            f"safe.directory={root}",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=root,
        capture_output=True,
        check=True,
    )
    paths = (root / name for name in listed.stdout.decode().split("\0") if name)
    return sorted({path for path in paths if path.is_file()})


def mentions(root: Path, files: Iterable[Path]) -> list[str]:
    """Every line of a text file that matches one of :data:`PATTERNS`, as ``file:line: what: text``."""
    files = list(files)
    here = {path.name for path in files}
    found = []
    for path in files:
        content = path.read_bytes()
        if b"\0" in content:
            continue  # not a text
        for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
            for what, pattern in PATTERNS.items():
                found += [
                    f"{path.relative_to(root)}:{number}: {what}: {match[0]}"
                    for match in pattern.finditer(line)
                    if Path(match[0]).name not in here
                ]
    return found


def test_no_file_names_the_machine_it_was_written_on() -> None:
    files = tracked_files(ROOT)
    assert Path(__file__) in files
    found = mentions(ROOT, files)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "see /{w}ork/main/build",
        "'/{r}oot'",
        "cd /{h}ome/ann/penstock",
        "python=/tmp/{p}svenv/bin/python",
        "as ../{s}hared/notes says",
        "({D}ESIGN.md 4)",
        "measured in {r}eference/field.md",
    ],
)
def test_a_mention_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    plain = re.sub(r"\{(.)\}", r"\1", text)
    (tmp_path / "notes.txt").write_text(f"first\n{plain}\n")
    [found] = mentions(tmp_path, [tmp_path / "notes.txt"])
    assert found.startswith("notes.txt:2: a ")


@pytest.mark.parametrize(
    "text",
    [
        "frame{w}ork/x", "~/{w}ork/x", "s3://bucket/{r}oot/x",
        "/home/you/orders", "/tmp/orders", "docs/guide.md",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_is_welcome(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.txt").write_text(re.sub(r"\{(.)\}", r"\1", text))
    assert mentions(tmp_path, [tmp_path / "notes.txt"]) == []


def test_a_text_may_be_named_that_is_in_the_tree(tmp_path: Path) -> None:
    note, design = tmp_path / "notes.txt", (tmp_path / "DESIGN").with_suffix(".md")
    note.write_text(f"see {design.name}")
    design.write_text("")
    assert mentions(tmp_path, [note, design]) == []


def test_ignored_files_are_not_read(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for name, text in {".gitignore": "build/", "build/x": "", "src/y": "", "z": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [path.name for path in tracked_files(tmp_path)] == [".gitignore", "y", "z"]

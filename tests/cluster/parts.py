"""What a job has left in a folder."""

from __future__ import annotations

from pathlib import Path


def written(tmp_path: Path) -> list[str]:
    """What is in ``out``, of which nothing else is left."""
    parts = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert parts == ["_SUCCESS", *(f"part-{number:05d}" for number in range(4))]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    return "".join((tmp_path / "out" / part).read_text() for part in parts[1:]).split()

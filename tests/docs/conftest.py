"""A folder of its own for each page and example, and no context left behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import Context, StreamingContext


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    logging.disable(logging.NOTSET)
    streaming = StreamingContext.getActive()
    if streaming is not None:
        streaming.stop()
    if Context._active is not None:
        Context._active.stop()

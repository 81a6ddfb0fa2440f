"""One context a test, with somewhere to checkpoint to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import Context, StreamingContext


@pytest.fixture
def sc(tmp_path: Path) -> Iterator[Context]:
    with Context("local[2]", "tests") as context:
        context.setCheckpointDir(str(tmp_path / "checkpoints"))
        yield context
        active = StreamingContext.getActive()
        if active is not None:
            active.stop(stopSparkContext=False)

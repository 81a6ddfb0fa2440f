from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock import Context


@pytest.fixture
def sc() -> Iterator[Context]:
    with Context("local[2]", "tests") as context:
        yield context

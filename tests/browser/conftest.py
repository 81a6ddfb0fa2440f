"""A browser for the tests of pages: one for each test, with an empty profile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser, started


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    browser = started(tmp_path / "profile")
    try:
        yield browser
    finally:
        browser.driver.quit()

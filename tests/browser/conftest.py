"""A browser for the tests of pages: one process for all of a run, with an empty profile, as new for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.chromium import Browser, started


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium = started(tmp_path_factory.mktemp("chromium") / "profile")
    try:
        yield chromium
    finally:
        chromium.driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.forget()
    return chromium

"""A headless Chromium that tells what it was asked for, what it said, and how it looks."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

__all__ = ["Browser", "started"]

T = TypeVar("T")

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars",
    "--force-device-scale-factor=1", "--lang=en-US",
)  # fmt: skip


class Browser:
    """A page of a browser. Everything that it loads and logs is kept for :meth:`complaints`."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self._asked: list[str] = []
        self._said: list[str] = []

    def forget(self) -> None:
        """Be as a new one: for the next test."""
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        self.open("about:blank")
        self.asked()
        self.said()
        self._asked, self._said = [], []

    def open(self, url: str) -> None:
        """Go to an address."""
        self.driver.get(url)

    def size(self, width: int, height: int) -> None:
        """Make the page so large, exactly."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def theme(self, name: str) -> None:
        """``light`` or ``dark``, as the system would prefer it."""
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]}
        )

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, css: str) -> str:
        """What the first element that matches shows; empty if there is none."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css))

    def until(self, happened: Callable[[], T], seconds: float = 15.0) -> T:
        """Wait until something is true, and return it; fail with what the page says if it does not become
        so."""
        never = threading.Event()
        for _ in range(int(seconds / 0.02)):
            found = happened()
            if found:
                return found
            never.wait(0.02)
        pytest.fail(f"it has not happened; the page says:\n{self.text('body')[:3000]}\n{self.said()}")

    def keys(self, *names: str) -> None:
        """Press keys, by their names in selenium, or as they are."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        chain = ActionChains(self.driver)
        for name in names:
            chain.send_keys(getattr(Keys, name, name))
        chain.perform()

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """How the page looks, as PNG."""
        import base64

        taken = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole}
        )
        path.write_bytes(base64.b64decode(taken["data"]))

    def asked(self) -> list[str]:
        """The addresses of all requests so far."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._asked.append(message["params"]["request"]["url"])
        return self._asked

    def said(self) -> list[str]:
        """What the console holds from warnings on."""
        self._said += [
            entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"
        ]
        return self._said

    def complaints(self, *, but: str = "") -> list[str]:
        """Requests that have left the machine, and errors of the console, without those that hold ``but``."""
        away = [
            url
            for url in self.asked()
            if not url.startswith(
                ("http://127.0.0.1:", "http://localhost:", "data:", "blob:", "chrome:", "chrome-untrusted:")
            )
            and url != "about:blank"
        ]
        return [*away, *(line for line in self.said() if not but or but not in line)]


def started(folder: Path) -> Browser:
    """A new one, with a profile of its own in ``folder``. The test is skipped where there is none."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no Chromium here. Hint: apt install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="Hint: pip install 'penstock[test]'")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={folder}", "about:blank"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return Browser(webdriver.Chrome(options=options, service=Service(chromedriver)))

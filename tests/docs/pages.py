"""The code blocks of a Markdown page, and how to run them."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run, or when a page is edited: batch times, dates, the lines of call sites.
_VARYING = (
    (re.compile(r"\b\d{13}\b"), "<ms>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "<time>"),
    (re.compile(r"[\w./-]+\.(?:md|py):\d+"), "<line>"),
)


@dataclass(frozen=True)
class Block:
    """One fenced block: what stands behind the fence, its text, the line its text begins at."""

    info: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["info"].strip(), match["text"], text.count("\n", 0, match.start("text")) + 1)
        for match in _FENCE.finditer(text)
    ]


def plain(text: str) -> str:
    """Printed text with what may differ made equal."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return "".join(f"{line.rstrip()}\n" for line in text.strip().splitlines())


def as_printed(printed: str, wanted: str) -> bool:
    """Whether a page says what was printed; ``...`` on a page stands for anything."""
    return doctest.OutputChecker().check_output(plain(wanted), plain(printed), doctest.ELLIPSIS)


class Page:
    """Runs the ``python`` and ``console`` blocks of a page in one namespace and the current folder.

    What a ``python`` block prints is held against the ``text printed`` block that follows it (a block that
    prints must have one); what a command of a ``console`` block prints, against the lines below it.
    """

    def __init__(self, path: Path, **names: Any) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.names: dict[str, Any] = {"__name__": "page", **names}

    def run(self) -> int:
        """Run all; the number of blocks that ran. ``AssertionError`` names the line of the page."""
        blocks = blocks_of(self.path)
        count = 0
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            if block.info == "python":
                wanted = following.text if following and following.info == "text printed" else ""
                self._compare(block, self._python(block), wanted)
            elif block.info == "console":
                for line, command, wanted in _commands(block):
                    self._compare(Block("", "", line), self._console(command), wanted)
            else:
                continue
            count += 1
        return count

    def _python(self, block: Block) -> str:
        # The blank lines make tracebacks and call sites name the line of the page.
        code = compile("\n" * (block.line - 1) + block.text, self.name, "exec", dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, self.names)
        return printed.getvalue()

    def _console(self, command: str) -> str:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, "PATH": path, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def _compare(self, block: Block, printed: str, wanted: str) -> None:
        assert as_printed(printed, wanted), (
            f"{self.name}:{block.line} printed\n{printed}\nbut the page says\n{wanted}"
        )


def _commands(block: Block) -> Iterator[tuple[int, str, str]]:
    """The commands of a ``console`` block with their lines and what they are to print."""
    command, line, output = "", 0, ""
    for number, text in enumerate(block.text.splitlines(), block.line):
        if text.startswith("$ "):
            if command:
                yield line, command, output
            command, line, output = text[2:], number, ""
        else:
            output += f"{text}\n"
    if command:
        yield line, command, output

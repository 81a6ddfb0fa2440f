"""Every kernel against Python, on edge values."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from penstock.vectorize.kernels import Kernel, all_kernels
from penstock.vectorize.kernels.texts import WHITESPACE
from tests.vectorize.proof import problems_of, shown


@pytest.mark.parametrize("kernel", all_kernels().values(), ids=shown)
def test_a_kernel_gives_what_python_gives_or_refuses(kernel: Kernel) -> None:
    problems = list(itertools.islice(problems_of(kernel), 10))
    assert not problems, "\n" + "\n".join(problems)


def test_whitespace_is_all_that_python_strips() -> None:
    assert set(WHITESPACE) == {chr(point) for point in range(sys.maxunicode + 1) if chr(point).isspace()}


def test_kernels_do_not_import_pandas() -> None:
    """Which Arrow does by itself at the first call of some of its functions: 0.3 s for nothing."""
    program = """
import sys
from dataclasses import replace
from penstock.vectorize.kernels import all_kernels
assert "pandas" not in sys.modules, "importing"
from tests.vectorize.proof import problems_of
for kernel in all_kernels().values():
    if kernel.name != "strftime":
        kernel = replace(kernel, parameters=kernel.parameters[:1])
        assert next(problems_of(kernel), None) is None, kernel
    assert "pandas" not in sys.modules, kernel
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)

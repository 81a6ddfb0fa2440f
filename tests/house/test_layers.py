"""The layer rule: a module imports only from levels above its own, or from its own package.

The rules are in the lists below. The second half of the file gives the checker small made-up trees
to fail on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.house.imports import Edge, Module, Tree

SOURCE = Path(__file__).parents[2] / "src"

# The total order. Names on one line are on one level: none of them imports another of them.
LEVELS = (
    "values",
    "errors",
    "times",
    "conf",
    "clock",
    "chunk",
    "vectorize",
    "formats",
    "encoding",
    "storage",
    "clients",
    "plan",
    "state",
    "sources sinks",
    "rdd",
    "executors",
    "checkpoint",
    "dstream",
    "scheduler",
    "monitor",
    "context",
    "testing",
    "brokerage",
    "cli",
)

# Each line is one engine; one file imports it.
ENGINES = (
    "pyspark py4j",
    "confluent_kafka",
    "starlette uvicorn",
    "plotly",
    "IPython",
    "pandas",
    "sqlalchemy",
    "s3fs aiobotocore botocore",
)

# What reads the wall clock or waits for it, and what to call instead.
CLOCK_MODULE = "penstock.clock"
CLOCK_READERS = {
    "time.time": "Clock.now_ms",
    "time.time_ns": "Clock.now_ms",
    "time.monotonic": "Clock.elapsed_ns",
    "time.monotonic_ns": "Clock.elapsed_ns",
    "time.perf_counter": "Clock.elapsed_ns",
    "time.perf_counter_ns": "Clock.elapsed_ns",
    "time.sleep": "Clock.wait_until",
    "datetime.datetime.now": "local_datetime(clock.now_ms())",
    "datetime.datetime.utcnow": "local_datetime(clock.now_ms())",
    "datetime.datetime.today": "local_datetime(clock.now_ms())",
    "datetime.date.today": "local_datetime(clock.now_ms()).date()",
}
# Modules that may read it all the same, and why. One that no longer does must go from here.
CLOCK_EXCEPTIONS: Mapping[str, str] = {}


def layer_of(module: str) -> str:
    """The line of the house a module stands on: ``penstock.chunk.rows`` on ``chunk``."""
    return ".".join(module.split(".")[1:2])


# ------------------------------------------------------------------------------------------- the rules


def layer_problems(tree: Tree, levels: Iterable[str] = LEVELS) -> list[str]:
    """Edges that point to a later level, or across a level; and modules that stand on none."""
    level_of = {name: number for number, names in enumerate(levels) for name in names.split()}
    problems = []
    for module in tree.modules.values():
        layer = layer_of(module.name)
        if layer and layer not in level_of:
            problems.append(f"{tree.place(module, module.syntax)}: {module.name} stands on no level")
    for edge in tree.inside:
        here, there = layer_of(edge.importer), layer_of(edge.imported)
        if not here:
            continue  # the root re-exports: root_problems looks after it
        if not there:
            problems.append(f"{edge}, the root, which is for users")
        elif here != there and level_of.get(there, -1) >= level_of.get(here, len(level_of)):
            relation = "on its own level" if level_of[there] == level_of[here] else "below it"
            problems.append(f"{edge}, {relation}")
    return problems


def root_problems(tree: Tree) -> list[str]:
    """What the root package holds besides a docstring, imports, ``__all__`` and ``__version__``."""
    root = tree.modules.get(tree.package)
    if root is None:
        return [f"{tree.source.name}/{tree.package}/__init__.py is missing"]
    problems = []
    for number, statement in enumerate(root.syntax.body):
        match statement:
            case ast.Import() | ast.ImportFrom():
                continue
            case ast.Expr(value=ast.Constant(value=str())) if number == 0:
                continue
            case ast.Assign(targets=[ast.Name(id="__all__" | "__version__")]):
                continue
            case ast.AnnAssign(target=ast.Name(id="__all__" | "__version__")):
                continue
        problems.append(f"{tree.place(root, statement)}: the root re-exports and does nothing else")
    return problems


def folder_problems(tree: Tree) -> list[str]:
    """Folders that hold modules and are no packages: build, types and doctests would differ on them."""
    folders = {module.path.parent for module in tree.modules.values()}
    return [
        f"{folder.relative_to(tree.source.parent)}/__init__.py is missing"
        for folder in sorted(folders)
        if not (folder / "__init__.py").exists()
    ]


def cycle_problems(tree: Tree) -> list[str]:
    """Every group of modules that import each other, as one ring of edges."""
    follow: dict[str, dict[str, Edge]] = {name: {} for name in tree.modules}
    for edge in tree.inside:
        if edge.imported in follow:
            follow[edge.importer].setdefault(edge.imported, edge)
    problems = []
    blamed: set[str] = set()
    for start in tree.modules:
        ring = _ring(start, follow)
        if ring and not blamed & {edge.importer for edge in ring}:
            blamed |= {edge.importer for edge in ring}
            problems.append("a cycle:" + "".join(f"\n    {edge}" for edge in ring))
    return problems


def _ring(start: str, follow: Mapping[str, Mapping[str, Edge]]) -> list[Edge]:
    """The shortest way along imports from ``start`` to itself; empty if there is none."""
    ways: dict[str, list[Edge]] = {start: []}
    queue = [start]
    for name in queue:
        for target, edge in follow[name].items():
            if target == start:
                return [*ways[name], edge]
            if target not in ways:
                ways[target] = [*ways[name], edge]
                queue.append(target)
    return []


def engine_problems(tree: Tree, engines: Iterable[str] = ENGINES) -> list[str]:
    """Engines that more than one file imports."""
    problems = []
    for engine in engines:
        edges = [edge for edge in tree.outside if edge.imported.split(".")[0] in engine.split()]
        if len({edge.importer for edge in edges}) > 1:
            places = "".join(f"\n    {edge}" for edge in edges)
            problems.append(f"{engine.split()[0]} is imported by more than one file:{places}")
    return problems


def clock_problems(tree: Tree, exceptions: Mapping[str, str] = CLOCK_EXCEPTIONS) -> list[str]:
    """Reads of the wall clock outside the clock, and exceptions that are no longer needed."""
    problems = []
    for module in tree.modules.values():
        if module.name == CLOCK_MODULE:
            continue
        reads = [
            f"{tree.place(module, node)}: {name} reads the wall clock. Hint: use {CLOCK_READERS[name]}"
            for node, name in _clock_reads(module)
        ]
        if module.name not in exceptions:
            problems += reads
        elif not reads:
            problems.append(f"{module.name} no longer reads the wall clock: drop it from CLOCK_EXCEPTIONS")
    return problems


def _clock_reads(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Names and attributes that stand for a reader of the clock, under whatever name it was imported."""
    meaning: dict[str, str] = {}  # a name in this file -> the dotted name it stands for
    for node in ast.walk(module.syntax):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    bound = alias.asname or alias.name.split(".")[0]
                    meaning[bound] = alias.name if alias.asname else bound
            case ast.ImportFrom(module=str(origin), names=names, level=0):
                meaning |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in names}
    for node in ast.walk(module.syntax):
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            name = _dotted(node, meaning)
            if name in CLOCK_READERS:
                yield node, name


def _dotted(node: ast.expr, meaning: Mapping[str, str]) -> str:
    match node:
        case ast.Name(id=name):
            return meaning.get(name, "")
        case ast.Attribute(value=value, attr=attribute):
            owner = _dotted(value, meaning)
            return f"{owner}.{attribute}" if owner else ""
    return ""


# ----------------------------------------------------------------------------------------- this house


@pytest.fixture(scope="module")
def penstock() -> Tree:
    tree = Tree(SOURCE)
    assert tree.modules, f"no modules under {SOURCE}"
    return tree


def report(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def test_modules_import_only_from_levels_above_their_own(penstock: Tree) -> None:
    report(layer_problems(penstock))


def test_the_root_only_reexports(penstock: Tree) -> None:
    report(root_problems(penstock))


def test_each_folder_is_a_package(penstock: Tree) -> None:
    report(folder_problems(penstock))


def test_there_are_no_import_cycles(penstock: Tree) -> None:
    report(cycle_problems(penstock))


def test_each_engine_is_imported_by_one_file(penstock: Tree) -> None:
    report(engine_problems(penstock))


def test_only_the_clock_reads_the_wall_clock(penstock: Tree) -> None:
    report(clock_problems(penstock))


def test_the_tree_is_really_read(penstock: Tree) -> None:
    """Against a checker that is content because it sees nothing."""
    edges = {(edge.importer, edge.imported) for edge in penstock.inside}
    assert ("penstock.times", "penstock.errors") in edges


# ---------------------------------------------------------------------------------- the checker itself


@pytest.fixture
def plant(tmp_path: Path):
    """Write ``{"chunk/rows.py": "import os"}`` as a package ``penstock``, and read it."""

    def plant(files: Mapping[str, str]) -> Tree:
        for name, text in {"__init__.py": "", **files}.items():
            path = tmp_path / "src" / "penstock" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            for folder in path.relative_to(tmp_path / "src" / "penstock").parents:
                (tmp_path / "src" / "penstock" / folder / "__init__.py").touch()
        return Tree(tmp_path / "src")

    return plant


@pytest.mark.parametrize(
    "statement",
    [
        "import penstock.rdd",
        "import penstock.rdd.handle as h",
        "from penstock.rdd import RDD",
        "from penstock.rdd.handle import *",
        "from ..rdd import handle",
        "from .. import rdd",
        "from penstock import rdd",
        "def f():\n    from penstock import rdd",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from penstock.rdd import RDD",
        "try:\n    from penstock.rdd import RDD\nexcept ImportError:\n    pass",
        "import importlib\nimportlib.import_module('penstock.rdd')",
    ],
)
def test_an_import_of_a_lower_layer_is_named_with_its_place(plant, statement: str) -> None:
    tree = plant({"chunk/rows.py": statement, "rdd/__init__.py": "", "rdd/handle.py": ""})
    line = len(statement.splitlines()) if "try" not in statement else 2
    [problem] = layer_problems(tree)
    assert problem.startswith(f"src/penstock/chunk/rows.py:{line}: penstock.chunk.rows imports penstock.rdd")
    assert problem.endswith("below it")


@pytest.mark.parametrize(
    "statement",
    [
        "import os, penstock.errors",
        "from penstock.errors import UsageError",
        "from penstock.rdd.handle import RDD",
        "from . import handle",
        "from .handle import RDD",
        "from .. import errors",
    ],
)
def test_an_import_from_above_or_of_the_own_package_is_welcome(plant, statement: str) -> None:
    tree = plant({"errors.py": "", "rdd/pairs.py": statement, "rdd/handle.py": ""})
    assert layer_problems(tree) == []


def test_sources_and_sinks_do_not_import_each_other(plant) -> None:
    tree = plant({"sources/text.py": "import penstock.sinks", "sinks/text.py": "import penstock.sources"})
    problems = layer_problems(tree)
    assert len(problems) == 2
    assert all(problem.endswith("on its own level") for problem in problems)


def test_nobody_inside_imports_the_root(plant) -> None:
    tree = plant({"__init__.py": "from .rdd import RDD", "rdd.py": "", "cli.py": "from penstock import RDD"})
    [problem] = layer_problems(tree)
    assert problem.startswith("src/penstock/cli.py:1: penstock.cli imports penstock, the root")


def test_a_module_on_no_level_is_named(plant) -> None:
    tree = plant({"utils/strings.py": "from penstock import errors", "errors.py": "import penstock.utils"})
    problems = layer_problems(tree)
    assert "src/penstock/utils/strings.py:1: penstock.utils.strings stands on no level" in problems


def test_a_root_that_does_something_is_named(plant) -> None:
    tree = plant({"__init__.py": '"""Doc."""\nfrom .a import f\n__all__ = ["f"]\nx = f()\n', "a.py": ""})
    [problem] = root_problems(tree)
    assert problem.startswith("src/penstock/__init__.py:4:")


def test_a_folder_without_init_is_named(plant) -> None:
    tree = plant({"sinks/text.py": ""})
    (tree.source / "penstock" / "sinks" / "__init__.py").unlink()
    assert folder_problems(Tree(tree.source)) == ["src/penstock/sinks/__init__.py is missing"]


def test_an_import_of_a_module_that_is_not_there_counts_by_its_name(plant) -> None:
    tree = plant({"chunk/rows.py": "from penstock.rdd.handle import RDD"})
    [problem] = layer_problems(tree)
    assert problem.endswith("penstock.chunk.rows imports penstock.rdd.handle, below it")


def test_a_cycle_is_drawn_once_with_all_its_edges(plant) -> None:
    tree = plant(
        {
            "rdd/a.py": "import os\nfrom penstock.rdd import b",
            "rdd/b.py": "def f():\n    from .c import x",
            "rdd/c.py": "from .a import y\nfrom . import d",
            "rdd/d.py": "",
        }
    )
    assert cycle_problems(tree) == [
        "a cycle:"
        "\n    src/penstock/rdd/a.py:2: penstock.rdd.a imports penstock.rdd.b"
        "\n    src/penstock/rdd/b.py:2: penstock.rdd.b imports penstock.rdd.c"
        "\n    src/penstock/rdd/c.py:1: penstock.rdd.c imports penstock.rdd.a"
    ]


def test_a_module_that_imports_from_its_own_package_is_a_cycle(plant) -> None:
    tree = plant(
        {"rdd/__init__.py": "from .handle import RDD", "rdd/handle.py": "from penstock.rdd import X"}
    )
    assert len(cycle_problems(tree)) == 1


def test_an_engine_that_two_files_import_is_named_with_both(plant) -> None:
    tree = plant(
        {
            "monitor/web.py": "from starlette.routing import Route",
            "monitor/serve.py": "def f():\n    import uvicorn",
            "monitor/plots.py": "import plotly.graph_objects as go\nfrom plotly import io",
        }
    )
    [problem] = engine_problems(tree)
    assert "src/penstock/monitor/web.py:1" in problem
    assert "src/penstock/monitor/serve.py:2" in problem


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "import time as t\nt.time_ns()",
        "from time import monotonic as tick\ntick()",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now()",
        "from datetime import date\ndate.today()",
        "from time import time\nread = time",
    ],
)
def test_a_read_of_the_wall_clock_is_named_with_its_replacement(plant, text: str) -> None:
    [problem] = clock_problems(plant({"context.py": text, "clock.py": text}), exceptions={})
    assert problem.startswith("src/penstock/context.py:2: ")
    assert "Hint: use " in problem


@pytest.mark.parametrize(
    "text",
    [
        "def f(time):\n    return time.time()",
        "from datetime import datetime\ndatetime.fromtimestamp(0)",
        "import time\ntime.gmtime(0)",
        "class A:\n    def sleep(self): self.sleep()",
    ],
)
def test_what_only_looks_like_a_clock_is_welcome(plant, text: str) -> None:
    assert clock_problems(plant({"context.py": text}), exceptions={}) == []


def test_an_exception_for_the_clock_holds_until_it_is_not_needed(plant) -> None:
    tree = plant({"cli.py": "import time\ntime.sleep(1)", "conf.py": ""})
    exceptions = {"penstock.cli": "waits for a key", "penstock.conf": "none"}
    assert clock_problems(tree, exceptions) == [
        "penstock.conf no longer reads the wall clock: drop it from CLOCK_EXCEPTIONS"
    ]

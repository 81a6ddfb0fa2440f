"""Reads who imports whom in a tree of Python files, without running anything.

Every import counts: at the top, in a function, under ``if TYPE_CHECKING``, and by a literal name
through ``import_module``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Edge:
    """``importer`` imports ``imported`` (dotted module names) at ``place`` (``file:line``)."""

    importer: str
    imported: str
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {self.importer} imports {self.imported}"


@dataclass(frozen=True)
class Module:
    """A parsed file: its dotted name, and the package that a relative import in it starts from."""

    name: str
    path: Path
    package: str
    syntax: ast.Module


class Tree:
    """The modules of ``package`` in the folder ``source``, and who imports whom."""

    def __init__(self, source: Path, package: str = "penstock") -> None:
        self.source = source
        self.package = package
        self.modules: dict[str, Module] = {}
        for path in sorted((source / package).rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            owner = ".".join(parts[:-1])
            name = owner if is_package else ".".join(parts)
            self.modules[name] = Module(name, path, owner, ast.parse(path.read_text(), str(path)))

    @cached_property
    def inside(self) -> list[Edge]:
        """Imports of this package's modules, one edge per import and module."""
        return [
            Edge(module.name, f"{origin}.{name}" if f"{origin}.{name}" in self.modules else origin, place)
            for module, origin, name, place in self._imports()
            if origin.split(".")[0] == self.package
        ]

    @cached_property
    def outside(self) -> list[Edge]:
        """Imports of everything else, by the module they are from."""
        return [
            Edge(module.name, origin, place)
            for module, origin, _, place in self._imports()
            if origin.split(".")[0] != self.package
        ]

    def place(self, module: Module, node: ast.AST) -> str:
        """``file:line`` of a piece of syntax, the file seen from above the source folder."""
        return f"{module.path.relative_to(self.source.parent)}:{getattr(node, 'lineno', 1)}"

    def _imports(self) -> Iterator[tuple[Module, str, str, str]]:
        for module in self.modules.values():
            for node in ast.walk(module.syntax):
                for origin, name in imported(node, module.package):
                    yield module, origin, name, self.place(module, node)


def imported(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """What a piece of syntax imports, seen from ``package``: a module, and a name in it or nothing."""
    match node:
        case ast.Import(names=names):
            yield from ((alias.name, "") for alias in names)
        case ast.ImportFrom(module=origin, names=names, level=level):
            # One dot is the package itself, each further dot the package around it.
            around = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            base = ".".join([*around, *([origin] if origin else [])])
            yield from ((base, alias.name) for alias in names)
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield name, ""

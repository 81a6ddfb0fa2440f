"""What is known of a dataset's records before it is computed: columns of a row type, or Python objects and
why.

This is what ``explain()`` shows. Running decides again for each chunk: one that is small, or that a kernel
refuses, is computed by Python all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from penstock.chunk import RowType
from penstock.errors import CallSite
from penstock.plan.nodes import Gather, Narrow, Node, Shuffle, Source, concatenated
from penstock.values import dataclass
from penstock.vectorize import Untraced

__all__ = ["Form", "Lists", "States", "explained", "forms_of"]


@dataclass(frozen=True)
class Lists:
    """Columns of keys, and of the values that each has: pairs of a key and a list."""

    key_type: RowType
    value_type: RowType

    def __str__(self) -> str:
        return f"tuple[{self.key_type}, list[{self.value_type}]]"


@dataclass(frozen=True)
class States:
    """State by key in columns, and what the function has returned that goes with it: columns, or nothing."""

    key_type: RowType
    state_type: RowType
    emitted_type: RowType | None

    def __str__(self) -> str:
        return f"states of {self.state_type} by {self.key_type}"


Form = RowType | Lists | States | Untraced
"""Columns of a row type, lists or states in columns, or Python objects and why they are."""


@runtime_checkable
class Formed(Protocol):
    """A step, router or combination that may keep columns."""

    def form(self, *forms: Any) -> Form:
        """What becomes of records of these forms, none of which is ``Untraced``."""


def forms_of(plan: Node) -> dict[Node, Form]:
    """The form of each node's records, parents first."""
    found: dict[Node, Form] = {}
    pending: list[tuple[Node, bool]] = [(plan, False)]
    while pending:
        node, ready = pending.pop()
        if node in found:
            continue
        if ready:
            found[node] = _form(node, found)
            continue
        pending.append((node, True))
        pending.extend((parent, False) for parent in reversed(node.parents))
    return found


def _form(node: Node, found: dict[Node, Form]) -> Form:
    match node:
        case Source():
            return _form_of_source(node)
        case Narrow():
            return _behind(node.step, [found[node.parent]])
        case Shuffle():
            return _behind(node.router, [found[node.parent]])
        case Gather():
            return _gathered(node, [found[source] for source in node.sources])
        case _:
            raise AssertionError(f"no such node kind: {type(node).__name__}")


def _form_of_source(node: Source) -> Form:
    if node.row_type is not None:
        return node.row_type
    kinds = {reader.row_type for reader in node.readers}
    if len(kinds) == 1 and (kind := kinds.pop()) is not None:
        return kind
    return Untraced("its records are Python objects")


def _behind(what: Any, forms: list[Form]) -> Form:
    """What a step makes of these; Python objects stay what they are."""
    if not getattr(what, "begins_columns", False):
        for form in forms:
            if isinstance(form, Untraced):
                return Untraced(_ALREADY)
    if isinstance(what, Formed):
        return what.form(*forms)
    return Untraced("it works on Python objects")


_ALREADY = "what it reads are Python objects"


def _gathered(node: Gather, forms: list[Form]) -> Form:
    if isinstance(node.combine, Formed):
        return _behind(node.combine, forms)
    if node.combine is concatenated:
        if any(isinstance(form, Untraced) for form in forms):
            return Untraced(_ALREADY)
        alike = all(form == forms[0] for form in forms)
        return forms[0] if alike else Untraced("what it reads is of several types")
    return _behind(node.combine, forms)


def explained(plan: Node, elsewhere: str = "") -> str:
    """A plan as text, a line a node in the order in which they are computed: the operation and the line of
    the user's program that asked for it, what it reads, and ``columns`` with their row type or ``rows`` with
    the reason. ``elsewhere`` is where rows of steps are that are computed in other processes.
    """
    forms = forms_of(plan)
    numbers = {node: number for number, node in enumerate(forms, 1)}
    lines = []
    for node, form in forms.items():
        read = ", ".join(str(numbers[parent]) for parent in node.parents)
        how = f"columns: {form}"
        if isinstance(form, Untraced):
            place = elsewhere if isinstance(node, Narrow) and not node.stays_here else ""
            how = f"rows{f' in {place}' if place else ''}: {form.reason}"
        lines.append(f"{numbers[node]:3d} {_what(node)}{f' of {read}' if read else ''}: {how}")
    return "\n".join(lines)


def _what(node: Node) -> str:
    names: Sequence[str]
    match node:
        case Narrow():
            names = [node.step.name]
        case Shuffle():
            names = ["shuffle", node.router.name]
        case Gather():
            names = [getattr(node.combine, "__name__", "gather").strip("_"), "for"]
        case _:
            names = []
    operation = node.site.operation
    name = " ".join(names)
    if not name or operation in name.split():
        return f"{name or 'read'} at {_place(node.site)}" if name else f"{operation} at {_place(node.site)}"
    return f"{name} {operation} at {_place(node.site)}"


def _place(site: CallSite) -> str:
    return f"{site.file}:{site.line}" if site.file else "an unknown line"

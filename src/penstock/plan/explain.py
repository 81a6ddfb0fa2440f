"""A plan as text, as ``RDD.toDebugString`` shows it."""

from __future__ import annotations

from collections.abc import Callable

from penstock.plan.nodes import Gather, Narrow, Node, Shuffle, Source

__all__ = ["debug_string"]


def debug_string(node: Node, note: Callable[[Node], str] = lambda node: "") -> str:
    """One line a node, the youngest first; a shuffle begins a new indented stage, as in Spark.

    ``note`` may add a remark to a node, such as its storage level. A node that is read twice is
    written out once.
    """
    lines: list[str] = []
    seen: set[Node] = set()
    pending: list[tuple[Node, int]] = [(node, 0)]
    while pending:
        current, depth = pending.pop()
        again = current in seen
        lines.append(
            f"{'  ' * depth}{_described(current)}{note(current)}{' (again, see above)' if again else ''}"
        )
        if again:
            continue
        seen.add(current)
        deeper = depth + (isinstance(current, Shuffle) or len(current.parents) > 1)
        pending.extend((parent, deeper) for parent in reversed(current.parents))
    return "\n".join(lines)


def _described(node: Node) -> str:
    kind = type(node).__name__
    match node:
        case Source():
            what = type(node.readers[0]).__name__ if node.readers else "empty"
        case Narrow():
            what = node.step.name
        case Shuffle():
            what = node.router.name
        case Gather():
            what = node.combine.__name__.strip("_") if hasattr(node.combine, "__name__") else "combine"
        case _:
            what = ""
    return f"({node.partitions}) {kind} {what} at {node.site}"

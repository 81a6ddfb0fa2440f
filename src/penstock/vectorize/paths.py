"""The ways a function can go: it is run once for each, and the answers become ``if_else``.

::

    lambda o: o.amount if o.buy else -o.amount

    run 1, buy is true:    amount            .-- buy? --.
    run 2, buy is false:   neg(amount)    amount    neg(amount)

A run follows a script of answers and says true to what is beyond it; each such question is another run
with the answer false. So all the function sees are real bools, and what happens on a path that a row does not
take cannot show.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from penstock.values import dataclass
from penstock.vectorize.expressions import Call, Constant, Expression
from penstock.vectorize.kernels import find

__all__ = ["Fork", "Path", "Refusal", "Tree", "Untraceable", "explored"]

PATHS_MAX = 64
"""Most ways that are followed: expressions of more are slower than the function itself."""
_DEPTH_MAX = 48


class Untraceable(BaseException):
    """A function, or one path of it, has no column form; the text says why.

    No ``Exception``, so that no function can take it for one of its own.
    """


@dataclass(frozen=True)
class Refusal:
    """A path without a column form: a chunk in which a row takes it is computed by Python."""

    reason: str
    live: Expression | None


@dataclass(frozen=True)
class Fork:
    """A question, and what comes after either answer."""

    condition: Expression
    yes: Tree
    no: Tree


Tree = Any
"""A ``Fork``, a ``Refusal``, or what a run gave."""


class Path:
    """One run: the answers it gets, and the rows that come so far (``live``; ``None``: all)."""

    __slots__ = ("_answers", "_known", "_placeholders", "decisions", "live", "made")

    def __init__(self, script: tuple[bool, ...] = ()) -> None:
        self._answers = script
        self._known: dict[Expression, bool] = {}
        self._placeholders: list[Expression] = []
        self.decisions: list[tuple[Expression, bool]] = []
        self.live: Expression | None = None
        self.made: list[Expression] = []
        """What may raise, used in the result or not."""

    def decide(self, condition: Expression) -> bool:
        """Whether the condition holds on this path."""
        if isinstance(condition, Constant):
            return bool(condition.value)
        known = self._known.get(condition)
        if known is not None:
            return known
        at = len(self.decisions)
        if at >= _DEPTH_MAX:
            raise Untraceable("more conditions on one path than are followed")
        answer = self._answers[at] if at < len(self._answers) else True
        self.decisions.append((condition, answer))
        self._known[condition] = answer
        holds = condition if answer else negated(condition)
        self.live = holds if self.live is None else both(self.live, holds)
        return answer

    def placeholder(self, text: Expression) -> str:
        """Stands for a text inside an f-string, until the string is returned."""
        self._placeholders.append(text)
        return f"{_OPEN}{len(self._placeholders) - 1}{_CLOSE}"

    def pieces(self, text: str) -> list[str | Expression]:
        """A returned string, with what its placeholders stand for."""
        found: list[str | Expression] = []
        for index, part in enumerate(text.split(_OPEN)):
            if index:
                number, _, part = part.partition(_CLOSE)
                found.append(self._placeholders[int(number)])
            if part:
                found.append(part)
        return found

    def has_placeholders(self, text: str) -> bool:
        """Whether any stands in this string."""
        return bool(self._placeholders) and _OPEN in text


# Two code points that are no characters, and a number that nobody can have written into a program.
_OPEN, _CLOSE = f"\U0010fffe{os.urandom(8).hex()}<", ">\U0010ffff"


def negated(condition: Expression) -> Expression:
    """``not condition``."""
    kernel = find("not", [bool])
    assert kernel is not None
    if isinstance(condition, Call) and condition.kernel is kernel:
        return condition.arguments[0]
    return Call(bool, kernel, (condition,))


def both(one: Expression, other: Expression) -> Expression:
    """``one and other``; false, where one is false and the other not known."""
    kernel = find("and", [bool, bool])
    assert kernel is not None
    return Call(bool, kernel, (one, other))


def explored(run: Callable[[Path], Any]) -> Tree:
    """All ways of a run as a tree; a run that raises is a :class:`Refusal` on its path.

    Raises: :class:`Untraceable` if there are too many, or none has a column form.
    """
    outcomes: list[tuple[list[tuple[Expression, bool]], Any]] = []
    pending: list[tuple[bool, ...]] = [()]
    while pending:
        script = pending.pop()
        path = Path(script)
        outcome: Any
        try:
            outcome = run(path)
        except Untraceable as reason:
            outcome = Refusal(str(reason), path.live)
        except RecursionError:
            outcome = Refusal("it calls itself too deeply", path.live)
        except Exception as error:
            outcome = Refusal(f"it raises {type(error).__name__}: {_first_line(error)}", path.live)
        outcomes.append((path.decisions, outcome))
        answers = tuple(answer for _, answer in path.decisions)
        pending.extend((*answers[:at], False) for at in range(len(script), len(answers)))
        if len(outcomes) + len(pending) > PATHS_MAX:
            raise Untraceable(f"it can go more than {PATHS_MAX} ways")
    refusals = [outcome for _, outcome in outcomes if isinstance(outcome, Refusal)]
    if len(refusals) == len(outcomes):
        raise Untraceable(refusals[0].reason)
    return _tree(outcomes, 0)


def _first_line(error: Exception) -> str:
    text = str(error).partition("\n")[0][:100]
    return text.replace(" for @:", " for %, of two values that are no columns:")  # twins have @ for %


def _tree(outcomes: list[tuple[list[tuple[Expression, bool]], Any]], depth: int) -> Tree:
    decisions, outcome = outcomes[0]
    if len(outcomes) == 1 and len(decisions) == depth:
        return outcome
    condition = decisions[depth][0]
    sides: dict[bool, list[tuple[list[tuple[Expression, bool]], Any]]] = {True: [], False: []}
    for each in outcomes:
        sides[each[0][depth][1]].append(each)
    return Fork(condition, _tree(sides[True], depth + 1), _tree(sides[False], depth + 1))

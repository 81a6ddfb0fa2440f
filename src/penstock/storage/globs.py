"""Patterns for paths, as Hadoop and so Spark understand them: what is a pattern, and what it matches.

========== ==========================================================
``*``      any characters within one name, also none
``?``      any one character
``[a-c]``  one of these; ``[^a-c]`` and ``[!a-c]`` any other one
``{a,b}``  either; may hold slashes, patterns and further braces
``\\x``     the character ``x`` itself, whatever it is
========== ==========================================================

A wildcard never matches a hidden name, one that begins with ``.`` or ``_``, unless the pattern's name
begins with that character too: ``part-*`` and ``*`` leave ``_SUCCESS`` and ``.part-0.tmp`` alone.
"""

from __future__ import annotations

import re
from functools import lru_cache

from penstock.errors import ArgumentError

__all__ = ["alternatives", "has_wildcard", "is_hidden", "literal", "matcher"]

_WILDCARD = re.compile(r"(?:[^\\*?\[{]|\\.)*[*?\[{]", re.DOTALL)


def is_hidden(name: str) -> bool:
    """Whether readers of directories pass over the name: it begins with ``.`` or ``_``."""
    return name.startswith((".", "_"))


def has_wildcard(pattern: str) -> bool:
    r"""Whether anything in the pattern stands for more than itself.

    >>> has_wildcard("in/2016-*/x"), has_wildcard(r"in/\*"), has_wildcard("in/x")
    (True, False, False)
    """
    return _WILDCARD.match(pattern) is not None


def literal(pattern: str) -> str:
    r"""A pattern without wildcards as the path it stands for.

    >>> literal(r"in/\[1\].txt")
    'in/[1].txt'
    """
    return re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL)


def alternatives(pattern: str) -> list[str]:
    """The patterns without braces that a pattern stands for, in the order written.

    Raises ``ArgumentError`` for a brace that is opened and not closed.

    >>> alternatives("{a,b{1,2}}/x*")
    ['a/x*', 'b1/x*', 'b2/x*']
    """
    opened = _find(pattern, 0, "{")
    if opened is None:
        return [pattern]
    parts, start, depth, at = [], opened + 1, 0, opened
    while depth or at == opened:
        found = _find(pattern, at, "{},")
        if found is None:
            raise ArgumentError(f"the pattern {pattern!r} opens a brace and does not close it")
        if pattern[found] == "," and depth == 1:
            parts.append(pattern[start:found])
            start = found + 1
        depth += {"{": 1, "}": -1, ",": 0}[pattern[found]]
        at = found + 1
    parts.append(pattern[start : at - 1])
    before, after = pattern[:opened], pattern[at:]
    return [chosen for part in parts for chosen in alternatives(before + part + after)]


def _find(pattern: str, start: int, wanted: str) -> int | None:
    """The first character of ``wanted`` that stands neither behind a backslash nor in square brackets."""
    at = start
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            at = _end_of_class(pattern, at)
        elif pattern[at] in wanted:
            return at
        at += 1
    return None


def _end_of_class(pattern: str, opened: int) -> int:
    """Where the square bracket is closed: not at once, ``[]a]`` has two members; or itself if it never is."""
    negated = pattern[opened + 1 : opened + 2] in ("!", "^")
    closed = pattern.find("]", opened + 2 + negated)
    return opened if closed < 0 else closed


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> re.Pattern[str]:
    """A regular expression for the names (no slashes, no braces) that a pattern matches as a whole.

    Raises ``ArgumentError`` for a range the wrong way round, such as ``[b-a]``.

    >>> bool(matcher("part-*").fullmatch("part-00000")), bool(matcher("*").fullmatch("_SUCCESS"))
    (True, False)
    """
    expression, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        closed = _end_of_class(pattern, at) if character == "[" else at
        if character == "\\" and at + 1 < len(pattern):
            at += 1
            expression += re.escape(pattern[at])
        elif character == "*":
            expression += ".*"
        elif character == "?":
            expression += "."
        elif closed > at:
            expression += _character_class(pattern[at + 1 : closed])
            at = closed
        else:
            expression += re.escape(character)
        at += 1
    seen = "" if is_hidden(pattern.removeprefix("\\")) else r"(?![._])"
    try:
        return re.compile(seen + expression, re.DOTALL)
    except re.error as error:
        raise ArgumentError(f"the pattern {pattern!r} cannot be matched: {error}") from None


def _character_class(inside: str) -> str:
    """Members and ranges, read from the left; a hyphen at either end is a member."""
    negated = inside[0] in "!^"
    members, at = inside[1:] if negated else inside, 0
    expression = ""
    while at < len(members):
        is_range = members[at + 1 : at + 2] == "-" and at + 2 < len(members)
        expression += _member(members[at])
        if is_range:
            expression += f"-{_member(members[at + 2])}"
        at += 3 if is_range else 1
    return f"[{'^' if negated else ''}{expression}]"


def _member(character: str) -> str:
    return f"\\{character}" if character in r"\[]^&~|-" else character

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.errors import ArgumentError
from penstock.storage.globs import alternatives, has_wildcard, literal, matcher


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a*", ["a", "ab", "a.b"], ["ba", ".a"]),
        ("*", ["a", "a_b"], [".a", "_a"]),
        (".*", [".a"], ["a", "_a"]),
        ("_*", ["_a"], ["a"]),
        ("?b", ["ab"], ["b", "aab", "_b", ".b"]),
        ("[ab]c", ["ac", "bc"], ["cc", "abc"]),
        ("[a-c]", ["b"], ["d", "-"]),
        ("[^a]", ["b"], ["a", "_"]),
        ("[!a]", ["b"], ["a"]),
        ("[]]", ["]"], ["a"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[^]a]", ["b"], ["]", "a"]),
        ("[a\\b]", ["a", "\\"], ["c"]),
        ("[", ["["], ["a"]),
        ("a+(b)", ["a+(b)"], ["aab"]),
        (r"\*", ["*"], ["a"]),
        (r"\_*", ["_a"], [".a"]),
    ],
)
def test_matching(pattern: str, yes: list[str], no: list[str]) -> None:
    matches = matcher(pattern).fullmatch
    assert [name for name in yes if not matches(name)] == []
    assert [name for name in no if matches(name)] == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", ["a"]),
        ("{a}", ["a"]),
        ("{a,b}", ["a", "b"]),
        ("{a,}x", ["ax", "x"]),
        ("{a,b}{c,d}", ["ac", "ad", "bc", "bd"]),
        ("x{a,{b,c}d}y", ["xay", "xbdy", "xcdy"]),
        ("{in/a,out}/*", ["in/a/*", "out/*"]),
        (r"\{a,b\}", [r"\{a,b\}"]),
        ("[{]a,b", ["[{]a,b"]),
        ("a,b}", ["a,b}"]),
    ],
)
def test_braces(pattern: str, expected: list[str]) -> None:
    assert alternatives(pattern) == expected


@pytest.mark.parametrize("pattern", ["{a", "a{b,{c}", "{a,"])
def test_a_brace_that_is_not_closed(pattern: str) -> None:
    with pytest.raises(ArgumentError, match="does not close"):
        alternatives(pattern)


@given(st.text(alphabet="ab*?[]{},\\._", min_size=1).filter(lambda name: not name.startswith((".", "_"))))
def test_an_escaped_name_matches_itself_alone(name: str) -> None:
    escaped = "".join(f"\\{character}" for character in name)
    assert not has_wildcard(escaped)
    assert literal(escaped) == name
    assert alternatives(escaped) == [escaped]
    assert matcher(escaped).fullmatch(name)
    assert not matcher(escaped).fullmatch(name + "a")


@pytest.mark.parametrize("pattern", ["[b-a]", "x[z-a]*"])
def test_a_range_the_wrong_way_round(pattern: str) -> None:
    with pytest.raises(ArgumentError, match="cannot be matched"):
        matcher(pattern)


@pytest.mark.parametrize(
    ("pattern", "members"),
    [("[+--]", "+,-"), ("[--0]", "-./0"), ("[a-]", "a-"), ("[-a]", "-a"), ("[!--0]", "+1"), ("[--]", "-")],
)
def test_a_hyphen_may_be_a_member_or_the_end_of_a_range(pattern: str, members: str) -> None:
    assert all(matcher(f"x{pattern}").match(f"x{member}") for member in members)


@example("[?--]")
@given(st.text(alphabet="ab*?[]{},\\-^!.", min_size=1))
def test_every_text_is_a_pattern_or_a_mistake(pattern: str) -> None:
    try:
        for alternative in alternatives(pattern):
            if alternative:
                matcher(alternative)
    except ArgumentError:
        pass
    has_wildcard(pattern)

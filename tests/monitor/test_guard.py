"""Who may ask: tables of questions and what is answered instead."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from penstock.monitor.guard import Guard, new_token

TOKEN = "a-token-of-some-length"


def status(guard: Guard, *, method: str = "GET", query: str = "", path: str = "/", **headers: str) -> int:
    """200: it is let through."""
    named = [(name.replace("_", "-"), value) for name, value in {"host": "localhost:4040", **headers}.items()]
    refusal = guard.refuses(method, path, query, named, 4040)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:4040", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:4040", 200),
        ("[::1]:4040", 200),
        ("127.0.0.1:8888", 200),  # a port that is forwarded from another one
        ("evil.example:4040", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.nip.io:4040", 421),
        ("localhost@evil.example", 421),
        ("10.0.0.7:4040", 421),
        ("", 421),
        ("localhost:4040:4040", 421),
        ("localhost:x", 421),
        ("localhost:²", 421),
    ],
)
def test_a_name_that_is_made_to_lead_here_is_refused(host: str, expected: int) -> None:
    assert status(Guard("127.0.0.1"), host=host) == expected


def test_a_name_that_was_given_is_welcome() -> None:
    assert status(Guard("127.0.0.1", names=["Desk.example"]), host="desk.example:443") == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "http://localhost:4040"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:8000"}, 403),  # another program of this machine
        ({"origin": "null"}, 403),
        ({"origin": "http://[oops"}, 403),
        ({"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"}, 200),
        ({"sec_fetch_site": "none", "sec_fetch_mode": "navigate"}, 200),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 200),  # a link
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),  # a script, an image
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "cors"}, 403),
    ],
)
def test_pages_of_other_sites_are_refused(headers: dict[str, str], expected: int) -> None:
    assert status(Guard("127.0.0.1"), **headers) == expected


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_nothing_but_reading_is_allowed(method: str) -> None:
    assert status(Guard("127.0.0.1"), method=method) == 405


@pytest.mark.parametrize(
    "headers", [{"content_length": "1"}, {"content_length": "99999999"}, {"transfer_encoding": "chunked"}]
)
def test_bodies_are_refused(headers: dict[str, str]) -> None:
    assert status(Guard("127.0.0.1"), **headers) == 413


@pytest.mark.parametrize("name", ["host", "origin", "authorization", "content-length"])
def test_a_header_that_decides_comes_once(name: str) -> None:
    refusal = Guard("127.0.0.1").refuses("GET", "/", "", [("host", "localhost"), (name, "x"), (name, "x")], 1)
    assert refusal is not None
    assert refusal.status == 400


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer  {TOKEN} "}, 200),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"authorization": "Bearer \udce9"}, 401),
        ({"query": f"token={TOKEN}"}, 303),
        ({"query": "token=wrong"}, 401),
        ({"query": "token="}, 401),
        ({"query": "x=" + "y" * 10_000 + f"&token={TOKEN}"}, 414),
        ({"query": "x&" * 200 + f"token={TOKEN}"}, 401),
        ({"cookie": "x=y; " * 4_000}, 431),
        ({"cookie": f"penstock-4040={TOKEN}"}, 401),  # the token itself is no cookie
        ({"cookie": "penstock-4040="}, 401),
    ],
)
def test_who_does_not_know_the_token_stays_out(question: dict[str, Any], expected: int) -> None:
    assert status(Guard("0.0.0.0", TOKEN), **question) == expected


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address() -> None:
    guard = Guard("0.0.0.0", TOKEN)
    refusal = guard.refuses("GET", "/b/1 2", f"a=1&token={TOKEN}&b=%26", [("host", "127.0.0.1:4040")], 4040)
    assert refusal is not None
    assert refusal.status == 303
    assert refusal.headers["Location"] == "/b/1%202?a=1&b=%26"
    cookie, *attributes = refusal.headers["Set-Cookie"].split("; ")
    assert attributes == ["HttpOnly", "SameSite=Strict", "Path=/"]
    assert TOKEN not in cookie
    assert status(guard, cookie=f"other=1; {cookie}") == 200
    assert status(guard, cookie=cookie.replace("4040", "4041")) == 401  # that of another server
    assert status(Guard("0.0.0.0", new_token()), cookie=cookie) == 401


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "///evil.example"])
def test_the_way_on_never_leads_away(path: str) -> None:
    refusal = Guard("0.0.0.0", TOKEN).refuses("GET", path, f"token={TOKEN}", [("host", "localhost")], 4040)
    assert refusal is not None
    assert refusal.headers["Location"] == "/evil.example" + ("/x" if path.endswith("x") else "")


def test_an_open_server_goes_by_addresses_and_the_names_of_its_machine() -> None:
    guard = Guard("0.0.0.0", TOKEN)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert status(guard, host="10.0.0.7:4040", **bearer) == 200
    assert status(guard, host="[fe80::1]:4040", **bearer) == 200
    assert status(guard, host="evil.example", **bearer) == 421


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret goes through ``compare_digest``, right or wrong, and none through ``==``."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def noted(given: bytes, wanted: bytes) -> bool:
        compared.append((bytes(given), bytes(wanted)))
        return real(given, wanted)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    guard = Guard("0.0.0.0", TOKEN)
    status(guard, authorization="Bearer wrong")
    assert (b"wrong", TOKEN.encode()) in compared
    status(guard, query="token=wronger")
    assert (b"wronger", TOKEN.encode()) in compared
    status(guard, cookie="penstock-4040=guess")
    assert b"guess" in [given for given, _ in compared]


def test_tokens_differ_and_are_long() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 43 for token in tokens)

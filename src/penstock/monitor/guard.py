"""Who may ask: decided from a question's method, headers and query alone, before anything else looks at it.

Pages are for the machine's own user. What could ask besides is a page of another site in the user's browser:
by a name of its own that leads here (told by ``Host``), by a script or an image (told by ``Origin`` and
``Sec-Fetch-Site``). From other machines only who knows the token may ask.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import field
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from penstock.values import dataclass

__all__ = ["SECURITY_HEADERS", "Guard", "Refusal", "is_loopback", "new_token"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""What every answer carries: scripts and styles come from files of ours only, nobody frames or embeds it."""

_ADDRESS_MAX = 8 * 1024  # characters
_HEADERS_MAX = 16 * 1024
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to ``host``.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "10.0.0.7", "")]
    [True, True, True, False, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that nobody guesses: 32 random bytes, fit for a URL."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Refusal:
    """The answer to a question that goes no further."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Guard:
    """Of a server that is bound to ``host``. ``names`` are further names by which it may be called, such as
    a proxy's. With ``token`` only who gives it is let in.
    """

    def __init__(self, host: str, token: str | None = None, names: Iterable[str] = ()) -> None:
        self._open_to_all = not is_loopback(host)
        self._names = {name.lower() for name in (*_LOCAL_NAMES, host, *names)}
        if self._open_to_all:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._token = token
        self._cookie = None if token is None else _cookie_value(token)

    def refuses(
        self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], port: int
    ) -> Refusal | None:
        """What to answer instead, or ``None``: let it through. Names of ``headers`` in small letters."""
        if len(path) + len(query) > _ADDRESS_MAX:
            return Refusal(414, "the address is too long")
        found: dict[str, str] = {}
        left = _HEADERS_MAX
        for name, value in headers:
            left -= len(name) + len(value)
            if left < 0:
                return Refusal(431, "the headers are too long")
            if name in found and name in ("host", "origin", "authorization", "content-length"):
                return Refusal(400, f"there are two headers {name}")
            found[name] = f"{found[name]}; {value}" if name == "cookie" and name in found else value
        if method not in ("GET", "HEAD"):
            return Refusal(405, "this server only shows: GET and HEAD", {"Allow": "GET, HEAD"})
        if found.get("content-length", "0") != "0" or "transfer-encoding" in found:
            return Refusal(413, "this server takes no bodies")
        return self._foreign(found) or self._unknown(path, query, found, port)

    def _foreign(self, headers: Mapping[str, str]) -> Refusal | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return Refusal(
                421,
                "this server is not called by that name. Hint: use the address that it has printed; if it "
                "stands behind a proxy, name that in penstock.ui.hosts.",
            )
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            return Refusal(403, "pages of other sites may not ask here")
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        if site in ("cross-site", "same-site") and mode != "navigate":
            return Refusal(403, "pages of other sites may not ask here")
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a ``Host`` names this server. The port is anybody's: it may be forwarded from another. A
        name can be made to lead here, an address cannot."""
        name = _without_port(host.lower())
        if name in self._names:
            return True
        if not self._open_to_all:
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _unknown(self, path: str, query: str, headers: Mapping[str, str], port: int) -> Refusal | None:
        if self._token is None or self._cookie is None:
            return None
        cookie = f"penstock-{port}"
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), self._token):
            return None
        if _same(_cookie_of(headers.get("cookie", ""), cookie), self._cookie):
            return None
        pairs = _pairs(query)
        tokens = [value for name, value in pairs if name == "token"]
        if tokens and _same(tokens[0], self._token):
            left = urlencode([(name, value) for name, value in pairs if name != "token"])
            place = "/" + quote(path.lstrip("/\\"), safe="/") + (f"?{left}" if left else "")
            value = f"{cookie}={self._cookie}; HttpOnly; SameSite=Strict; Path=/"
            return Refusal(303, "", {"Location": place, "Set-Cookie": value})
        return Refusal(
            401,
            "a token is needed. Hint: use the address that the program has printed, or send the header "
            "Authorization: Bearer TOKEN.",
            {"WWW-Authenticate": 'Bearer realm="penstock"'},
        )


def _same(given: str, wanted: str) -> bool:
    """Whether two secrets are the same, in a time that says nothing of where they differ."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), wanted.encode())


def _cookie_value(token: str) -> str:
    """What a browser keeps: no token, but nothing that is had without one."""
    return hmac.new(token.encode(), b"penstock cookie", hashlib.sha256).hexdigest()


def _cookie_of(header: str, name: str) -> str:
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:  # too many
        return []


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _without_port(host: str) -> str:
    """``localhost:4040`` without its port; addresses of IPv6 keep their brackets.

    >>> _without_port("[::1]:4040"), _without_port("localhost:4040"), _without_port("a:b:1")
    ('[::1]', 'localhost', 'a:b:1')
    """
    name, colon, port = host.rpartition(":")
    return (
        name
        if colon and port.isascii() and port.isdigit() and (":" not in name or name.endswith("]"))
        else host
    )

"""Where orders come from or go to, as a user writes it: a directory, ``tcp://host:port``, ``kafka://servers/topic``."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import urlsplit

from penstock.errors import ArgumentError
from penstock.values import dataclass

__all__ = ["Directory", "Kafka", "Place", "Tcp", "place_of"]

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
_TCP_HINT: Final = "Hint: tcp://localhost:9999."
_KAFKA_HINT: Final = "Hint: kafka://localhost:9092/orders."


@dataclass(frozen=True)
class Directory:
    """A directory of files, or a pattern of such: a path, or any URL of a storage."""

    location: str


@dataclass(frozen=True)
class Tcp:
    """Lines through a connection."""

    host: str
    port: int


@dataclass(frozen=True)
class Kafka:
    """A topic; ``servers`` are the brokers to ask first, between commas."""

    servers: str
    topic: str


Place = Directory | Tcp | Kafka


def place_of(text: str | os.PathLike[str], *, any_port: bool = False) -> Place:
    """What the text stands for; with ``any_port`` port 0 is a port too.

    Raises ``ArgumentError`` for a ``tcp:`` or ``kafka:`` address that is none.

    >>> place_of("tcp://localhost:9999"), place_of("kafka://a:9092,b:9092/orders")
    (Tcp(host='localhost', port=9999), Kafka(servers='a:9092,b:9092', topic='orders'))
    >>> place_of("s3://bucket/in")
    Directory(location='s3://bucket/in')
    """
    location = os.fspath(text)
    scheme, colon, rest = location.partition(":")
    if colon and scheme.lower() in ("tcp", "kafka"):
        is_tcp = scheme.lower() == "tcp"
        if not rest.startswith("//"):
            hint = _TCP_HINT if is_tcp else _KAFKA_HINT
            raise ArgumentError(f"{location} is no address: // is missing behind {scheme}:. {hint}")
        return _tcp(location, any_port=any_port) if is_tcp else _kafka(location)
    return Directory(location)


def _tcp(location: str, *, any_port: bool) -> Tcp:
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise ArgumentError(f"{location} is no address: {problem}. {_TCP_HINT}") from problem
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise ArgumentError(f"{location} is no address: there must be nothing but host and port. {_TCP_HINT}")
    if not host:
        raise ArgumentError(f"{location} has no host. {_TCP_HINT}")
    if port is None or (port == 0 and not any_port):
        raise ArgumentError(f"{location} has no port. {_TCP_HINT}")
    return Tcp(host, port)


def _kafka(location: str) -> Kafka:
    servers, _, topic = location.partition("://")[2].partition("/")
    if not servers or not all(server.strip() for server in servers.split(",")):
        raise ArgumentError(f"{location} names no server. {_KAFKA_HINT}")
    if not topic:
        raise ArgumentError(f"{location} names no topic. {_KAFKA_HINT}")
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise ArgumentError(
            f"{topic!r} is no name of a topic: up to 249 of A-Z, a-z, 0-9, '.', '_' and '-'. {_KAFKA_HINT}"
        )
    return Kafka(servers, topic)

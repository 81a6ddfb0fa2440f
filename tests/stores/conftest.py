from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from penstock import Conf, Context
from tests.storage.servers import SERVERS, Proxy, bucket_at, configured

ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}}}


@pytest.fixture(params=SERVERS, scope="module")
def endpoint(request: pytest.FixtureRequest, s3_server: Callable[[str], str]) -> str:
    return s3_server(request.param)


@pytest.fixture(scope="module")
def proxy(endpoint: str) -> Iterator[Proxy]:
    with Proxy(endpoint) as proxy:
        yield proxy


@pytest.fixture
def url(proxy: Proxy, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new bucket on the server; what this process asks for goes through the proxy."""
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with configured(proxy.url, **ONCE):
        yield f"s3://{bucket_at(endpoint)}"


@pytest.fixture
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[2]").set("penstock.streaming.retries", 1)) as context:
        yield context

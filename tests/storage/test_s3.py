from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from penstock.storage import Storage, storage_for
from tests.storage.contract import StorageContract
from tests.storage.servers import SERVERS, bucket_at, configured


@pytest.fixture(params=SERVERS)
def endpoint(request: pytest.FixtureRequest, s3_server: Callable[[str], str]) -> str:
    return s3_server(request.param)


@pytest.fixture
def bucket(endpoint: str) -> Iterator[str]:
    with configured(endpoint):
        yield bucket_at(endpoint)


class TestS3(StorageContract):
    empty_directories = False

    @pytest.fixture
    def storage(self, bucket: str) -> Storage:
        return storage_for(f"s3://{bucket}")[0]

    @pytest.fixture
    def root(self, bucket: str) -> str:
        return f"{bucket}/root"

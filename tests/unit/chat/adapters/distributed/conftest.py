"""Servers for tests that break theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis_servers import RedisProcess, redis_server


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """A redis-server that this test may break."""
    with redis_server() as server:
        yield server

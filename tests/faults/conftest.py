"""How long fault tests go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mysql_servers import mysql_server
from tests.support.redis_servers import (
    ClusterSetup,
    RedisProcess,
    SentinelSetup,
    redis_cluster,
    redis_sentinel,
    redis_server,
)
from tests.support.rig import Rig


@pytest.fixture
def fault_rounds() -> int:
    """How often something is broken: a few times with every change, `FAULT_ROUNDS` times when it has to be proven."""
    return int(os.environ.get("FAULT_ROUNDS", "4"))


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """A redis-server that the test may break."""
    with redis_server() as server:
        yield server


@pytest.fixture
def sentinel() -> Iterator[SentinelSetup]:
    """A primary, a replica and three sentinels that the test may break."""
    with redis_sentinel() as setup:
        yield setup


@pytest.fixture
def cluster() -> Iterator[ClusterSetup]:
    """A cluster that the test may break."""
    with redis_cluster() as setup:
        yield setup


@pytest.fixture
def rig(tmp_path: Path, own_redis: RedisProcess) -> Iterator[Rig]:
    """Two nodes and all they stand on."""
    with mysql_server() as first, mysql_server() as second:
        yield Rig(tmp_path, own_redis, (first, second))

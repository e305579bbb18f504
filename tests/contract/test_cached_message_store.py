"""With the cache in front of it, a `MessageStore` promises all that it promises alone."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat.adapters.distributed.cached_message_store import open_cached_store
from chat.adapters.distributed.recent_cache import RecentCache
from chat.adapters.distributed.redis_client import open_redis
from tests.contract.test_message_store import *  # noqa: F403 -- the same tests, over other stores
from tests.support.redis_servers import emptied
from tests.support.stores import Stores, sqlite_stores

DEADLINE_SECONDS = 20


@contextlib.asynccontextmanager
async def cached_stores(directory: Path, kind: str) -> AsyncIterator[Stores]:
    async with (
        sqlite_stores(directory) as stores,
        open_redis(emptied(kind).url, deadline_seconds=DEADLINE_SECONDS) as redis,
        open_cached_store(stores.messages, RecentCache(redis, quiet_seconds=0.01)) as messages,
    ):
        yield dataclasses.replace(stores, messages=messages)


@pytest.fixture(name="stores", params=["redis", "cluster"])
async def stores_with_cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    async with cached_stores(tmp_path, request.param) as stores:
        yield stores

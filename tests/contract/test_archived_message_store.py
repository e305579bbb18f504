"""With its messages in the archive, a `MessageStore` promises all that it promises without one."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.adapters.archive.local_objects import LocalObjects
from tests.contract.test_message_store import *  # noqa: F403 -- the same tests, over other stores
from tests.contract.test_message_store import _compare, _edits, _posts
from tests.support.archives import ArchivingStore, archive
from tests.support.mysql_servers import MARIADB, MYSQL, MYSQL_ROOT, Flavour, empty_databases
from tests.support.stores import Stores

FLAVOURS = [
    pytest.param(MARIADB, id="mariadb"),
    pytest.param(MYSQL, id="mysql", marks=pytest.mark.skipif(not MYSQL_ROOT, reason="TEST_MYSQL_ROOT names no MySQL")),
]


@contextlib.asynccontextmanager
async def archived_stores(directory: Path, flavour: Flavour = MARIADB) -> AsyncIterator[Stores]:
    databases = empty_databases("one", "two", flavour=flavour)
    async with archive(databases, directory, LocalObjects(directory / "archive")) as opened:
        yield dataclasses.replace(opened.stores, messages=ArchivingStore(opened))


@pytest.fixture(name="stores", params=FLAVOURS)
async def stores_with_archive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    async with archived_stores(tmp_path, request.param) as stores:
        yield stores


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # type: ignore[no-redef]
@given(steps=st.lists(_posts | _edits, max_size=15))
def test_the_store_behaves_like_a_list_for_each_room(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        trio.run(_compare, archived_stores, Path(directory), steps)

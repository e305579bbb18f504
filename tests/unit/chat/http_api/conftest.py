"""The application over real services, asked by httpx without a socket between them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.domain.rooms import RoomId
from chat.domain.users import Identity
from chat.http_api.admin import AdminApi
from chat.http_api.app import create_app
from chat.http_api.health import Phase, Readiness
from chat.http_api.settings import HttpSettings
from chat.http_api.site import Site
from chat.services import Limits
from tests.support.node_view import FixedNode
from tests.support.services import UNLIMITED, World, open_world

ORIGIN = "https://chat.test"


@dataclasses.dataclass
class Api:
    """An application and its world; `client` keeps cookies as a browser does."""

    world: World
    node: FixedNode
    readiness: Readiness
    client: httpx.AsyncClient

    async def signed_in(self, name: str) -> dict[str, str]:
        """The headers of a new user who has registered and logged in."""
        credentials = {"name": name, "password": "correct horse"}
        assert (await self.client.post("/api/register", json=credentials)).status_code == 201
        answer = await self.client.post("/api/login", json=credentials)
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def identity(self, headers: dict[str, str]) -> Identity:
        """Who these headers speak for."""
        return await self.world.services.auth.verify(headers["Authorization"].removeprefix("Bearer "))

    async def room(self, headers: dict[str, str], kind: str = "public") -> RoomId:
        """A new room of the user with these headers."""
        answer = await self.client.post("/api/rooms", json={"name": "a room", "kind": kind}, headers=headers)
        assert answer.status_code == 201
        return RoomId(answer.json()["room"]["id"])


OpenApi = Callable[..., Awaitable[Api]]


@pytest.fixture
async def open_api(tmp_path: Path) -> AsyncIterator[OpenApi]:
    async with contextlib.AsyncExitStack() as stack:

        async def opened(*, limits: Limits = UNLIMITED, base_url: str = ORIGIN, **settings: Any) -> Api:
            world = await stack.enter_async_context(open_world(tmp_path, limits=limits))
            readiness = Readiness(lambda: world.rooms.public_rooms(None, 1))
            readiness.phase = Phase.SERVING
            node = FixedNode()
            site = Site(tmp_path / "no page")
            app = create_app(world.services, HttpSettings(**settings), readiness, site, AdminApi(node).endpoints)
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)
            return Api(world, node, readiness, await stack.enter_async_context(client))

        yield opened


@pytest.fixture
async def api(open_api: OpenApi) -> Api:
    return await open_api()

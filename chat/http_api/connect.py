"""Where to open the socket: the node that a client should connect to."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..services.fleet import Fleet
from ..services.tokens import MAX_TOKEN_BYTES
from .routing import Call, Endpoint

REGION_HEADER = "x-region"
"""A proxy that knows where its clients are may say so, for those that do not say it themselves."""


class ConnectQuery(msgspec.Struct, frozen=True):
    """`region` is where the client is; `resume` the token of the last answer: it leads back to the same node."""

    region: Annotated[str, msgspec.Meta(max_length=64)] = ""
    resume: Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_BYTES)] = ""


class ConnectAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`url` is the node's socket; `resume` opens it, or that of any other node, for `expires_in` seconds.

    `alone`: there is no other node and will be none, so nobody needs to ask again.
    """

    url: str
    node: str
    resume: str
    expires_in: int
    alone: bool = False


class ConnectApi:
    """Needs the node's place in the fleet, and the path at which every node has its socket.

    `alone` says that the fleet is this node, for as long as it runs.
    """

    def __init__(self, fleet: Fleet, socket_path: str, *, alone: bool) -> None:
        self._fleet = fleet
        self._path = socket_path
        self._alone = alone
        self.endpoints = [Endpoint("GET", "/api/connect", self.connect)]

    async def connect(self, call: Call, query: ConnectQuery) -> ConnectAnswer:
        """Answers where to open the socket, and a token for it that any node accepts."""
        region = query.region or call.request.headers.get(REGION_HEADER, "")
        route = await self._fleet.route(call.identity, region=region, resume=query.resume)
        url = (route.url or _here(call)) + self._path
        return ConnectAnswer(url, route.node, route.resume, max(0, int(route.expires_in)), self._alone)

    async def sockets(self) -> list[str]:
        """The addresses that it may answer, besides the one that was asked."""
        nodes = [self._fleet.me, *await self._fleet.nodes()]
        return [node.url + self._path for node in nodes if node.url]


def _here(call: Call) -> str:
    """The address that was asked, as the client knows it."""
    url = call.request.url
    return f"{'wss' if url.scheme == 'https' else 'ws'}://{url.netloc}"

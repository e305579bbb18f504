"""The nodes of the fleet, by leases: who is there, how to reach them, and how busy they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .redis_client import RedisClient
from .redis_command import ScriptCommand
from .redis_scripts import Script, load_script

LEASE_SECONDS = 15.0
"""To be renewed every third of it: two renewals may fail."""
_KEYS = ["nodes:{nodes}:leases", "nodes:{nodes}:descriptions"]
_RENEW = load_script("nodes_renew", "clock")
_LIST = load_script("nodes_list", "clock")
_REAP = load_script("nodes_reap", "clock")
_LEAVE = load_script("nodes_leave")


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a node tells of itself. Fields that other versions do not know are ignored, and defaulted."""

    node: str
    address: str = ""
    """Where clients reach it."""
    region: str = ""
    connections: int = 0
    max_connections: int = 0
    draining: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(NodeInfo).decode


class NodeRegistry:
    """Time is the server's, so nodes need not agree on it. Every method raises `Unavailable`."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`clock` gives seconds in place of the server's, for tests."""
        self._redis = redis
        self._lease_ms = round(lease_seconds * 1000)
        self._clock = clock

    async def renew(self, info: NodeInfo) -> bool:
        """Takes or renews the lease; whether there was one.

        False after the first time means that the others have taken this node for dead.
        """
        return bool(await self._ask(_RENEW, self._lease_ms, info.node, _encode(info)))

    async def leave(self, node: str) -> None:
        """Ends the lease at once; nobody will be told that it has lapsed."""
        await self._ask(_LEAVE, node)

    async def nodes(self) -> list[NodeInfo]:
        """Those whose lease holds, the one that lapses first before the others."""
        found = []
        for description in await self._ask(_LIST):
            try:
                found.append(_decode(description))
            except msgspec.DecodeError:
                continue  # of a version that this one does not understand
        return found

    async def reap(self) -> list[str]:
        """The nodes whose lease has lapsed, each once in the whole fleet: the caller takes over what is left to do."""
        return [node.decode() for node in await self._ask(_REAP, again=False)]

    async def _ask(self, script: Script, *arguments: str | int | bytes, again: bool = True) -> Any:
        now = "" if self._clock is None else round(self._clock() * 1000)
        return await self._redis.ask(ScriptCommand(script, _KEYS, now, *arguments, again=again))

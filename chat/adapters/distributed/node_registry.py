"""`NodeRegistry` on Redis: a sorted set of leases, and a hash of descriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ...ports.node_registry import LEASE_SECONDS, NodeInfo
from .redis_client import RedisClient
from .redis_command import ScriptCommand
from .redis_scripts import Script, load_script

_KEYS = ["nodes:{nodes}:leases", "nodes:{nodes}:descriptions"]
_RENEW = load_script("nodes_renew", "clock")
_LIST = load_script("nodes_list", "clock")
_REAP = load_script("nodes_reap", "clock")
_LEAVE = load_script("nodes_leave")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(NodeInfo).decode


class RedisNodeRegistry:
    """Time is the server's, so nodes need not agree on it."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`clock` gives seconds in place of the server's, for tests."""
        self._redis = redis
        self._lease_seconds = lease_seconds
        self._clock = clock

    @property
    def lease_seconds(self) -> float:
        return self._lease_seconds

    async def renew(self, info: NodeInfo) -> bool:
        return bool(await self._ask(_RENEW, round(self._lease_seconds * 1000), info.node, _encode(info)))

    async def leave(self, node: str) -> None:
        await self._ask(_LEAVE, node)

    async def nodes(self) -> list[NodeInfo]:
        found = []
        for description in await self._ask(_LIST):
            try:
                found.append(_decode(description))
            except msgspec.DecodeError:
                continue  # of a version that this one does not understand
        return found

    async def reap(self) -> list[str]:
        return [node.decode() for node in await self._ask(_REAP, again=False)]

    async def _ask(self, script: Script, *arguments: str | int | bytes, again: bool = True) -> Any:
        now = "" if self._clock is None else round(self._clock() * 1000)
        return await self._redis.ask(ScriptCommand(script, _KEYS, now, *arguments, again=again))

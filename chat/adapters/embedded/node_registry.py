"""`NodeRegistry` in memory: one node alone, or several in one process that share it."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ...ports.node_registry import LEASE_SECONDS, NodeInfo


class MemoryNodeRegistry:
    """`clock` gives seconds, trio's if it is None."""

    def __init__(self, *, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] | None = None) -> None:
        self._lease_seconds = lease_seconds
        self._clock = clock or trio.current_time
        self._leases: dict[str, tuple[float, NodeInfo]] = {}
        """The moment of its end, and the description, by node."""

    @property
    def lease_seconds(self) -> float:
        return self._lease_seconds

    async def renew(self, info: NodeInfo) -> bool:
        await trio.lowlevel.checkpoint()
        held = info.node in self._leases and self._holds(info.node)
        self._leases.pop(info.node, None)  # so that the order of the leases is that of their ends
        self._leases[info.node] = self._clock() + self._lease_seconds, info
        return held

    async def leave(self, node: str) -> None:
        await trio.lowlevel.checkpoint()
        self._leases.pop(node, None)

    async def nodes(self) -> list[NodeInfo]:
        await trio.lowlevel.checkpoint()
        return [info for node, (_, info) in self._leases.items() if self._holds(node)]

    async def reap(self) -> list[str]:
        await trio.lowlevel.checkpoint()
        lapsed = [node for node in self._leases if not self._holds(node)]
        for node in lapsed:
            del self._leases[node]
        return lapsed

    def _holds(self, node: str) -> bool:
        return self._leases[node][0] > self._clock()

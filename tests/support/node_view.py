"""A node as its operators see it, with figures that a test sets."""

from __future__ import annotations

from collections.abc import Sequence

from chat.domain.users import UserId
from chat.metrics.figures import Figures
from chat.metrics.histogram import Quantiles
from chat.ports.node_registry import NodeInfo


class FixedNode:
    """A `NodeView`; `connections` counts those of each user."""

    def __init__(self) -> None:
        self.connections: dict[UserId, int] = {}
        self.others: list[NodeInfo] = []

    def figures(self) -> Figures:
        return Figures(
            node="node-a",
            version="1.2.3",
            uptime_seconds=12.3456789,
            connections=3,
            messages=10,
            deliveries=30,
            bytes_in=1_000,
            bytes_out=2**53,
            slow_consumers=1,
            latency=Quantiles(0.0015, 0.1),
            commit=None,
            event_loop_lag=Quantiles(0.0, 0.0025),
        )

    def connections_of(self, user: UserId) -> int:
        return self.connections.get(user, 0)

    async def nodes(self) -> Sequence[NodeInfo]:
        return [NodeInfo(node="node-a", url="127.0.0.1:8000", connections=3, max_connections=16_000), *self.others]

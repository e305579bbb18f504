"""A node's most important figures at a glance, as its operators see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from ..domain.users import UserId
from ..ports.node_registry import NodeInfo
from .histogram import Quantiles


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counters since the start of the node, gauges of this moment, seconds of the last minute (None: no event)."""

    node: str
    version: str
    uptime_seconds: float
    connections: int
    messages: int
    """Acknowledged to those who published them."""
    deliveries: int
    """One for each connection that a message or push was sent to."""
    bytes_in: int
    bytes_out: int
    slow_consumers: int
    """Connections closed because they did not keep up."""
    latency: Quantiles | None
    """From the arrival of a message to its delivery to the sockets of this node."""
    commit: Quantiles | None
    event_loop_lag: Quantiles | None


class NodeView(Protocol):
    """What operators may ask a node about itself."""

    def figures(self) -> Figures:
        """The figures of this moment."""

    def connections_of(self, user: UserId) -> int:
        """How many connections `user` has to this node."""

    async def nodes(self) -> Sequence[NodeInfo]:
        """The nodes of the fleet, this one included. Raises: Unavailable."""

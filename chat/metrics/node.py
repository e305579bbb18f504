"""What a node knows of itself: its figures, its lag, the nodes beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import trio

from gateway_core import Gateway

from ..domain.users import UserId
from ..ports.node_registry import NodeInfo
from ..version import version
from .figures import Figures
from .histogram import TURN_SECONDS, Histogram, quantiles
from .meters import CommitMeter, RealtimeMeter

_PROBES = 20
"""Of the event loop's lag, in `TURN_SECONDS`."""


class Members(Protocol):
    """The fleet, as far as it is shown."""

    @property
    def me(self) -> NodeInfo:
        """What this node tells of itself at this moment."""

    async def nodes(self) -> Sequence[NodeInfo]:
        """All that are there, as they were a moment ago."""


class NodeStatus:
    """The `NodeView` of a node. `run` must run for as long as it is asked."""

    def __init__(
        self,
        fleet: Members,
        *,
        gateway: Gateway,
        meter: RealtimeMeter,
        commits: Iterable[CommitMeter],
        connections_of: Callable[[UserId], int],
    ) -> None:
        self.lag = Histogram()
        """How late the event loop does what is due: what each message waits for, before anything is done about it."""
        self._fleet = fleet
        self._gateway = gateway
        self._meter = meter
        self._commits = [commit.seconds for commit in commits]
        self._connections_of = connections_of
        self._started = trio.current_time()

    @property
    def name(self) -> str:
        """The node's."""
        return self._fleet.me.node

    async def run(self) -> None:
        """Measures the lag, and lets minutes pass, for ever."""
        histograms = (self.lag, self._meter.latency, *self._commits)
        while True:
            for _ in range(_PROBES):
                due = trio.current_time() + TURN_SECONDS / _PROBES
                await trio.sleep_until(due)
                self.lag.add(trio.current_time() - due)
            for histogram in histograms:
                histogram.turn()

    def figures(self) -> Figures:
        stats = self._gateway.stats()
        return Figures(
            node=self.name,
            version=version(),
            uptime_seconds=trio.current_time() - self._started,
            connections=stats.connections,
            messages=self._meter.published,
            deliveries=stats.messages_out,
            bytes_in=stats.bytes_in,
            bytes_out=stats.bytes_out,
            slow_consumers=stats.slow_consumers,
            latency=quantiles([self._meter.latency]),
            commit=quantiles(self._commits),
            event_loop_lag=quantiles([self.lag]),
        )

    def connections_of(self, user: UserId) -> int:
        return self._connections_of(user)

    async def nodes(self) -> Sequence[NodeInfo]:
        """By name; what this node knows of itself is newer than what it has told the others."""
        me = self._fleet.me
        if not me.url:
            host, port = self._gateway.address
            me = dataclasses.replace(me, url=f"{host}:{port}")
        others = [node for node in await self._fleet.nodes() if node.node != me.node]
        return sorted([me, *others], key=lambda node: node.node)

"""What a node says of itself, as time passes."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from chat.domain.users import UserId
from chat.metrics.meters import CommitMeter, RealtimeMeter
from chat.metrics.node import NodeStatus
from chat.ports.node_registry import NodeInfo
from tests.support.fake_gateway import FakeGateway


class Fleet:
    """A node, and what the others last heard of it and of each other."""

    def __init__(self) -> None:
        self.me = NodeInfo(node="node-b", region="eu", connections=5)
        self.known: list[NodeInfo] = []

    async def nodes(self) -> list[NodeInfo]:
        return self.known


class Scene:
    """A node whose status runs."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.gateway = FakeGateway()
        self.meter = RealtimeMeter()
        self.commits = [CommitMeter(), CommitMeter()]
        self.status = NodeStatus(
            self.fleet, gateway=self.gateway, meter=self.meter, commits=self.commits, connections_of=len
        )


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.status.run)
        yield scene
        nursery.cancel_scope.cancel()


async def test_a_node_without_traffic_knows_its_lag_only(autojump_clock: MockClock, scene: Scene) -> None:
    await trio.sleep(2)
    figures = scene.status.figures()
    assert (figures.node, figures.uptime_seconds) == ("node-b", 2)
    assert figures.latency is figures.commit is None
    assert figures.event_loop_lag is not None
    assert figures.event_loop_lag.p99 < 0.001


async def test_waits_are_those_of_the_last_minute_over_all_shards(autojump_clock: MockClock, scene: Scene) -> None:
    scene.meter.latency.add(0.05)
    for commit in scene.commits:
        commit.committed(0.001, 1)
    scene.commits[1].committed(9.0, 1)
    await trio.sleep(50)
    figures = scene.status.figures()
    assert figures.latency is not None
    assert figures.latency.p50 <= 0.05 < figures.latency.p99 + 0.001
    assert figures.commit is not None
    assert figures.commit.p50 <= 0.001 < 5 < figures.commit.p99 <= 10
    await trio.sleep(15)
    figures = scene.status.figures()
    assert figures.latency is figures.commit is None


async def test_what_a_node_knows_of_itself_is_newer_than_what_the_fleet_has_heard(scene: Scene) -> None:
    old = dataclasses.replace(scene.fleet.me, connections=2)
    others = [NodeInfo(node="node-c", url="wss://c.example"), NodeInfo(node="node-a", draining=True)]
    scene.fleet.known = [others[0], old, others[1]]
    host, port = scene.gateway.address
    me = dataclasses.replace(scene.fleet.me, url=f"{host}:{port}")
    assert await scene.status.nodes() == [others[1], me, others[0]]
    scene.fleet.me = dataclasses.replace(scene.fleet.me, url="wss://b.example")
    assert scene.fleet.me in await scene.status.nodes()
    scene.fleet.known = []
    assert await scene.status.nodes() == [scene.fleet.me]


async def test_connections_of_a_user_are_counted_where_they_are(scene: Scene) -> None:
    assert scene.status.connections_of(UserId("four")) == 4

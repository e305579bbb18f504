"""A node among the others: its lease, and those who lost theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from chat.adapters.embedded.node_registry import MemoryNodeRegistry
from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.domain.errors import RateLimited, Unavailable
from chat.domain.users import Identity, SessionId, User, UserId
from chat.ports.node_registry import LEASE_SECONDS, NodeInfo
from chat.ports.rate_limiter import Rate
from chat.services import Auth, events
from chat.services.announcer import Announcer
from chat.services.fleet import Fleet
from chat.services.limits import Throttle
from tests.support.chat_nodes import open_cluster
from tests.support.services import UNLIMITED, RecordingBroker

ANNA = Identity(User(UserId("anna"), "Anna"), SessionId("s"), 2_000_000_000.0)


class Registry(MemoryNodeRegistry):
    """`is_away` makes it refuse; `asked` counts how often it was read."""

    is_away = False
    asked = 0

    async def renew(self, info: NodeInfo) -> bool:
        self._refuse()
        return await super().renew(info)

    async def leave(self, node: str) -> None:
        self._refuse()
        await super().leave(node)

    async def nodes(self) -> list[NodeInfo]:
        self.asked += 1
        self._refuse()
        return await super().nodes()

    def _refuse(self) -> None:
        if self.is_away:
            raise Unavailable("the registry is away")


class Nodes:
    """Members of one fleet, that run as tasks."""

    def __init__(self, auth: Auth, nursery: trio.Nursery) -> None:
        self.registry = Registry()
        self.broker = RecordingBroker()
        self.lapsed: list[str] = []
        self._auth = auth
        self._nursery = nursery

    def member(self, name: str, *, url: str = "", connect: Rate = Rate(0, 0)) -> Fleet:  # noqa: B008 -- frozen
        return Fleet(
            self.registry,
            NodeInfo(node=name, url=url, max_connections=100),
            auth=self._auth,
            throttle=Throttle(MemoryRateLimiter()),
            limits=dataclasses.replace(UNLIMITED, connect_per_user=connect),
            announcer=Announcer(self.broker),
        )

    def run(self, fleet: Fleet, connections: int = 0) -> trio.CancelScope:
        """Until the scope is cancelled, as if the process was killed."""
        scope = trio.CancelScope()

        async def live() -> None:
            with scope:
                await fleet.run(lambda: connections, lambda: self.lapsed.append(fleet.me.node))

        self._nursery.start_soon(live)
        return scope

    async def names(self) -> set[str]:
        return {info.node for info in await self.registry.nodes()}

    @property
    def lost(self) -> list[str]:
        return [event.node for event in self.broker.of(events.NodeLost)]


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    async with open_cluster() as cluster:
        yield Nodes(cluster.nodes[0].services.auth, cluster.nursery)


async def test_nodes_know_each_other_and_how_busy_they_are(autojump_clock: MockClock, nodes: Nodes) -> None:
    anna, bert = nodes.member("anna", url="wss://anna.example"), nodes.member("bert")
    nodes.run(anna, connections=7)
    nodes.run(bert)
    await trio.sleep(10 * LEASE_SECONDS)
    found = {info.node: info for info in await bert.nodes()}
    assert found == {"anna": anna.me, "bert": bert.me}
    assert (found["anna"].connections, found["anna"].url) == (7, "wss://anna.example")
    assert nodes.lapsed == []


async def test_the_fleet_is_told_once_of_a_node_that_died(autojump_clock: MockClock, nodes: Nodes) -> None:
    first = nodes.run(nodes.member("anna"))
    nodes.run(nodes.member("bert"))
    nodes.run(nodes.member("carl"))
    await trio.sleep(1)
    first.cancel()
    await trio.sleep(LEASE_SECONDS - 2)
    assert nodes.lost == []
    await trio.sleep(10 * LEASE_SECONDS)
    assert nodes.lost == ["anna"]
    assert await nodes.names() == {"bert", "carl"}


async def test_a_node_that_comes_back_before_it_was_missed_tells_that_it_had_died(
    autojump_clock: MockClock, nodes: Nodes
) -> None:
    first = nodes.run(nodes.member("anna"))
    await trio.sleep(1)
    first.cancel()
    await trio.sleep(1)
    nodes.run(nodes.member("anna"))
    await trio.sleep(10 * LEASE_SECONDS)
    assert (nodes.lost, nodes.lapsed) == (["anna"], [])


async def test_a_node_that_leaves_is_gone_at_once_and_not_missed(autojump_clock: MockClock, nodes: Nodes) -> None:
    anna = nodes.member("anna")
    nodes.run(anna)
    nodes.run(nodes.member("bert"))
    await trio.sleep(1)
    await anna.leave()
    assert await nodes.names() == {"bert"}
    await trio.sleep(10 * LEASE_SECONDS)
    assert (await nodes.names(), nodes.lost, nodes.lapsed) == ({"bert"}, [], [])


async def test_a_node_that_drains_says_so_at_once_and_stays_until_it_leaves(
    autojump_clock: MockClock, nodes: Nodes
) -> None:
    anna = nodes.member("anna")
    nodes.run(anna)
    await trio.sleep(1)
    await anna.drain()
    assert [info.draining for info in await nodes.registry.nodes()] == [True]
    await trio.sleep(10 * LEASE_SECONDS)
    assert [info.draining for info in await nodes.registry.nodes()] == [True]


async def test_a_node_whose_lease_lapsed_is_told_and_goes_on(autojump_clock: MockClock, nodes: Nodes) -> None:
    nodes.run(nodes.member("anna"))
    await trio.sleep(1)
    nodes.registry.is_away = True
    await trio.sleep(2 * LEASE_SECONDS)
    assert nodes.lapsed == []
    nodes.registry.is_away = False
    await trio.sleep(LEASE_SECONDS)
    assert nodes.lapsed == ["anna"]
    assert await nodes.names() == {"anna"}


async def test_a_registry_that_is_away_keeps_nobody_from_serving_or_going(
    autojump_clock: MockClock, nodes: Nodes
) -> None:
    anna = nodes.member("anna")
    nodes.registry.is_away = True
    nodes.run(anna)
    await trio.sleep(LEASE_SECONDS)
    assert (await anna.route(ANNA)).node == "anna"
    await anna.drain()
    await anna.leave()
    assert nodes.lapsed == []


async def test_a_client_is_led_back_by_its_token_to_the_node_that_it_names(
    autojump_clock: MockClock, nodes: Nodes
) -> None:
    members = [nodes.member(name, url=f"wss://{name}.example") for name in ("anna", "bert", "carl", "dora")]
    for member in members:
        nodes.run(member)
    await trio.sleep(1)
    route = await members[0].route(ANNA)
    for _ in range(20):
        again = await members[1].route(ANNA, resume=route.resume)
        assert (again.node, again.url) == (route.node, f"wss://{route.node}.example")
    somebody = dataclasses.replace(ANNA, user=User(UserId("somebody"), "Somebody"))
    elsewhere = {(await members[1].route(somebody, resume=route.resume)).node for _ in range(50)}
    assert len(elsewhere) > 1, "the token of another user leads nowhere"
    assert (await members[1].route(ANNA, resume="nonsense")).node in await nodes.names()


async def test_many_questions_are_one_to_the_registry(autojump_clock: MockClock, nodes: Nodes) -> None:
    anna = nodes.member("anna")
    nodes.run(anna)
    await trio.sleep(1)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(anna.route, ANNA)
    assert nodes.registry.asked == 1


async def test_questions_are_limited(autojump_clock: MockClock, nodes: Nodes) -> None:
    anna = nodes.member("anna", connect=Rate(0.1, 2))
    for _ in range(2):
        await anna.route(ANNA)
    with pytest.raises(RateLimited):
        await anna.route(ANNA)

"""Which keys were written lately, and which replicas may be read."""

from __future__ import annotations

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.mysql_dsn import Dsn
from chat.adapters.distributed.mysql_server import MySqlServer
from chat.adapters.distributed.read_routing import MEASURE_SECONDS, RecentKeys, Replica, Rotation
from tests.support.clocks import ManualClock


def server() -> MySqlServer:
    """Of no use but to be chosen."""
    return MySqlServer(AsyncioBridge(), Dsn("127.0.0.1", 1, "chat", "root"), "a", is_primary=False)


def test_a_key_is_recent_for_at_least_its_time_and_at_most_twice_that() -> None:
    clock = ManualClock()
    recent = RecentKeys(5.0, clock)
    clock.advance(4.9)
    recent.add("a")
    for _ in range(10):
        assert "a" in recent
        clock.advance(0.5)
    clock.advance(5.1)
    assert "a" not in recent


def test_a_key_that_nobody_asked_about_for_long_is_not_recent() -> None:
    clock = ManualClock()
    recent = RecentKeys(5.0, clock)
    recent.add("a")
    clock.advance(100)
    assert "a" not in recent
    assert "b" not in recent


async def test_a_replica_is_near_only_while_its_measurement_is_fresh() -> None:
    clock = ManualClock()
    replica = Replica(server(), clock)
    assert not replica.is_near(2.0)
    replica.measured(1.9)
    assert replica.is_near(2.0)
    clock.advance(2 * MEASURE_SECONDS + 0.01)
    assert not replica.is_near(2.0)
    replica.measured(2.1)
    assert not replica.is_near(2.0)


async def test_replicas_that_are_near_take_turns() -> None:
    rotation = Rotation(server(), [server() for _ in range(3)], max_lag_seconds=2.0)
    assert rotation.choose() is None
    first, far, second = rotation.replicas
    for replica, lag in ((first, 0.0), (far, 30.0), (second, 1.0)):
        replica.measured(lag)
    chosen = [rotation.choose() for _ in range(10)]
    assert chosen.count(first.server) == chosen.count(second.server) == 5


async def test_a_replica_that_fails_is_left_out_until_it_answers_again() -> None:
    rotation = Rotation(server(), [server()], max_lag_seconds=2.0)
    [replica] = rotation.replicas
    replica.measured(0.0)
    replica.server.breaker.failed()
    assert rotation.choose() is None
    replica.server.breaker.succeeded()
    assert rotation.choose() is replica.server

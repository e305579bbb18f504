"""The wall clock of one node of two is stepped while people talk across both."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack
from pathlib import Path

import jwt
import pytest

from chat.client.http import HttpApi
from tests.support.history_checker import History
from tests.support.publishers import PASSWORD
from tests.support.rig import ACKED, DATABASE, Rig, endure, many
from tests.support.suffering import Fault
from tests.support.tcp_proxy import tcp_proxy
from tests.support.wall_clocks import WallClock

AHEAD_SECONDS = (600, -600, 3600, -3600)
"""Of the truth, one after the other. An access token lasts 900 s, and counts from 60 s before it was issued."""
DATED_BEFORE_THE_LAST = (
    "SELECT room, seq FROM (SELECT room, seq, ts, LAG(ts) OVER (PARTITION BY room ORDER BY seq) AS last FROM messages)"
    " AS dated WHERE ts < last"
)
pytestmark = pytest.mark.skipif("FAULT_ROUNDS" not in os.environ, reason="only with make test-faults")


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path / "clock")


async def test_a_wall_clock_is_stepped(clock: WallClock, rig: Rig) -> None:
    """F31: sockets stay; who comes back and has a token that the node does not take, comes back with another."""
    async with rig.running(second_env=clock.env), AsyncExitStack() as stack:
        fronts = [await stack.enter_async_context(tcp_proxy(node.port)) for node in rig.nodes]
        people = await stack.enter_async_context(many([f"http://127.0.0.1:{f.port}" for f in fronts], History()))
        api = await stack.enter_async_context(HttpApi(rig.nodes[1].url))
        await api.login("user0", PASSWORD)

        def stepped(ahead_seconds: int) -> Fault:
            async def fault() -> None:
                outages = len(people.outages)
                clock.set(ahead_seconds)
                assert await time_at(api) - time.time() == pytest.approx(ahead_seconds, abs=60)
                await people.until_acked(ACKED)
                assert len(people.outages) == outages
                for front in fronts:
                    front.cut()
                await people.until_acked(ACKED)

            return fault

        await endure(people, *map(stepped, AHEAD_SECONDS))
        assert any("expired" in why for why in people.outages), "every token was taken, whatever the time"
    for shard in rig.shards:
        assert shard.sql(DATED_BEFORE_THE_LAST, DATABASE) == []
    rig.check_logs()


async def time_at(api: HttpApi) -> float:
    """What time it is at a node, as it writes into a token."""
    token = (await api.renew()).access_token
    return float(jwt.decode(token, options={"verify_signature": False})["iat"])

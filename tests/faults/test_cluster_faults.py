"""Two nodes of a cluster, and all they stand on, broken while people talk across them.

Nothing acknowledged is lost, nobody hears anything twice or out of order, and everybody hears everything.
"""

from __future__ import annotations

import os
import signal

import pytest
import trio

from tests.support.history_checker import History
from tests.support.rig import ACKED, LEASE_SECONDS, Rig, endure
from tests.support.suffering import Fault
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.skipif("FAULT_ROUNDS" not in os.environ, reason="only with make test-faults")


async def test_nodes_are_killed_frozen_and_ended(rig: Rig, fault_rounds: int) -> None:
    """F1, F2, F3."""
    async with rig.talking(History()) as people:

        async def killed() -> None:
            await rig.nodes[1].kill()
            await people.until_acked(ACKED)
            await rig.restart(1)

        async def frozen() -> None:
            rig.nodes[1].send_signal(signal.SIGSTOP)
            await trio.sleep(LEASE_SECONDS + 1)  # longer than its lease: the others take it for dead
            rig.nodes[1].send_signal(signal.SIGCONT)
            await people.until_acked(ACKED)

        async def ended() -> None:
            rig.nodes[1].send_signal(signal.SIGTERM)
            assert await rig.nodes[1].wait() == 0
            await rig.restart(1)

        await endure(people, *[killed, frozen, ended] * max(1, fault_rounds // 4))
    rig.check_logs()


async def test_a_node_is_cut_off_from_redis_and_from_its_shards(rig: Rig, fault_rounds: int) -> None:
    """F26: packets dropped in silence, and connections refused."""
    async with rig.talking(History()) as people:

        def silent(proxy: TcpProxy) -> Fault:
            async def fault() -> None:
                proxy.fall_silent()
                await people.until_acked(ACKED)
                proxy.go_on()

            return fault

        def refused(proxy: TcpProxy) -> Fault:
            async def fault() -> None:
                proxy.refusing = True
                proxy.cut()
                await people.until_acked(ACKED)
                proxy.refusing = False

            return fault

        redis, *_, shard = rig.proxies
        faults = [silent(redis), refused(redis), silent(shard), refused(shard)]
        await endure(people, *faults * max(1, fault_rounds // 4))
    rig.check_logs()


async def test_shards_are_killed_and_mute(rig: Rig, fault_rounds: int) -> None:
    """F17, F18."""
    async with rig.talking(History()) as people:

        async def killed() -> None:
            rig.shards[1].kill()
            await trio.sleep(1)
            rig.shards[1].start()
            await people.until_acked(ACKED)

        async def mute() -> None:
            rig.shards[1].pause()
            await trio.sleep(3)
            rig.shards[1].resume()
            await people.until_acked(ACKED)

        await endure(people, *[killed, mute] * max(1, fault_rounds // 4))
    rig.check_logs()


async def test_redis_gives_up_a_subscriber_that_does_not_read(rig: Rig, fault_rounds: int) -> None:
    """F12."""
    async with rig.talking(History()) as people:
        rig.redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 65536 1")

        def subscribers() -> int:
            return bytes(rig.redis.command("CLIENT", "LIST", "TYPE", "pubsub")).count(b"addr=")

        async def deaf() -> None:
            before = subscribers()
            rig.proxies[0].fall_silent()
            while subscribers() == before:
                rig.redis.command("PUBLISH", "control", "x" * 60_000)  # what no node can read is left out by all
                await trio.sleep(0.01)
            rig.proxies[0].go_on()
            await people.until_acked(ACKED)

        await endure(people, *[deaf] * max(1, fault_rounds // 4))
    rig.check_logs()

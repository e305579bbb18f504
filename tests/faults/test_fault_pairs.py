"""F40: two faults at once, each of two kinds, in an order and with an overlap that a seed gives."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pytest
import trio

from tests.support.history_checker import History
from tests.support.rig import Rig, endure
from tests.support.suffering import Fault

MAX_PAUSE_SECONDS = 3.0
"""Between the beginnings of two faults, and before each is mended: longer than a lease, and than any deadline."""
SEED = os.environ.get("FAULT_SEED")
"""What a test that failed has printed: the same faults in the same order, with the same pauses."""
pytestmark = pytest.mark.skipif("FAULT_ROUNDS" not in os.environ, reason="only with make test-faults")


@asynccontextmanager
async def node_killed(rig: Rig, chance: random.Random) -> AsyncIterator[None]:
    """F1."""
    number = chance.randrange(len(rig.nodes))
    await rig.nodes[number].kill()
    yield
    await rig.restart(number, listen=False)


@asynccontextmanager
async def redis_emptied(rig: Rig, chance: random.Random) -> AsyncIterator[None]:
    """F9: by a command, or by its death."""
    if chance.random() < 0.5:
        rig.redis.command("FLUSHALL")
        yield
    else:
        rig.redis.kill()
        yield
        rig.redis.start()


@asynccontextmanager
async def shard_killed(rig: Rig, chance: random.Random) -> AsyncIterator[None]:
    """F17."""
    shard = chance.choice(rig.shards)
    shard.kill()
    yield
    shard.launch()
    await trio.to_thread.run_sync(shard.until_ready)


@asynccontextmanager
async def node_cut_off(rig: Rig, chance: random.Random) -> AsyncIterator[None]:
    """F26: the second node, from Redis or from a shard; packets vanish, or connections are refused."""
    proxy = chance.choice(rig.proxies)
    if chance.random() < 0.5:
        proxy.fall_silent()
        yield
        proxy.go_on()
    else:
        proxy.refusing = True
        proxy.cut()
        yield
        proxy.refusing = False


Kind = Callable[[Rig, random.Random], AbstractAsyncContextManager[None]]
KINDS: tuple[Kind, ...] = (node_killed, redis_emptied, shard_killed, node_cut_off)


@pytest.mark.parametrize(
    "kinds", list(itertools.combinations(KINDS, 2)), ids=lambda kinds: "-".join(k.__name__ for k in kinds)
)
async def test_two_faults_at_once(rig: Rig, kinds: tuple[Kind, Kind], fault_rounds: int) -> None:
    seed = SEED or f"{random.SystemRandom().getrandbits(32)}"
    print(f"FAULT_SEED={seed}")
    chance = random.Random(seed)
    async with rig.talking(History()) as people:
        await endure(people, *[both(rig, chance, kinds)] * max(1, fault_rounds // 4))
    rig.check_logs()


def both(rig: Rig, chance: random.Random, kinds: tuple[Kind, Kind]) -> Fault:
    """Two faults that begin one after the other, and are mended in either order."""

    async def pause() -> None:
        await trio.sleep(chance.uniform(0, MAX_PAUSE_SECONDS))

    async def fault() -> None:
        under_way = []
        for kind in chance.sample(kinds, len(kinds)):
            under_way.append(stack := AsyncExitStack())
            await stack.enter_async_context(kind(rig, chance))
            await pause()
        for stack in chance.sample(under_way, len(under_way)):
            await stack.aclose()
            await pause()
        for node in rig.nodes:
            await node.until_listening()

    return fault

"""Breaks things as planned, and mends them again."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import trio

from .clock import sleep
from .governor import Governor
from .life import Died
from .node import Node, Process
from .schedule import Fault, Kind

if TYPE_CHECKING:
    from .world import World

_STORES = ("messages-0", "messages-1", "rooms", "users", "sessions", "presence")


_DELAYING_NOBODY = (Kind.KICK, Kind.AMBUSH, Kind.BAN_FROM_ROOM, Kind.BAN)


class Saboteur:
    """Carries out a plan. When `run` returns, everything is whole again."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self.governor = Governor(world, chance)
        self.disturbances: list[tuple[float, float]] = []
        """When something was broken that delays messages."""
        self._acts: dict[Kind, Callable[[Fault], Awaitable[None]]] = {
            Kind.CRASH: self._crash,
            Kind.RESTART: self._restart,
            Kind.FREEZE: self._freeze,
            Kind.STORE_AWAY: self._store_away,
            Kind.STORE_SLOW: self._store_slow,
            Kind.BROKER_CUT: self._broker_cut,
            Kind.BROKER_DOWN: self._broker_down,
            Kind.BROKER_LOSSY: self._broker_lossy,
            Kind.SLOW_CONSUMER: self._slow_consumer,
            Kind.KICK: self.governor.kick,
            Kind.AMBUSH: self.governor.ambush,
            Kind.BAN_FROM_ROOM: self.governor.ban_from_room,
            Kind.BAN: self.governor.ban,
        }

    async def run(self, faults: Sequence[Fault]) -> None:
        async with trio.open_nursery() as nursery:
            for fault in faults:
                await trio.sleep_until(fault.at)
                nursery.start_soon(self._commit, fault)

    async def _commit(self, fault: Fault) -> None:
        self._world.history.faults += 1
        self._world.trace.note("world", f"{fault.kind} for {fault.seconds} s")
        began = trio.current_time()
        await self._acts[fault.kind](fault)
        if fault.kind not in _DELAYING_NOBODY:
            self.disturbances.append((began, trio.current_time()))

    async def _crash(self, fault: Fault) -> None:
        node = self._node(fault)
        if node.process is not None:
            node.process.die()
            node.process = None
            self._note(node.name, "is killed")
            await sleep(fault.seconds)
            node.start()

    async def _restart(self, fault: Fault) -> None:
        node = self._node(fault)
        process = node.up
        if process is not None:
            with contextlib.suppress(Died):  # killed meanwhile
                await process.stop(fault.seconds)
                self._note(process.life.name, "has stopped")
                node.start()

    async def _freeze(self, fault: Fault) -> None:
        process = self._node(fault).process
        if process is not None and not process.life.is_frozen:
            self._note(process.life.name, "stands still")
            process.life.freeze()
            process.trouble(fault.seconds)
            await sleep(fault.seconds)
            process.life.thaw()
            self._note(process.life.name, "goes on")

    async def _store_away(self, fault: Fault) -> None:
        await self._with_links(fault, failing=1.0 if fault.strength < 0.5 else fault.strength)

    async def _store_slow(self, fault: Fault) -> None:
        await self._with_links(fault, extra_seconds=0.5 * fault.strength)

    async def _with_links(self, fault: Fault, *, failing: float = 0.0, extra_seconds: float = 0.0) -> None:
        name = _STORES[fault.where % len(_STORES)]
        processes = [node.process for node in self._world.nodes if node.process is not None]
        if fault.strength < 0.7:
            processes = processes[:1]
        links = [process.links[name] for process in processes]
        self._note(name, "in trouble for", *(process.life.name for process in processes))
        for process, link in zip(processes, links, strict=True):
            process.trouble(fault.seconds)
            link.failing, link.extra_seconds = failing, extra_seconds
        await sleep(fault.seconds)
        for link in links:
            link.failing = link.extra_seconds = 0.0

    async def _broker_cut(self, fault: Fault) -> None:
        process = self._node(fault).process
        if process is not None:
            await self._without_broker(process, fault.seconds)

    async def _broker_down(self, fault: Fault) -> None:
        async with trio.open_nursery() as nursery:
            for number, node in enumerate(self._world.nodes):
                if node.process is not None:
                    late = number * 0.3 * fault.strength
                    nursery.start_soon(self._without_broker, node.process, fault.seconds + late)

    async def _without_broker(self, process: Process, seconds: float) -> None:
        if not process.broker.is_away:
            self._note(process.life.name, "has no broker")
            process.broker.cut()
            process.trouble(seconds)
            await sleep(seconds)
            process.broker.mend()
            self._note(process.life.name, "has its broker back")

    async def _broker_lossy(self, fault: Fault) -> None:
        self._world.bus.lossy = 0.1 + 0.5 * fault.strength
        await sleep(fault.seconds)
        self._world.bus.lossy = 0.0

    async def _slow_consumer(self, fault: Fault) -> None:
        client = self._world.clients[fault.where % len(self._world.clients)]
        client.line.reads_after = trio.current_time() + 2 * fault.seconds
        self._note(client.name, "reads nothing")
        await sleep(2 * fault.seconds)

    def _node(self, fault: Fault) -> Node:
        return self._world.nodes[fault.where % len(self._world.nodes)]

    def _note(self, *words: str) -> None:
        self._world.trace.note("world", *words)

"""Removes people and lets them in again, as an owner does it: through a node, again if there was no answer."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from chat.domain.errors import Conflict, Unavailable
from chat.domain.rooms import Role, RoomId
from chat.domain.users import UserId
from chat.services import Services

from .clock import sleep
from .life import TICK, Died
from .schedule import Fault

if TYPE_CHECKING:
    from .world import World

Request = Callable[[Services], Awaitable[None]]


class Governor:
    """The owner of all rooms."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.decided: list[tuple[RoomId, UserId, float]] = []
        """Removals, and when the owner was told that they are done."""
        self.banned: list[tuple[UserId, float]] = []
        """The same for accounts."""
        self._world = world
        self._chance = chance

    async def kick(self, fault: Fault) -> None:
        room, user = self._victim(fault)
        await self._remove(room, user, lambda services: services.rooms.remove(self._world.owner, room, user))
        if fault.strength < 0.5:
            await sleep(fault.seconds)
            await self._invite(room, user)

    async def ambush(self, fault: Fault) -> None:
        """Among those whose connection ends now, and who join the room anew."""
        room, user = self._victim(fault)
        client = next(client for client in self._world.clients if client.user == user)
        client.line.hang_up()
        with trio.move_on_after(fault.seconds):
            while not client.places[room].asked:
                await sleep(TICK)
        await sleep(round(0.15 * fault.strength, 2))
        await self._remove(room, user, lambda services: services.rooms.remove(self._world.owner, room, user))

    async def ban_from_room(self, fault: Fault) -> None:
        room, user = self._victim(fault)
        await self._remove(
            room, user, lambda services: services.rooms.set_role(self._world.owner, room, user, Role.BANNED)
        )
        if fault.strength < 0.5:
            await sleep(fault.seconds)
            await self._ask(lambda services: services.rooms.remove(self._world.owner, room, user))
            await self._invite(room, user)

    async def ban(self, fault: Fault) -> None:
        """Of the whole chat."""
        _, user = self._victim(fault)
        self._world.trace.note("world", "bans", user)
        await self._ask(lambda services: services.auth.ban(user))
        self.banned.append((user, trio.current_time()))

    async def _remove(self, room: RoomId, user: UserId, request: Request) -> None:
        self._world.trace.note("world", "removes", user, "from", room)
        await self._ask(request)
        self.decided.append((room, user, trio.current_time()))
        self._world.trace.note("world", "has removed", user, "from", room)

    async def _invite(self, room: RoomId, user: UserId) -> None:
        """In a public room they may have come back by themselves."""
        self._world.trace.note("world", "invites", user, "to", room)
        await self._ask(lambda services: services.rooms.set_role(self._world.owner, room, user, Role.MEMBER))

    async def _ask(self, request: Request) -> None:
        """Asks one node after the other until one has done it."""
        while True:
            process = self._chance.choice(self._world.nodes).up
            if process is not None:
                try:
                    return await request(process.services)
                except Conflict:
                    return  # banned meanwhile, by another decision
                except Unavailable as error:
                    self._world.trace.note("world", "is refused:", error.message)
                except Died:
                    self._world.trace.note("world", "gets no answer")
            await sleep(0.3)

    def _victim(self, fault: Fault) -> tuple[RoomId, UserId]:
        world = self._world
        return (
            world.rooms[fault.where % len(world.rooms)],
            UserId(world.clients[fault.where % len(world.clients)].user),
        )

"""A fleet, its clients, and what goes wrong: one run, from a seed to a verdict."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable

import trio

from chat.domain.rooms import Role, RoomId, RoomKind
from chat.domain.users import Identity, UserId
from tests.support.history_checker import History
from tests.support.memberships import REMOVAL_SECONDS

from .bus import Bus
from .client import Client
from .determinism import run, set_aside_imports
from .faults import Saboteur
from .node import SETTINGS, Node, Process, until_untroubled
from .schedule import plan
from .stores import Stores
from .trace import Trace

ARRIVAL_SECONDS = 1.0
"""From the commit to every socket, if nothing is wrong."""
RECHECK_SECONDS = 4.0
"""For a process that was in trouble to find out who is still in."""
PATIENCE_SECONDS = 60.0
"""For all faults to end, and all decisions to be carried out."""
SETTLE_SECONDS = 30.0
"""From the end of the last fault until everybody must have everything."""
PRESENCE_SECONDS = 36.0
"""From then on until everybody is known to be where they are: the lease of a dead process, and some."""


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """How much happens in one run."""

    nodes: int = 2
    private_rooms: int = 1
    public_rooms: int = 2
    users: int = 4
    clients: int = 5
    seconds: float = 8.0
    faults: int = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    seed: int
    violations: list[str]
    trace: Trace
    acked: int
    delivered: int
    faults: int
    seconds: float
    """Virtual ones."""


def simulate(seed: int, size: Size | None = None) -> Outcome:
    """Runs the world of `seed` and judges it."""
    set_aside_imports()
    world = World(seed, size or Size(nodes=3 if seed % 3 == 0 else 2))
    return run(seed, world.run, world.complain)


def simulate_all(seeds: Iterable[int]) -> list[Outcome]:
    """The same for many, without their traces, for another process to count them."""
    return [dataclasses.replace(simulate(seed), trace=Trace()) for seed in seeds]


class World:
    """Everything that there is in one run."""

    def __init__(self, seed: int, size: Size) -> None:
        self.seed = seed
        self.size = size
        self.trace = Trace()
        self.history = History(trio.current_time)
        self.stores = Stores(self.history)
        self.bus = Bus(self._chance("bus"))
        self.nodes = [Node(f"node{number}", self._start) for number in range(size.nodes)]
        self.clients: list[Client] = []
        self.rooms: list[RoomId] = []
        self.processes: list[Process] = []
        """All that ever ran."""
        self.owner: Identity
        self._complaints: dict[str, None] = {}
        self._network = self._chance("network")
        self._saboteur: Saboteur
        self._nursery: trio.Nursery

    def complain(self, text: str) -> None:
        """Something is wrong whatever the checker says."""
        self._complaints[text] = None

    async def run(self) -> Outcome:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._populate()
            for node in self.nodes:
                node.start()
            for client in self.clients:
                nursery.start_soon(client.line.run)
                nursery.start_soon(client.act)
            self._saboteur = Saboteur(self, self._chance("faults"))
            with trio.move_on_after(PATIENCE_SECONDS) as patience:
                await self._saboteur.run(plan(self._chance("plan"), self.size.seconds, self.size.faults))
            if patience.cancelled_caught:
                self.complain(f"after {PATIENCE_SECONDS:.0f} s not all faults had ended")
            for client in self.clients:
                client.hushed = True
            await self._settle()
            outcome = self._outcome()
            nursery.cancel_scope.cancel()
        return outcome

    def is_member(self, room: RoomId, user: str) -> bool:
        return self.stores.rooms.roles[room].get(UserId(user)) not in (None, Role.BANNED)

    def _chance(self, what: str) -> random.Random:
        """Chances that do not depend on how often another part asks for some."""
        return random.Random(f"{self.seed} {what}")

    def _start(self, name: str) -> Process:
        process = Process(name, self.bus, self.stores, self._network)
        self.processes.append(process)
        self.trace.note("world", name, "starts")
        self._nursery.start_soon(process.run)
        return process

    async def _populate(self) -> None:
        """The owner of all rooms, who is never online, and the others, who are in all rooms."""
        self.owner, *others = [await self._user(f"user{number}") for number in range(self.size.users + 1)]
        for number in range(self.size.private_rooms + self.size.public_rooms):
            kind = RoomKind.PRIVATE if number < self.size.private_rooms else RoomKind.PUBLIC
            room = await self.stores.rooms.create(f"room {number}", kind, self.owner.user.id)
            self.rooms.append(room.id)
            if kind is RoomKind.PRIVATE:
                for who in others:
                    await self.stores.rooms.set_role(room.id, who.user.id, Role.MEMBER)
        for number in range(self.size.clients):
            self.clients.append(self._client(f"client{number}", others[number % len(others)]))

    async def _user(self, name: str) -> Identity:
        user = await self.stores.users.create(name, "none")
        session = await self.stores.sessions.create(user.id)
        return Identity(user, session.id, session.expires)

    def _client(self, name: str, who: Identity) -> Client:
        return Client(
            name,
            who,
            [*self.rooms],
            nodes=self.nodes,
            history=self.history,
            trace=self.trace,
            chance=self._chance(name),
        )

    async def _settle(self) -> None:
        """Waits until everybody has everything, and is known to be there; it is a violation if that takes too long."""
        for missing, seconds in [(self._lacking, SETTLE_SECONDS), (self._unsettled, PRESENCE_SECONDS)]:
            with trio.move_on_after(seconds):
                while missing():  # noqa: ASYNC110 -- on a virtual clock
                    await trio.sleep(0.25)
            for lack in missing():
                self.complain(f"{seconds:.0f} s later {lack}")

    def _lacking(self) -> list[str]:
        tops = {room: len(self.stores.messages.rooms[room]) for room in self.rooms}
        found = []
        for client in self.clients:
            members = {room: self.is_member(room, client.user) for room in self.rooms}
            found += [f"{client.name} {lack}" for lack in client.lacks(members, tops)]
        return found

    def _unsettled(self) -> list[str]:
        return self._lacking() + self._misplaced()

    def _misplaced(self) -> list[str]:
        """Who is online in a room by presence and not in truth, or the other way round."""
        truth = {
            (room, client.user)
            for client in self.clients
            for room, place in client.places.items()
            if place.stream is not None
        }
        told = {(room, user) for room in self.rooms for user in self.stores.presence.users(room)}
        missed = [f"{user} is not known to be in {room}" for room, user in sorted(truth - told)]
        return missed + [f"{user} is still taken for being in {room}" for room, user in sorted(told - truth)]

    def _due(self, at: float) -> float:
        """When a message must have arrived that is stored and listened to; after a disturbance, the audit finds it."""
        disturbances = self._saboteur.disturbances
        return until_untroubled(disturbances, at + ARRIVAL_SECONDS, 1.2 * SETTINGS["audit_seconds"]) + ARRIVAL_SECONDS

    def _excuse_late_news(self) -> None:
        """A node that stood still, or had no broker or no store to ask, may learn of a removal a little later."""
        troubles = [trouble for process in self.processes for trouble in process.troubles]
        for room, user, decided in self._saboteur.governor.decided:
            known = until_untroubled(troubles, decided + REMOVAL_SECONDS, RECHECK_SECONDS)
            self.history.members.postpone(room, user, decided, known)
        for user, decided in self._saboteur.governor.banned:
            known = until_untroubled(troubles, decided + REMOVAL_SECONDS, RECHECK_SECONDS)
            self.history.members.signed_out(user, known)

    def _outcome(self) -> Outcome:
        self._excuse_late_news()
        self.history.due = self._due
        banned = [user for user, _ in self._saboteur.governor.banned]
        for client in self.clients:
            if client.line.is_out and client.user not in banned:
                self.complain(f"{client.name} was signed out, and nobody had banned {client.user}")
        for room in self.rooms:
            self.history.stored(room, self.stores.messages.rows(room))
        for client in self.clients:
            for place in client.places.values():
                if place.reader is not None:
                    place.reader.stayed = not client.line.is_out and self.is_member(place.room, client.user)
        return Outcome(
            self.seed,
            [*self._complaints, *self.history.violations(min_faults=1)],
            self.trace,
            self.history.acked,
            sum(len(receiver.seen) for receiver in self.history.receivers),
            self.history.faults,
            trio.current_time(),
        )

"""What goes wrong in a run, and when: a plan that follows from the seed."""

from __future__ import annotations

import dataclasses
import enum
import random


class Kind(enum.StrEnum):
    """Something that breaks for a while."""

    CRASH = "crash"
    """A process is killed, another one follows."""
    RESTART = "restart"
    """A process is asked to stop, another one follows."""
    FREEZE = "freeze"
    """A process stands still."""
    STORE_AWAY = "store away"
    """One store, or one shard, for one node or for all: late refusals, some of which have been carried out."""
    STORE_SLOW = "store slow"
    BROKER_CUT = "broker cut"
    """One node has no broker, and is told when it is back."""
    BROKER_DOWN = "broker down"
    """The same for all, not at the same moment."""
    BROKER_LOSSY = "broker lossy"
    """Messages vanish on the way, and nobody is told."""
    SLOW_CONSUMER = "slow consumer"
    """A client reads nothing."""
    KICK = "kick"
    """A member is removed from a room, and perhaps let in again."""
    AMBUSH = "ambush"
    """A member is removed from a room at the moment of coming back to it."""
    BAN_FROM_ROOM = "ban from a room"
    """A member is banned from a room, and perhaps let in again."""
    BAN = "ban"
    """An account is banned."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """`where` picks the victim among whatever there is; `strength` is 0 to 1."""

    at: float
    kind: Kind
    seconds: float
    where: int
    strength: float


_OFTEN = {
    Kind.CRASH: 3,
    Kind.RESTART: 1,
    Kind.FREEZE: 1,
    Kind.STORE_AWAY: 4,
    Kind.STORE_SLOW: 1,
    Kind.BROKER_CUT: 2,
    Kind.BROKER_DOWN: 1,
    Kind.BROKER_LOSSY: 3,
    Kind.SLOW_CONSUMER: 2,
    Kind.KICK: 3,
    Kind.AMBUSH: 2,
    Kind.BAN_FROM_ROOM: 1,
    Kind.BAN: 1,
}


def plan(chance: random.Random, seconds: float, faults: int) -> list[Fault]:
    """So many faults, all begun within `seconds`, in the order of their time."""
    kinds = chance.choices(list(_OFTEN), list(_OFTEN.values()), k=faults)
    return sorted((_fault(chance, kind, seconds) for kind in kinds), key=lambda fault: fault.at)


def _fault(chance: random.Random, kind: Kind, seconds: float) -> Fault:
    return Fault(
        at=round(chance.uniform(0.5, seconds), 2),
        kind=kind,
        seconds=round(chance.uniform(0.2, 4.0), 2),
        where=chance.randrange(1_000),
        strength=chance.random(),
    )

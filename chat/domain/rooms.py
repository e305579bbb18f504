"""Rooms, roles, and the one function that says who may do what."""

from __future__ import annotations

import dataclasses
import enum
from typing import NewType

from .errors import Forbidden, NotFound
from .users import UserId

RoomId = NewType("RoomId", str)
MAX_ROOM_NAME_CHARACTERS = 80


class RoomKind(enum.StrEnum):
    """Who may come in: everybody, the invited, or exactly two."""

    PUBLIC = "public"
    PRIVATE = "private"
    DIRECT = "direct"


class Role(enum.StrEnum):
    """What a user is in a room. Nobody without a row is a member; BANNED is a row that keeps out."""

    OWNER = "owner"
    MODERATOR = "moderator"
    MEMBER = "member"
    BANNED = "banned"


class Operation(enum.Enum):
    """Everything that is asked of a room, as the ACL knows it."""

    SEE = "see"
    """Know that the room exists: join, read history, members and presence."""
    ENTER = "enter"
    """Become a member without an invitation."""
    PUBLISH = "publish"
    """Post, edit and delete one's own, mark as read, type."""
    MODERATE = "moderate"
    """Delete others' messages; invite, kick and ban those below oneself."""
    ADMINISTER = "administer"
    """Change the room and its roles."""


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """A room. `name` is empty for direct rooms. `epoch` names this life of its history."""

    id: RoomId
    kind: RoomKind
    name: str
    epoch: str


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A user's row in a room. `read_seq` is the highest message marked as read, 0 for none."""

    user: UserId
    name: str
    role: Role
    read_seq: int


_RANK = {Role.BANNED: -1, None: 0, Role.MEMBER: 1, Role.MODERATOR: 2, Role.OWNER: 3}
_NEEDED = {Operation.PUBLISH: 1, Operation.MODERATE: 2, Operation.ADMINISTER: 3}


def check(operation: Operation, kind: RoomKind, role: Role | None) -> None:
    """Decides every operation in every room.

    Raises: NotFound if the user may not even know of the room (foreign, or banned from it);
    Forbidden if the user sees it and lacks the role.
    """
    rank = _RANK[role]
    if rank < 0 or (rank == 0 and kind is not RoomKind.PUBLIC):
        raise NotFound("no such room")
    if operation in _NEEDED and rank < _NEEDED[operation]:
        raise Forbidden(f"this needs a higher role in the room than {role or 'visitor'}")
    if operation in (Operation.MODERATE, Operation.ADMINISTER) and kind is RoomKind.DIRECT:
        raise Forbidden("a direct room has no moderation")


def outranks(actor: Role, target: Role | None) -> bool:
    """Whether `actor` may kick, ban or change someone who is `target`."""
    return _RANK[actor] > max(_RANK[target], 0)

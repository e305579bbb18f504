"""Rooms, their members, and how far each member has read."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Protocol

from ..domain.errors import ChatError
from ..domain.messages import Position
from ..domain.rooms import Member, Role, Room, RoomId, RoomKind
from ..domain.users import UserId


class RoomStore(Protocol):
    """Every method raises `Unavailable` as the message store does."""

    async def create(self, name: str, kind: RoomKind, owner: UserId) -> Room:
        """A new room with `owner` as its owner."""

    async def direct(self, first: UserId, second: UserId) -> Room:
        """The direct room of two users: the same whoever asks, made if there is none."""

    async def room(self, room: RoomId) -> Room:
        """Raises: NotFound."""

    async def role(self, room: RoomId, user: UserId) -> tuple[Room, Role | None]:
        """The room and what `user` is in it; None for nothing. Raises: NotFound if there is no room."""

    async def role_each(self, asked: Sequence[tuple[RoomId, UserId]]) -> list[tuple[Room, Role | None] | ChatError]:
        """The same for many, in one call, with an answer for each in their order: NotFound or Unavailable, too."""

    async def set_role(
        self, room: RoomId, user: UserId, role: Role | None, *, was: Role | EllipsisType | None = ...
    ) -> bool:
        """Writes the user's row, or removes it with None; its read mark stays. False if that changed nothing.

        With `was`, writes only if the role is still that one, in one atomic step: of two changes that
        race (a ban and a join), the second sees what the first did.
        """

    async def members(self, room: RoomId, after: UserId | None, limit: int) -> list[Member]:
        """By user id, banned ones included, at most `limit` (1 to 500) with id > `after`."""

    async def rooms_of(self, user: UserId) -> list[tuple[Room, Role, Position, int]]:
        """The user's rooms with role, newest position and read mark (0: none), bans left out, by name."""

    async def public_rooms(self, after: RoomId | None, limit: int) -> list[Room]:
        """By id, at most `limit` (1 to 500) with id > `after`."""

    async def search(self, prefix: str, after: RoomId | None, limit: int) -> list[Room]:
        """Public and private rooms whose name begins with `prefix`, in any case, by name and then by id.

        At most `limit` (1 to 500), behind the room `after`. Those of a shard that is away are left out.
        Raises: NotFound if there is no room `after`.
        """

    async def unread_mentions(self, user: UserId) -> dict[RoomId, list[int]]:
        """Where messages beyond the user's read mark mention them: seqs by room, ascending.

        Of at least the newest 500 mentions, and of rooms that the user is not in any more, too. Those of a shard
        that is away are left out.
        """

    async def mark_read(self, marks: Sequence[tuple[RoomId, UserId, int]]) -> list[int]:
        """Raises each member's mark to at most the room's top, never lowers it; returns the marks as they are now."""

"""Messages: post, read, change; and the marks and hints around them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..domain.errors import ChatError
from ..domain.messages import Appended, Message
from ..domain.rooms import Role, RoomId
from ..domain.users import Identity
from ..ports.message_store import MessageStore
from ..ports.room_store import RoomStore
from .announcer import Announcer
from .limits import Limits, Throttle
from .presence import Presence
from .rooms import Rooms

_NO_ROLES: Mapping[RoomId, Role] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """What a client wants to say; nothing in `body` can set sender, seq or time. `key` names it for retries."""

    room: RoomId
    key: str
    body: dict[str, Any]


class Messaging:
    """A room that the user may not see is `NotFound`; every method may raise `Unavailable`."""

    def __init__(
        self,
        messages: MessageStore,
        room_store: RoomStore,
        *,
        rooms: Rooms,
        presence: Presence,
        throttle: Throttle,
        limits: Limits,
        announcer: Announcer,
    ) -> None:
        self._messages = messages
        self._room_store = room_store
        self._rooms = rooms
        self._presence = presence
        self._throttle = throttle
        self._limits = limits
        self._announcer = announcer

    async def post(
        self, who: Identity, posts: Sequence[Post], roles: Mapping[RoomId, Role] = _NO_ROLES
    ) -> list[Appended | ChatError]:
        """Commits `posts` in their order, tells the fleet, and returns one answer for each.

        `roles` is what the caller knows of `who`'s roles; rooms not in it are looked up. An answer may be
        Invalid (body or key), NotFound, Forbidden, RateLimited (per user and room, one unit each) or
        Unavailable. Cancelling never leaves a committed message unannounced. Raises: nothing of its own.
        """
        raise NotImplementedError

    async def history(
        self, who: Identity, room: RoomId, *, before: int | None = None, after: int | None = None, limit: int
    ) -> tuple[list[Message], bool]:
        """A page of at most `limit` (1 to 200) messages, oldest first, and whether there are more that way.

        With seq < `before` (neither given: the newest), or > `after`. Raises: Invalid, NotFound, RateLimited.
        """
        raise NotImplementedError

    async def edit(self, who: Identity, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        """Replaces the body of one's own message. Raises: NotFound, Forbidden, Invalid, RateLimited."""
        raise NotImplementedError

    async def delete(self, who: Identity, room: RoomId, seq: int) -> Message:
        """Empties a message: one's own, or anyone's for moderators; twice is once. Raises: NotFound, Forbidden."""
        raise NotImplementedError

    async def mark_read(self, who: Identity, room: RoomId, seq: int) -> int:
        """Raises the user's read mark to `seq`, at most to the room's top; returns the mark as it is now."""
        raise NotImplementedError

    async def typing(self, who: Identity, room: RoomId) -> None:
        """Tells the room that `who` is writing; too often, or in a very large room, it tells nobody."""
        raise NotImplementedError

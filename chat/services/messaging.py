"""Messages: post, read, change; and the marks and hints around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import trio

from ..domain.errors import ChatError, Forbidden, Invalid
from ..domain.messages import Appended, Message
from ..domain.rooms import Operation, Role, RoomId, check
from ..domain.users import Identity
from ..ports.message_store import MessageStore
from ..ports.room_store import RoomStore
from . import events
from .announcer import Announcer
from .limits import Limits, Throttle
from .posting import Post, Posting, Submission
from .presence import Presence
from .rooms import Rooms
from .validation import check_body, check_page, check_seq

_NO_ROLES: Mapping[RoomId, Role] = MappingProxyType({})


class HistoryPage(NamedTuple):
    """Messages, oldest first, whether there are more that way, and the life of the history that they are of."""

    messages: list[Message]
    more: bool
    epoch: str


class Messaging:
    """A room that the user may not see is `NotFound`; every method may raise `Unavailable`."""

    def __init__(
        self,
        messages: MessageStore,
        room_store: RoomStore,
        *,
        rooms: Rooms,
        presence: Presence,
        posting: Posting,
        throttle: Throttle,
        limits: Limits,
        announcer: Announcer,
    ) -> None:
        self._messages = messages
        self._room_store = room_store
        self._rooms = rooms
        self._presence = presence
        self._posting = posting
        self._throttle = throttle
        self._limits = limits
        self._announcer = announcer

    async def post(
        self, who: Identity, posts: Sequence[Post], roles: Mapping[RoomId, Role] = _NO_ROLES
    ) -> list[Appended | ChatError]:
        """`Posting.post` for one user; `roles` is what the caller knows of their roles."""
        return await self._posting.post([Submission(who, post, roles.get(post.room)) for post in posts])

    async def history(
        self, who: Identity, room: RoomId, *, before: int | None = None, after: int | None = None, limit: int
    ) -> HistoryPage:
        """A page of at most `limit` (1 to 200) messages.

        With seq < `before` (neither given: the newest), or > `after`. Raises: Invalid, NotFound, RateLimited.
        """
        check_page(limit)
        await self._throttle.take(f"history:user:{who.user.id}", self._limits.history_per_user)
        found, _ = await self._rooms.authorize(who.user.id, room, Operation.SEE)
        if after is None:
            before = None if before is None else check_seq(before, "before")
            page = await self._messages.read_before(room, before, limit)
            return HistoryPage(page, bool(page) and page[0].seq > 1, found.epoch)
        if before is not None:
            raise Invalid("before and after exclude each other")
        page = await self._messages.read_after(room, check_seq(after, "after"), limit + 1)
        return HistoryPage(page[:limit], len(page) > limit, found.epoch)

    async def edit(self, who: Identity, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        """Replaces the body of one's own message. Raises: NotFound, Forbidden, Invalid, RateLimited."""
        check_body(body)
        await self._throttle.take(f"publish:user:{who.user.id}", self._limits.publish_per_user)
        found, _ = await self._rooms.authorize(who.user.id, room, Operation.PUBLISH)
        message = await self._messages.read_one(room, check_seq(seq))
        if message.user != who.user.id:
            raise Forbidden("only the author may edit a message")
        with trio.CancelScope(shield=True):
            edited = await self._messages.edit(room, seq, body)
            await self._announcer.announce(
                events.Edited(room, found.epoch, seq, edited.revision, who.user.id, edited.body)
            )
        return edited

    async def delete(self, who: Identity, room: RoomId, seq: int) -> Message:
        """Empties a message: one's own, or anyone's for moderators; twice is once. Raises: NotFound, Forbidden."""
        await self._take_write(who)
        found, role = await self._rooms.authorize(who.user.id, room, Operation.PUBLISH)
        message = await self._messages.read_one(room, check_seq(seq))
        if message.user != who.user.id:
            check(Operation.MODERATE, found.kind, role)
        if message.deleted:
            return message
        with trio.CancelScope(shield=True):
            deleted = await self._messages.delete(room, seq)
            await self._announcer.announce(events.Deleted(room, found.epoch, seq, deleted.revision, who.user.id))
        return deleted

    async def mark_read(self, who: Identity, room: RoomId, seq: int) -> int:
        """Raises the user's read mark to `seq`, at most to the room's top; returns the mark as it is now."""
        check_seq(seq)
        await self._take_write(who)
        await self._rooms.authorize(who.user.id, room, Operation.PUBLISH)
        [mark] = await self._room_store.mark_read([(room, who.user.id, seq)])
        if 0 < mark <= seq and await self._is_small(room, self._limits.marks_max_online):
            await self._announcer.announce(events.MarkRaised(room, who.user.id, mark))
        return mark

    async def typing(self, who: Identity, room: RoomId) -> None:
        """Tells the room that `who` is writing; too often, or in a very large room, it tells nobody."""
        await self._rooms.authorize(who.user.id, room, Operation.PUBLISH)
        bucket = f"typing:{room}:{who.user.id}"
        granted, _ = await self._throttle.take_up_to(bucket, self._limits.typing_per_room, 1)
        if granted and await self._is_small(room, self._limits.typing_max_online):
            await self._announcer.announce(events.Typing(room, who.user.id, who.user.name))

    async def _is_small(self, room: RoomId, max_online: int) -> bool:
        """Whether few enough are online to tell them trifles; not if that cannot be found out."""
        try:
            return await self._presence.count(room) <= max_online
        except ChatError:
            return False

    async def _take_write(self, who: Identity) -> None:
        await self._throttle.take(f"write:user:{who.user.id}", self._limits.write_per_user)

"""The durable history of every room: the only source of positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..domain.errors import ChatError, Unavailable
from ..domain.messages import Appended, Message, NewMessage, Position
from ..domain.rooms import RoomId
from ..domain.users import UserId


class MessageStore(Protocol):
    """Appends are durable when they return, numbered 1, 2, 3 … in each room, and idempotent.

    Every method raises `Unavailable` if the store cannot be asked or does not answer in time; a write
    may then have happened. Cancelling a write leaves it done or not done, never half.
    """

    async def append(self, messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        """Stores `messages`, in their order, and returns one answer for each.

        All waiting calls share one transaction. The position is taken in the transaction that stores
        the row, so a room's numbers have no gap. A (room, user, key) that is stored already gets its
        first answer with `duplicate` set, for ever. An unknown room answers `NotFound`.
        """

    def lane(self, room: RoomId) -> str:
        """Which rooms' appends wait for each other: those of one lane gain by one call, others lose by it."""

    async def top(self, room: RoomId) -> Position:
        """The position of the newest message; seq 0 in an empty room. Raises: NotFound."""

    async def tops(self, rooms: Sequence[RoomId]) -> dict[RoomId, Position | Unavailable]:
        """The same for many; rooms that do not exist are left out.

        If only a part of the store is away, its rooms are answered with `Unavailable`.
        """

    async def read_after(self, room: RoomId, after: int, limit: int) -> list[Message]:
        """Messages with seq > `after`, oldest first, at most `limit` (1 to 500).

        Sees everything that was acknowledged before the call.
        """

    async def read_before(self, room: RoomId, before: int | None, limit: int) -> list[Message]:
        """Messages with seq < `before` (None: the newest), oldest first, at most `limit` (1 to 500)."""

    async def read_one(self, room: RoomId, seq: int) -> Message:
        """Raises: NotFound."""

    async def edit(self, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        """Replaces the body and returns the new revision. Raises: NotFound, also if it was deleted."""

    async def delete(self, room: RoomId, seq: int) -> Message:
        """Empties the message and marks it deleted; twice is once. Raises: NotFound."""

    async def mentions_of(self, user: UserId, after: float, limit: int) -> list[tuple[RoomId, int, float]]:
        """Unsent mentions of `user` as (room, seq, time), oldest first, later than `after` (seconds)."""

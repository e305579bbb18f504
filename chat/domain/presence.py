"""Joins and leaves that a room has not been told of yet."""

from __future__ import annotations

import dataclasses

from .rooms import RoomId
from .users import UserId


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Who came online and who went offline; nobody is in both. Dicts, for their order."""

    joins: dict[UserId, None] = dataclasses.field(default_factory=dict)
    leaves: dict[UserId, None] = dataclasses.field(default_factory=dict)


class Differences:
    """The difference of each room, conflated: who came and went since the last `take` is not mentioned."""

    def __init__(self) -> None:
        self._rooms: dict[RoomId, Difference] = {}

    def __bool__(self) -> bool:
        return bool(self._rooms)

    def join(self, room: RoomId, user: UserId) -> None:
        """`user` came online."""
        difference = self._rooms.setdefault(room, Difference())
        self._move(room, user, difference.leaves, difference.joins)

    def leave(self, room: RoomId, user: UserId) -> None:
        """`user` went offline."""
        difference = self._rooms.setdefault(room, Difference())
        self._move(room, user, difference.joins, difference.leaves)

    def take(self) -> dict[RoomId, Difference]:
        """All differences, which are thereby told."""
        taken, self._rooms = self._rooms, {}
        return taken

    def put_back(self, room: RoomId, difference: Difference) -> None:
        """Undoes a `take` of the room, if nothing was added since."""
        self._rooms[room] = difference

    def _move(self, room: RoomId, user: UserId, opposite: dict[UserId, None], side: dict[UserId, None]) -> None:
        if user in opposite:
            del opposite[user]
        else:
            side[user] = None
        if not opposite and not side:
            del self._rooms[room]

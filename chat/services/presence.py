"""Who is online in a room: leases in the store, differences to the fleet."""

from __future__ import annotations

from ..domain.rooms import RoomId
from ..domain.users import Identity, UserId
from ..ports.presence_store import PresenceStore
from .announcer import Announcer
from .names import Names
from .rooms import Rooms

MAX_NAMES = 200
"""With more users online a room shows their number only."""


class Presence:
    """Tracks this node's connections; `run` does the work, everything else is cheap."""

    def __init__(
        self,
        store: PresenceStore,
        *,
        rooms: Rooms,
        names: Names,
        announcer: Announcer,
        grace_seconds: float = 5.0,
        refresh_seconds: float = 10.0,
    ) -> None:
        """`grace_seconds`: how long a user who is gone still counts as online."""
        raise NotImplementedError

    async def online(self, who: Identity, room: RoomId) -> tuple[int, list[tuple[UserId, str]]]:
        """How many users are online, and (id, name) of each unless they are more than `MAX_NAMES`.

        Raises: NotFound, Unavailable.
        """
        raise NotImplementedError

    async def count(self, room: RoomId) -> int:
        """How many users are online. Raises: Unavailable."""
        raise NotImplementedError

    def track(self, room: RoomId, user: UserId, connection: str) -> None:
        """From now on the connection keeps its user online in the room. `connection` is unique in the fleet."""
        raise NotImplementedError

    def untrack(self, room: RoomId, user: UserId, connection: str) -> None:
        """The opposite, after the grace: another connection of the user within it, on any node, prevents the leave."""
        raise NotImplementedError

    async def run(self) -> None:
        """Keeps the store up to date and announces joins and leaves, for ever.

        At most one announcement per room and second comes from a node. What the store cannot take is
        taken again with the next refresh.
        """
        raise NotImplementedError

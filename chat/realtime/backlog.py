"""What a room's subscribers were sent last, and the way further back into the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import trio

from ..domain.errors import ChatError
from ..domain.messages import Message, Position
from ..domain.rooms import RoomId
from ..domain.users import UserId
from ..ports.message_store import MessageStore
from ..services import events
from . import pushes
from .config import RealtimeConfig
from .recent import Delivered, Recent

READ_MESSAGES = 200
"""Asked of the store at a time."""
_ENVELOPE_BYTES = 200
"""Of a message push around its body, about."""

NamesOf = Callable[[Sequence[UserId]], Awaitable[dict[UserId, str]]]


class Backlog:
    """Messages up to the room's position on this node: (`epoch`, `seq`) of the last one delivered.

    All methods but `reach` and `read` are synchronous: a caller that looks at `seq` and `missed` and
    subscribes in the same step misses nothing and gets nothing twice.
    """

    def __init__(self, room: RoomId, messages: MessageStore, names: NamesOf, config: RealtimeConfig) -> None:
        self.epoch = ""
        self.seq = 0
        self._room = room
        self._messages = messages
        self._names = names
        self._max_messages = config.max_recovery_messages
        self._recent = Recent(config.max_recovery_messages, config.max_recovery_bytes, config.recent_seconds)
        self._reading = trio.Lock()

    def start(self, position: Position) -> None:
        """Begins behind `position`, knowing nothing of what was before."""
        self.epoch = position.epoch
        self.seq = position.seq
        self._recent.clear()

    def append(self, delivered: Delivered) -> None:
        """The next message, `seq` + 1."""
        self.seq = delivered.seq
        self._recent.append(delivered)

    def change(self, event: events.Edited | events.Deleted) -> None:
        """Follows an edit or a deletion, so that nobody resumes into an old revision."""
        self._recent.change(event)

    def shrink(self, now: float) -> None:
        """Forgets messages that are too old to be asked for."""
        self._recent.shrink(now)

    def missed(self, since: Position) -> list[Delivered] | None:
        """Every message above `since`, oldest first; None if that is not certain or not at hand."""
        if since.epoch != self.epoch or since.seq > self.seq:
            return None
        return [] if since.seq == self.seq else self._recent.after(since.seq)

    async def reach(self, since: Position) -> None:
        """Reads what is needed to answer `missed(since)`, once for all who ask, unless it is too much.

        Raises: Unavailable.
        """
        if self.missed(since) is not None:
            return
        async with self._reading:
            while self._reachable(since) and await self._read_older(self._oldest):
                pass

    async def read(self, after: int, limit: int) -> list[Delivered]:
        """Stored messages with seq > `after` as pushes. Raises: Unavailable.

        A name that cannot be looked up is left empty: order matters more.
        """
        stored = await self._messages.read_after(self._room, after, limit)
        try:
            names = await self._names(list({message.user for message in stored})) if stored else {}
        except ChatError:
            names = {}
        now = trio.current_time()
        return [self._delivered(message, names.get(message.user, ""), now) for message in stored]

    def _delivered(self, message: Message, name: str, now: float) -> Delivered:
        push = pushes.message_push(self._room, self.epoch, pushes.message(message, name))
        return Delivered(message.seq, push, _ENVELOPE_BYTES + len(msgspec.msgpack.encode(message.body)), now)

    @property
    def _oldest(self) -> int:
        oldest = self._recent.oldest
        return self.seq + 1 if oldest is None else oldest

    def _reachable(self, since: Position) -> bool:
        """Whether reading older messages leads to `since`."""
        if since.epoch != self.epoch or self.seq - since.seq > self._max_messages:
            return False
        return since.seq + 1 < self._oldest and not self._recent.full

    async def _read_older(self, oldest: int) -> bool:
        """Adds the messages just below `oldest` to those at hand; False if the store has not got them all."""
        epoch = self.epoch
        after = max(0, oldest - 1 - READ_MESSAGES)
        found = await self.read(after, oldest - 1 - after)
        if [delivered.seq for delivered in found] != list(range(after + 1, oldest)):
            return False
        if self._oldest == oldest and self.epoch == epoch:
            self._recent.prepend(reversed(found))
        return True

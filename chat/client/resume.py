"""One room's stream: each message once, its seq rising by exactly 1, or the application is told. Pure.

Pushes, history pages and join answers go in; events come out of `take`. Three numbers say everything:
`last` is the seq that was queued for the application, `missing_to` the highest one that is known to exist and has
to come from history (after a gap, or because the application read too slowly to keep more), and `stale_from`
the lowest one that may have been edited unseen. `wanted` says which page to ask for next, one at a time.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from .events import Deleted, Edited, Event, Message, Missed, Position, Unrecovered

CAPACITY = 256
"""Events that wait for the application; beyond it messages are left in the history until there is room again."""
PAGE = 100
"""Messages to ask for at once: well below the server's limit, and a page stays small beside its outbox limit."""


class Fetch(NamedTuple):
    """A page of history to ask for: seq > `after`, oldest first. `changes`: looks for edits only."""

    after: int
    limit: int
    changes: bool = False


class Feed:
    """The position of one reader in one room, and what it has not read yet."""

    def __init__(self, room: str, since: Position | None = None, capacity: int = CAPACITY) -> None:
        self._room = room
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._early: dict[int, Message] = {}
        self._epoch = since.epoch if since else None
        self._last = since.seq if since else 0
        self._missing_to = self._last
        self._stale_from: int | None = None
        self._live = False
        self._asked = False
        self._fetching: Fetch | None = None
        self._taken = since

    @property
    def position(self) -> Position | None:
        """After the last message that was taken; None before the first join."""
        return self._taken

    @property
    def live(self) -> bool:
        """Whether the room is joined over the present connection."""
        return self._live

    def join_fields(self) -> dict[str, Any]:
        """The fields of the `join` to send: with `since`, unless the application is behind anyhow."""
        self._asked = self._epoch is not None and self._last >= self._missing_to and not self._full
        if not self._asked:
            return {"room": self._room}
        return {"room": self._room, "since": {"epoch": self._epoch, "seq": self._last}}

    def joined(self, position: Position, recovered: bool) -> None:
        """The answer to the join. If it recovered, what was missed follows as pushes."""
        self._live = True
        if self._epoch is None:
            self._taken, self._epoch = position, position.epoch
            self._last = self._missing_to = position.seq
            return
        since, self._epoch = Position(self._epoch, self._last), position.epoch
        if since.epoch != position.epoch or position.seq < since.seq:
            self._last = min(since.seq, position.seq)
            self._stale_from = None
        elif self._asked and recovered:
            return
        self._missing_to = position.seq
        if self._asked or since.epoch != position.epoch or position.seq < since.seq:
            self._tell_unrecovered(Unrecovered(self._room, since, position))

    def pushed(self, message: Message, epoch: str) -> None:
        """A live message, or one that the join promised."""
        if not self._live:
            return
        if epoch != self._epoch:
            self._live = False
        elif message.seq > self._last:
            self._missing_to = max(self._missing_to, message.seq)
            if len(self._early) < PAGE and not self._full:
                self._early[message.seq] = message
            self._deliver_early()

    def gap(self, first: int, last: int, epoch: str) -> None:
        """The server skipped `first` to `last` on this connection: new messages, edits, or both."""
        if epoch != self._epoch:
            self._live = False
            return
        self._missing_to = max(self._missing_to, last)
        if first <= self._last:
            self._mark_stale(first)

    def changed(self, event: Edited | Deleted) -> None:
        """A message has another body."""
        if event.seq > self._last or self._full:
            self._mark_stale(event.seq)  # a page under way may still hold the old body
        else:
            self._events.append(event)

    def noticed(self, event: Event) -> None:
        """Something about people, which is dropped if the application is behind."""
        if self._live and not self._full:
            self._events.append(event)

    def wanted(self) -> Fetch | None:
        """The page to ask for now, if any; answer with `filled` or `failed`."""
        room_left = self._capacity - len(self._events)
        if not self._live or self._fetching or room_left < min(PAGE, (self._capacity + 1) // 2):
            return None
        if self._last < self._missing_to:
            self._fetching = Fetch(self._last, min(PAGE, room_left))
        elif self._stale_from is not None:
            self._fetching = Fetch(self._stale_from - 1, min(PAGE, room_left), changes=True)
            self._stale_from = None
        return self._fetching

    def filled(self, fetch: Fetch, page: list[Message], epoch: str | None = None) -> bool:
        """The page that was wanted. False if it brought nothing new: ask again, later.

        A page of another life of the history is no page: the room is joined anew.
        """
        if fetch is not self._fetching:
            return True
        if epoch not in (None, self._epoch):
            self.failed()
            self._live = False
            return True
        self._fetching = None
        if fetch.changes:
            self._tell_changes(fetch, page)
            return True
        before = self._last
        for message in page:
            if message.seq > self._last + 1:
                self._miss(message.seq - 1)
            self._append(message)
        self._deliver_early()
        return self._last > before

    def failed(self) -> None:
        """The page did not come; `wanted` will ask for it again."""
        if self._fetching and self._fetching.changes:
            self._mark_stale(self._fetching.after + 1)
        self._fetching = None

    def disconnected(self) -> None:
        """Nothing more comes over that connection."""
        self.failed()
        self._live = False
        self._early.clear()

    def take(self) -> Event | None:
        """The next event for the application."""
        event = self._events.popleft() if self._events else None
        if isinstance(event, Message | Missed | Unrecovered):
            self._taken = _after(event, self._taken)
        return event

    @property
    def _full(self) -> bool:
        return len(self._events) >= self._capacity

    def _append(self, message: Message) -> None:
        if message.seq == self._last + 1 and not self._full:
            self._events.append(message)
            self._last = message.seq

    def _deliver_early(self) -> None:
        while (message := self._early.pop(self._last + 1, None)) and not self._full:
            self._append(message)
        if self._early and min(self._early) <= self._last:
            self._early = {seq: early for seq, early in self._early.items() if seq > self._last}

    def _miss(self, last: int) -> None:
        if not self._full:
            self._events.append(Missed(self._room, self._last + 1, last))
            self._last = last

    def _mark_stale(self, seq: int) -> None:
        self._stale_from = min(seq, self._stale_from or seq)

    def _tell_changes(self, fetch: Fetch, page: list[Message]) -> None:
        """Tells the edits among messages that were delivered before."""
        reached = fetch.after
        for message in page:
            if not reached < message.seq <= self._last or self._full:
                break
            if message.deleted:
                self._events.append(Deleted(self._room, message.seq, message.revision))
            elif message.revision:
                self._events.append(Edited(self._room, message.seq, message.revision, message.body))
            reached = message.seq
        done = reached >= self._last or (reached == fetch.after and not self._full)
        if not done:
            self._mark_stale(reached + 1)

    def _tell_unrecovered(self, event: Unrecovered) -> None:
        """Appends it, or widens the one at the end, so that a flapping connection adds nothing."""
        if self._events and isinstance(self._events[-1], Unrecovered):
            event = Unrecovered(self._room, self._events.pop().since, event.position)  # type: ignore[union-attr]
        self._events.append(event)


def _after(event: Message | Missed | Unrecovered, position: Position | None) -> Position | None:
    """Where the application stands once it knows of `event`."""
    match event:
        case Unrecovered(since=since, position=now):
            return Position(now.epoch, min(since.seq, now.seq))
        case Missed(last=seq) | Message(seq=seq) if position is not None:
            return Position(position.epoch, seq)
    return position

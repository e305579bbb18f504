"""Bugs to plant, to see that the simulation finds them: each takes the place of something that is right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

from chat.domain.errors import ChatError
from chat.domain.messages import Appended, NewMessage, Position
from chat.domain.rooms import RoomId
from chat.realtime.backlog import Backlog
from chat.realtime.joins import Joins
from chat.realtime.recent import Delivered
from chat.realtime.room_feed import RoomFeed
from chat.services import Posting, events
from chat.services.announcer import Announcer
from tests.support.memory_stores import MemoryMessageStore


def early() -> Any:
    """A message that came too early is delivered at once."""
    posted = RoomFeed.posted

    def deliver(self: RoomFeed, event: events.Posted, size: int) -> None:
        if event.seq > self.backlog.seq:
            self.backlog.seq = event.seq - 1
        posted(self, event, size)

    return mock.patch.object(RoomFeed, "posted", deliver)


def twice() -> Any:
    """A message that came twice is delivered twice."""
    posted = RoomFeed.posted

    def deliver(self: RoomFeed, event: events.Posted, size: int) -> None:
        if event.seq == self.backlog.seq:
            self.backlog.seq -= 1
        posted(self, event, size)

    return mock.patch.object(RoomFeed, "posted", deliver)


def trusting() -> Any:
    """What the broker lost is never looked for."""
    return mock.patch.object(RoomFeed, "compare")


def hasty() -> Any:
    """A message that may not be stored is acknowledged."""
    post = Posting.post

    async def acknowledge(self: Posting, submissions: Sequence[Any]) -> list[Appended | ChatError]:
        return [
            answer if isinstance(answer, Appended) else Appended("e1", 1, 0, False)
            for answer in await post(self, submissions)
        ]

    return mock.patch.object(Posting, "post", acknowledge)


def forgetful() -> Any:
    """A message that is sent again is stored again."""
    append = MemoryMessageStore._append

    def store(self: MemoryMessageStore, new: NewMessage) -> Appended | ChatError:
        self._keys.clear()
        return append(self, new)

    return mock.patch.object(MemoryMessageStore, "_append", store)


def partial_resume() -> Any:
    """Who missed more than is at hand gets a part of it."""
    missed = Backlog.missed

    def some(self: Backlog, since: Position) -> list[Delivered] | None:
        found = missed(self, since)
        return found if found is None or len(found) < 3 else found[1:]

    return mock.patch.object(Backlog, "missed", some)


def lenient() -> Any:
    """Who is removed goes on listening."""
    return mock.patch.object(Joins, "_remove")


def discreet() -> Any:
    """A removal that cannot be told at once is never told."""
    return mock.patch.object(Announcer, "_owe")


def silent_gap() -> Any:
    """A slow consumer goes on behind what it missed, without being told."""

    def go_on(self: Joins, session: Any, missed: dict[str, int]) -> None:
        for topic in missed:
            if RoomId(topic) in session.rooms:
                self._gateway.subscribe(session.connection, topic)

    return mock.patch.object(Joins, "catch_up", go_on)


BUGS: dict[str, Callable[[], Any]] = {
    bug.__name__: bug
    for bug in (early, twice, trusting, hasty, forgetful, partial_resume, lenient, discreet, silent_gap)
}


@contextlib.contextmanager
def planted(name: str | None) -> Iterator[None]:
    """With that bug in the program, or with none."""
    with BUGS[name]() if name is not None else contextlib.nullcontext():
        yield

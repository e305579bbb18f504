"""A joined room: its messages and events in order, and what one can do in it."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import trio

from ..domain.errors import Invalid
from ..domain.messages import MAX_BODY_BYTES
from .backoff import full_jitter
from .calls import Calls, Signal
from .errors import RemovedFromRoom
from .events import (
    Deleted,
    Edited,
    Event,
    MemberChanged,
    Message,
    Online,
    Page,
    Position,
    PresenceChanged,
    Published,
    ReadMark,
    Typing,
    parse,
)
from .keys import new_key
from .outbox import Answer, Request
from .resume import Feed, Fetch

MAX_BODY_DEPTH = 24
"""Maps and lists within each other; the server closes a connection that sends much more."""

_NOTICES: dict[str, type[Event]] = {
    "presence": PresenceChanged,
    "typing": Typing,
    "read": ReadMark,
    "member": MemberChanged,
}


class Joined(msgspec.Struct, frozen=True):
    """The answer to `join`."""

    epoch: str
    seq: int
    recovered: bool = False
    members_online: int = 0


class Room:
    """A room that was joined with `Client.join`. Iterating gives its messages, in order, each exactly once.

    One task reads at a time. A reader may be as slow as it likes: what does not fit in the buffer is read
    from the history later. What is said here of requests holds for every method: they wait for the connection
    if it is away, and raise the `ChatError` that the server answers.
    """

    def __init__(self, room: str, calls: Calls, since: Position | None, capacity: int) -> None:
        self.id = room
        self._calls = calls
        self._feed = Feed(room, since, capacity)
        self._news = Signal()
        self._connected = False
        self._joining = False
        self._entered = trio.Event()
        self._error: Exception | None = None
        self._left = False
        self._reading = False
        self._stalled = 0

    @property
    def position(self) -> Position | None:
        """After the last message that the application has read; give it to `join` to resume there."""
        return self._feed.position

    def __aiter__(self) -> AsyncIterator[Message]:
        return _Messages(self)

    def events(self) -> AsyncIterator[Event]:
        """Everything that happens, messages among them. Reads from the same buffer as iterating the room."""
        return _Events(self)

    async def publish(self, body: str | Mapping[str, Any], *, key: str | None = None) -> Published:
        """Returns when the server has stored the message; it comes back to this room like everybody else's.

        `body` is a text, or a map with the key `text`, at most 16 KiB. The messages of concurrent calls are sent in
        the order of the calls. Cancelling withdraws a message that was not sent; one that was may be stored. To make
        sure of it, publish again with the same `key` (which no other message of this user in this room has): however
        often that is sent, it is one message.
        """
        fields = {"room": self.id, "key": key or new_key(), "body": checked_body(body)}
        return parse(await self._calls.ask("publish", fields, lane=self.id), Published)

    async def history(self, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
        """At most `limit` (1 to 200) messages with seq < `before` or > `after`, oldest first; else the newest."""
        bounds = {name: seq for name, seq in (("before", before), ("after", after)) if seq is not None}
        answer = await self._calls.ask("history", {"room": self.id, "limit": limit, **bounds})
        return Page(self._messages(answer), answer.get("more") is True, answer.get("epoch"))

    async def edit(self, seq: int, body: str | Mapping[str, Any]) -> None:
        """Replaces the body of one's own message."""
        await self._calls.ask("edit", {"room": self.id, "seq": seq, "body": checked_body(body)})

    async def delete(self, seq: int) -> None:
        """Empties a message: one's own, or as a moderator any."""
        await self._calls.ask("delete", {"room": self.id, "seq": seq})

    async def mark_read(self, seq: int) -> None:
        """Everything up to `seq` has been read. A mark only ever rises."""
        await self._calls.ask("read", {"room": self.id, "seq": seq})

    async def typing(self) -> None:
        """Tells the others that the user is writing; says nothing at all while the connection is away."""
        await trio.lowlevel.checkpoint()
        if self._connected:
            self._calls.start(Request("typing", {"room": self.id}, lambda answer: None, survives=False))

    async def online(self) -> Online:
        """Who is there now."""
        return parse(await self._calls.ask("presence", {"room": self.id}), Online)

    async def leave(self) -> None:
        """Stops following the room; the user stays a member. Whoever iterates it comes to the end."""
        await trio.lowlevel.checkpoint()
        self._stop()

    @property
    def _over(self) -> bool:
        return self._left or self._error is not None

    async def _wait_entered(self) -> None:
        await self._entered.wait()
        if self._error:
            raise self._error

    def _abandon(self) -> None:
        """A task that waited to enter is cancelled; if nobody else waits, the room is not wanted any more."""
        if not self._entered.is_set() and self._entered.statistics().tasks_waiting == 0:
            self._stop()

    def _stop(self) -> None:
        if self._connected and not self._over:
            self._calls.start(Request("leave", {"room": self.id}, lambda answer: None, survives=False))
        self._left = True
        self._news.set()

    def _handle_connected(self) -> None:
        self._connected = True
        self._pump()

    def _handle_disconnected(self) -> None:
        self._connected = self._joining = False
        self._feed.disconnected()

    def _handle_push(self, push: dict[str, Any]) -> None:
        """Takes a push of this room. Kinds that are not known are ignored. Raises: ProtocolViolation."""
        match kind := push["push"]:
            case "message":
                self._feed.pushed(parse(push, Message), str(push.get("epoch")))
            case "edited":
                self._feed.changed(parse(push, Edited))
            case "deleted":
                self._feed.changed(parse(push, Deleted))
            case "gap":
                gap = parse(push, _Gap)
                self._feed.gap(gap.first, gap.last, gap.epoch)
            case "removed":
                self._fail(RemovedFromRoom(str(push.get("reason") or "removed")))
            case _ if kind in _NOTICES:
                self._feed.noticed(parse(push, _NOTICES[kind]))
        self._pump()

    def _fail(self, error: Exception) -> None:
        """Nothing more comes; the reader is told after what waits for it."""
        self._error = self._error or error
        self._entered.set()
        self._news.set()

    def _pump(self) -> None:
        """Asks the server for whatever the feed needs next."""
        self._news.set()
        if self._over or not self._connected or self._joining:
            return
        if not self._feed.live:
            self._joining = True
            self._start("join", self._feed.join_fields(), self._handle_joined)
        elif fetch := self._feed.wanted():
            fields = {"room": self.id, "after": fetch.after, "limit": fetch.limit}
            self._start("history", fields, functools.partial(self._handle_page, fetch))

    def _start(self, op: str, fields: dict[str, Any], resolve: Any) -> None:
        delay = full_jitter(self._stalled) if self._stalled else 0.0
        self._calls.start(Request(op, fields, resolve, survives=False), delay)

    def _handle_joined(self, answer: Answer) -> None:
        self._joining = False
        if isinstance(answer, Exception):
            self._fail(answer)
            return
        joined = parse(answer, Joined)
        self._feed.joined(Position(joined.epoch, joined.seq), joined.recovered)
        self._entered.set()
        self._pump()

    def _handle_page(self, fetch: Fetch, answer: Answer) -> None:
        if isinstance(answer, Exception):
            self._fail(answer)
            return
        brought = self._feed.filled(fetch, self._messages(answer), answer.get("epoch"))
        self._stalled = 0 if brought else self._stalled + 1
        self._pump()

    def _messages(self, answer: dict[str, Any]) -> list[Message]:
        messages = answer.get("messages")
        if not isinstance(messages, list):
            messages = [None]
        return [parse({**item, "room": self.id} if isinstance(item, dict) else item, Message) for item in messages]

    async def _next(self) -> Event | None:
        """The next event; None at the end."""
        if self._reading:
            raise trio.BusyResourceError("another task is reading this room")
        self._reading = True
        try:
            await trio.lowlevel.checkpoint()
            while (event := self._feed.take()) is None:
                if self._error:
                    raise self._error
                if self._left:
                    return None
                await self._news.wait()
            self._pump()
            return event
        finally:
            self._reading = False


class _Gap(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    epoch: str
    first: int
    last: int


class _Events:
    """All events of a room."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> Event:
        event = await self._room._next()
        if event is None:
            raise StopAsyncIteration
        return event


class _Messages:
    """Its messages only."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> Message:
        while (event := await self._room._next()) is not None:
            if isinstance(event, Message):
                return event
        raise StopAsyncIteration


def checked_body(body: str | Mapping[str, Any]) -> dict[str, Any]:
    """The body of a message in plain types. Raises: Invalid for what a server would not take."""
    try:
        plain: dict[str, Any] = (
            {"text": body} if isinstance(body, str) else msgspec.to_builtins(dict(body), str_keys=True)
        )
        size = len(msgspec.msgpack.encode(plain))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Invalid(f"body cannot be sent: {error}") from None
    if size > MAX_BODY_BYTES:
        raise Invalid(f"body is {size} bytes long, at most {MAX_BODY_BYTES} are allowed")
    _check_value(plain, MAX_BODY_DEPTH)
    return plain


def _check_value(value: Any, levels: int) -> None:
    if levels == 0:
        raise Invalid(f"body is nested deeper than {MAX_BODY_DEPTH}")
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"body holds {value}, which is no number to send")
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_value(child, levels - 1)

"""The client: one user's connection to a server, kept up for as long as its block runs."""

from __future__ import annotations

import enum
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar
from urllib.parse import urlsplit

import trio

from ..domain.errors import ChatError, Invalid, Unauthenticated
from .backoff import Backoff
from .calls import Calls
from .codec import Encoding, codec
from .config import ClientConfig
from .connection import Connection, Hello
from .credentials import Credentials
from .errors import ClientError, ConnectionLost
from .events import Member, Position, RoomChanged, RoomInfo, User, parse
from .http import HttpApi
from .room import Room
from .way import Way

_ROOM_ID = re.compile(r"[a-z0-9_-]{1,32}")
CLOSE_SECONDS = 1.0
"""For the closing handshake at the end of the block."""
P = ParamSpec("P")
T = TypeVar("T")


class State(enum.Enum):
    """What a client is doing about its connection."""

    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    """Waiting until it tries again."""


OnState = Callable[[State, str], None]
"""Told of every change, with the reason in words. Must not block."""
OnRoom = Callable[[RoomChanged], None]
"""Told when the user's list of rooms changes, by whomever. Must not block."""


class Client:
    """Made by `open_client`. What goes over HTTP (all but `join`) raises `ConnectionLost` if the server is away."""

    user: User
    node: str
    """The node that serves the present connection."""

    def __init__(
        self,
        url: str,
        api: HttpApi,
        credentials: Credentials,
        encoding: Encoding,
        ssl_context: ssl.SSLContext | None,
        config: ClientConfig,
        on_state: OnState | None,
        on_room: OnRoom | None,
    ) -> None:
        self.state = State.CONNECTING
        self._url = urlsplit(url)
        self._api = api
        self._credentials = credentials
        self._codec = codec(encoding)
        self._ssl_context = ssl_context
        self._config = config
        self._way = Way(self._url, api, credentials, config.region) if config.route else None
        self._on_state = on_state
        self._on_room = on_room
        self._calls = Calls(config.max_waiting, self._codec)
        self._backoff = Backoff(config.backoff_base_seconds, config.backoff_cap_seconds)
        self._rooms: dict[str, Room] = {}
        self._connection: Connection | None = None
        self._opened_at: float | None = None
        self._reconnect_at: float | None = None
        self._ready = trio.Event()
        self._ended = trio.Event()
        self._closing = False
        self._error: ClientError | ChatError | None = None

    async def join(self, room: str, *, since: Position | None = None) -> Room:
        """Follows a room by its id, becoming a member if it is public; the same `Room` if it is followed already.

        Messages come from now on, or from `since` (a `Room.position` of an earlier run). Raises: Invalid, NotFound …
        """
        if not _ROOM_ID.fullmatch(room):
            raise Invalid("room must be the id of a room")
        found = self._rooms.get(room)
        if found is None or found._over:
            self._forget_rooms()
            found = self._rooms[room] = Room(room, self._calls, since, self._config.room_capacity)
            if self.state is State.ONLINE:
                found._handle_connected()
        try:
            await found._wait_entered()
        except trio.Cancelled:
            found._abandon()
            raise
        return found

    async def rooms(self) -> list[RoomInfo]:
        """The rooms that the user is a member of."""
        return await self._authorized(self._api.rooms)

    async def public_rooms(self, after: str | None = None, limit: int = 100) -> list[RoomInfo]:
        """Rooms that everybody may join, by id, from the one after `after`."""
        return await self._authorized(self._api.public_rooms, after, limit)

    async def create_room(self, name: str, kind: str = "public") -> RoomInfo:
        """A new room, `public` or `private`, which the user owns. Not repeated if the connection breaks."""
        return await self._authorized(self._api.create_room, name, kind)

    async def direct(self, user: str) -> RoomInfo:
        """The room of this user and another one, by id: always the same."""
        return await self._authorized(self._api.direct, user)

    async def members(self, room: str, after: str | None = None, limit: int = 100) -> list[Member]:
        """Members by id, from the one after `after`."""
        return await self._authorized(self._api.members, room, after, limit)

    async def set_role(self, room: str, user: str, role: str | None) -> None:
        """Invites (`member`), promotes, demotes, bans (`banned`) a user, or with None removes or pardons them."""
        await self._authorized(self._api.set_role, room, user, role)

    async def _authorized(
        self, request: Callable[Concatenate[str, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Makes a request, again with a fresh token if the server does not take the present one any more."""
        token = await self._credentials.token()
        try:
            return await request(token, *args, **kwargs)
        except Unauthenticated:
            if not self._credentials.renewable:
                raise
        return await request(await self._credentials.renew(), *args, **kwargs)

    async def _run(self, scope: trio.CancelScope) -> None:
        """Connects again and again, until the block ends or an error ends the client."""
        try:
            while not self._closing:
                await self._connect()
        except (ClientError, ChatError) as error:
            self._end(error)
            scope.cancel()
        finally:
            self._ended.set()

    async def _connect(self) -> None:
        """One connection from dialling to its end, and the pause after it."""
        self._change(State.CONNECTING, self._url.netloc)
        try:
            url = await self._way.find() if self._way is not None else self._url
            self._connection = Connection(
                url, self._ssl_context, self._codec, self._config, self._credentials, self._calls
            )
            await self._connection.run(self._handle_opened, self._handle_push)
        except ConnectionLost as lost:
            if self._closing:
                return
            delay = self._pause(lost)
            self._change(State.OFFLINE, str(lost))
        finally:
            self._handle_disconnected()
        await trio.sleep(delay)

    def _handle_opened(self, hello: Hello) -> None:
        self.user, self.node = hello.user, hello.node
        self._opened_at = trio.current_time()
        self._reconnect_at = None
        if self._way is not None:
            self._way.arrived()
        self._change(State.ONLINE, hello.node)
        self._forget_rooms()
        for room in self._rooms.values():
            room._handle_connected()
        self._ready.set()

    def _forget_rooms(self) -> None:
        """Drops those that were left or failed."""
        self._rooms = {name: room for name, room in self._rooms.items() if not room._over}

    def _handle_push(self, push: dict[str, Any]) -> None:
        if push["push"] == "bye":
            delay = push.get("reconnect_after_ms")
            if isinstance(delay, int | float) and delay >= 0:
                self._reconnect_at = trio.current_time() + delay / 1000
        elif push["push"] == "room":
            if self._on_room is not None:
                self._on_room(parse(push, RoomChanged))
        elif (room := self._rooms.get(str(push.get("room")))) is not None and not room._over:
            room._handle_push(push)

    def _handle_disconnected(self) -> None:
        self._connection = None
        self._calls.disconnected()
        for room in self._rooms.values():
            room._handle_disconnected()

    def _pause(self, lost: ConnectionLost) -> float:
        """Seconds until the next try: what `bye` or the error asks for, else the back-off's."""
        now, hint = trio.current_time(), lost.retry_after
        if self._opened_at is not None:
            self._backoff.lasted(now - self._opened_at)
            self._opened_at = None
        if lost.slowly:
            self._backoff.slow_down()
        if self._reconnect_at is not None:
            hint = max(0.0, self._reconnect_at - now)
            self._reconnect_at = None
        return min(self._backoff.delay(hint), self._config.max_reconnect_seconds)

    def _change(self, state: State, why: str) -> None:
        self.state = state
        if self._on_state is not None:
            self._on_state(state, why)

    async def _close(self) -> None:
        """The closing handshake, if it takes no longer than a moment."""
        self._closing = True
        if self._connection is not None and self.state is State.ONLINE:
            with trio.move_on_after(CLOSE_SECONDS):
                await self._connection.close()
                await self._ended.wait()

    def _end(self, error: ClientError | ChatError | None) -> None:
        """Everybody who waits for something is told that it will not come."""
        self._error = self._error or error
        closed = self._calls.close(error)
        for room in self._rooms.values():
            room._fail(closed)


@asynccontextmanager
async def open_client(
    url: str,
    *,
    name: str | None = None,
    password: str | None = None,
    token: str | None = None,
    encoding: Encoding = "cbor",
    ssl_context: ssl.SSLContext | None = None,
    config: ClientConfig | None = None,
    on_state: OnState | None = None,
    on_room: OnRoom | None = None,
) -> AsyncIterator[Client]:
    """Signs in with `name` and `password`, or with an access `token`, and stays connected until the block ends.

    Waits for the first connection for as long as it takes (`trio.fail_after` limits it), and reconnects by itself
    after that: the block notices nothing but time. It is cancelled, and the error raised in its place, when the
    server ends the session (`SessionEnded`), does not accept the credentials (`Unauthenticated`), or cannot be
    understood (`ProtocolViolation`, `HandshakeRefused`). Leaving the block closes the connection; requests without
    an answer are given up.
    """
    async with HttpApi(url, ssl_context) as api:
        credentials = Credentials(api, name, password, token)
        client = Client(url, api, credentials, encoding, ssl_context, config or ClientConfig(), on_state, on_room)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client._run, nursery.cancel_scope)
                await client._ready.wait()
                yield client
                await client._close()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if client._error is None:
                _raise_alone(group)
        finally:
            client._end(None)
        if client._error is not None:
            raise client._error


async def register(url: str, name: str, password: str, *, ssl_context: ssl.SSLContext | None = None) -> User:
    """Makes an account. Raises: Conflict, Invalid, RateLimited; ConnectionLost."""
    async with HttpApi(url, ssl_context) as api:
        return await api.register(name, password)


def _raise_alone(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raises what the block raised as it was, not in the group that the nursery makes of it."""
    if len(group.exceptions) > 1:
        raise group
    error = group.exceptions[0]
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context, group

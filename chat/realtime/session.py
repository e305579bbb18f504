"""One connection's life in chat, and where to find the sessions of a user."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeVar

from gateway_core.gateway import ConnectionId

from ..domain.rooms import Role, RoomId
from ..domain.users import Identity, SessionId, UserId
from .codecs import Codec, Command
from .config import RealtimeConfig

_Id = TypeVar("_Id", UserId, SessionId)


class Session:
    """State of one connection. Small and passive: while the client is silent nothing of it runs."""

    __slots__ = (
        "busy",
        "closed",
        "codec",
        "commands",
        "connection",
        "deadline",
        "identity",
        "joining",
        "queued_bytes",
        "recovered_until",
        "refused",
        "rooms",
    )

    def __init__(self, connection: ConnectionId, codec: Codec, deadline: float) -> None:
        self.connection = connection
        self.codec = codec
        self.deadline = deadline
        """When it closes with 4501 (trio's clock): until `hello`, and again when its token has expired."""
        self.identity: Identity | None = None
        self.rooms: dict[RoomId, Role] = {}
        """Joined rooms, with the user's role as last heard."""
        self.joining: tuple[RoomId, ...] = ()
        """The rooms that joins are under way to, but for those that the user loses meanwhile."""
        self.commands: list[Command] | None = None
        """Waiting for the one that is worked on."""
        self.queued_bytes = 0
        self.refused = 0
        """Commands refused since the queue last had room."""
        self.busy = False
        """Whether a task works on its commands."""
        self.closed = False
        """Nothing is carried out or sent any more."""
        self.recovered_until = -math.inf
        """When the missed messages that were sent so far count as read (see `may_recover`)."""

    def take(self) -> list[Command]:
        """The waiting commands; the queue is empty afterwards."""
        commands, self.commands = self.commands, None
        self.queued_bytes = 0
        return commands or []

    def offer(self, commands: list[Command], size: int, config: RealtimeConfig) -> list[Command]:
        """Queues `commands`, a frame of `size` bytes, and returns those that there is no room for."""
        waiting = self.commands
        if not waiting and len(commands) <= config.max_queued_commands:
            self.commands = commands
            self.queued_bytes = size
            self.refused = 0
            return []
        if waiting is None:
            waiting = self.commands = []
        room = config.max_queued_commands - len(waiting)
        if self.queued_bytes + size > config.max_queued_bytes and waiting:
            room = 0
        accepted, refused = commands[:room], commands[room:]
        waiting += accepted
        if accepted:
            self.queued_bytes += size
        self.refused = self.refused + len(refused) if refused else 0
        return refused

    def may_recover(self, size: int, now: float, config: RealtimeConfig) -> bool:
        """Whether `size` bytes of missed messages may be sent at once; takes them from the allowance if so."""
        rate = config.recovery_bytes_per_second
        until = max(now, self.recovered_until) + size / rate
        if until - now > config.max_recovery_bytes / rate:
            return False
        self.recovered_until = until
        return True


class Sessions:
    """All sessions of this node, by connection, by user and by sign-in."""

    def __init__(self) -> None:
        self._by_connection: dict[ConnectionId, Session] = {}
        self._of_user: dict[UserId, tuple[Session, ...]] = {}
        self._of_sign_in: dict[SessionId, tuple[Session, ...]] = {}

    def __len__(self) -> int:
        return len(self._by_connection)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_connection.values())

    def add(self, session: Session) -> None:
        """A connection was accepted."""
        self._by_connection[session.connection] = session

    def of_connection(self, connection: ConnectionId) -> Session | None:
        return self._by_connection.get(connection)

    def of_user(self, user: UserId) -> tuple[Session, ...]:
        return self._of_user.get(user, ())

    def of_sign_in(self, session: SessionId) -> tuple[Session, ...]:
        """The connections that were authenticated by one sign-in."""
        return self._of_sign_in.get(session, ())

    def identify(self, session: Session, identity: Identity) -> None:
        """The session speaks for `identity` from now on."""
        self._forget_identity(session)
        session.identity = identity
        self._of_user[identity.user.id] = (*self.of_user(identity.user.id), session)
        self._of_sign_in[identity.session] = (*self.of_sign_in(identity.session), session)

    def discard(self, connection: ConnectionId) -> Session | None:
        """Forgets a connection that has gone, and returns its session if it had one."""
        session = self._by_connection.pop(connection, None)
        if session is not None:
            self._forget_identity(session)
        return session

    def _forget_identity(self, session: Session) -> None:
        if session.identity is not None:
            _remove(self._of_user, session.identity.user.id, session)
            _remove(self._of_sign_in, session.identity.session, session)


def _remove(index: dict[_Id, tuple[Session, ...]], key: _Id, session: Session) -> None:
    left = tuple(other for other in index[key] if other is not session)
    if left:
        index[key] = left
    else:
        del index[key]

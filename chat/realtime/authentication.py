"""Who a connection speaks for: hello, refresh, expiry and revocation."""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio

from gateway_core.gateway import CloseCode, Gateway

from ..domain.errors import ChatError, Forbidden, Invalid, RateLimited, Unauthenticated
from ..domain.messages import HISTORY_LIMIT, MAX_BODY_BYTES
from ..domain.users import Identity, SessionId, UserId
from ..services import Services
from . import fields
from .codecs import MAX_BATCH, MAX_DEPTH, Command
from .config import RealtimeConfig
from .pushes import WireMap
from .session import Session, Sessions


class Authentication:
    """Gives sessions their identity, and takes the connection away when it ends."""

    def __init__(self, gateway: Gateway, services: Services, sessions: Sessions, config: RealtimeConfig) -> None:
        self._gateway = gateway
        self._auth = services.auth
        self._sessions = sessions
        self._config = config
        self._limits: WireMap = {
            "max_message_bytes": config.max_message_bytes,
            "max_body_bytes": MAX_BODY_BYTES,
            "max_batch": MAX_BATCH,
            "max_depth": MAX_DEPTH,
            "max_history": HISTORY_LIMIT,
            "max_rooms": config.max_rooms_per_connection,
            "max_recovery_messages": config.max_recovery_messages,
            "frames_per_second": config.frames_per_second,
            "frame_burst": config.frame_burst,
            "bytes_per_second": config.bytes_per_second,
            "bytes_burst": config.bytes_burst,
            "publish_per_second": services.limits.publish_per_user.per_second,
            "publish_burst": services.limits.publish_per_user.burst,
        }
        self._under_way: dict[int, set[str]] = {}
        """For each verification under way, by its id, the sign-ins and users that were revoked meanwhile."""

    async def verify(self, token: str) -> Identity:
        """Who `token` speaks for, at the moment this returns. Raises: Unauthenticated, Unavailable."""
        [answer] = await self.verify_each([token])
        if isinstance(answer, ChatError):
            raise answer
        return answer

    async def verify_each(self, tokens: Sequence[str]) -> list[Identity | ChatError]:
        """The same for many, with an answer for each.

        A revocation that arrives between the look into the store and the answer is not missed.
        """
        revoked: set[str] = set()
        self._under_way[id(revoked)] = revoked
        try:
            answers = await self._auth.verify_each(tokens, resume=True)
        finally:
            del self._under_way[id(revoked)]
        return [_unless(revoked, answer) if revoked else answer for answer in answers]

    def check_room_for(self, user: UserId) -> None:
        """Raises: RateLimited if the user has too many connections to this node."""
        if len(self._sessions.of_user(user)) >= self._config.max_connections_per_user:
            raise RateLimited(f"a user has at most {self._config.max_connections_per_user} connections", retry_after=60)

    def identify(self, session: Session, identity: Identity) -> None:
        """The connection speaks for `identity` until its token has expired and the grace is over."""
        self._sessions.identify(session, identity)
        session.deadline = trio.current_time() + _left(identity) + self._config.expiry_grace_seconds

    async def hello(self, session: Session, command: Command) -> WireMap:
        """The first command: with a token, unless the handshake carried it. Raises: Unauthenticated."""
        if session.identity is None:
            identity = await self.verify(fields.text(command, "token", fields.MAX_TOKEN_CHARACTERS))
            if session.closed:
                raise Unauthenticated("the connection is closed")
            self.check_room_for(identity.user.id)
            self.identify(session, identity)
        elif command.get("token") is not None:
            await self.refresh(session, session.identity, command)
        return self._welcome(session, session.identity)

    async def refresh(self, session: Session, who: Identity, command: Command) -> WireMap:
        """Takes a new token of the same user; rooms and subscriptions stay. Raises: Forbidden for another user's."""
        identity = await self.verify(fields.text(command, "token", fields.MAX_TOKEN_CHARACTERS))
        if identity.user.id != who.user.id:
            raise Forbidden("the token is of another user")
        if session.closed:
            raise Unauthenticated("the connection is closed")
        self.identify(session, identity)
        return {"expires_in": _left(identity)}

    def revoke(self, sign_in: SessionId) -> None:
        """A sign-in is over: closes its connections."""
        self._end(self._sessions.of_sign_in(sign_in), sign_in, CloseCode.SESSION_REVOKED, "the session is over")

    def sign_out(self, user: UserId) -> None:
        """All sessions of a user are over: closes their connections."""
        self._end(self._sessions.of_user(user), user, CloseCode.SESSION_REVOKED, "the session is over")

    def ban(self, user: UserId) -> None:
        """An account is banned: closes its connections."""
        self._end(self._sessions.of_user(user), user, CloseCode.BANNED, "the account is banned")

    def expire(self, now: float) -> None:
        """Closes connections that have not said hello in time or did not refresh their token."""
        for session in self._sessions:
            if session.deadline <= now and not session.closed:
                reason = "no hello" if session.identity is None else "the access token has expired"
                self._close(session, CloseCode.UNAUTHENTICATED, reason)

    def _end(self, sessions: tuple[Session, ...], revoked: str, code: CloseCode, reason: str) -> None:
        for meanwhile in self._under_way.values():
            meanwhile.add(revoked)
        for session in sessions:
            self._close(session, code, reason)

    def _close(self, session: Session, code: CloseCode, reason: str) -> None:
        session.closed = True
        self._gateway.close(session.connection, code, reason)

    def _welcome(self, session: Session, identity: Identity | None) -> WireMap:
        if identity is None:
            raise Invalid("token is missing")
        return {
            "user": {"id": identity.user.id, "name": identity.user.name},
            "session": f"{self._config.node}:{session.connection}",
            "node": self._config.node,
            "limits": self._limits,
            "heartbeat_seconds": self._config.heartbeat_seconds,
            "expires_in": _left(identity),
        }


def _unless(revoked: set[str], answer: Identity | ChatError) -> Identity | ChatError:
    """`answer`, unless its sign-in or user is among the revoked."""
    if isinstance(answer, Identity) and not revoked.isdisjoint((answer.session, answer.user.id)):
        return Unauthenticated("the session is over")
    return answer


def _left(identity: Identity) -> float:
    """Seconds until the token expires, to the millisecond."""
    return round(max(0.0, identity.expires - time.time()), 3)

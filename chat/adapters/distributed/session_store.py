"""`SessionStore` on Redis: a hash for each session, and the sessions of each user.

A session's id begins with a digest of its user, which is the hash tag of its key and of the user's: so that
all of a user's sessions are in one slot, and one script can see to them.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...domain.errors import Unavailable
from ...domain.ids import is_id
from ...domain.users import Session, SessionId, UserId
from ..ids import new_secret
from .keys import safe
from .redis_client import RedisClient
from .redis_command import ScriptCommand
from .redis_scripts import load_script

LIFETIME_SECONDS = 24 * 3600.0
_EXTEND_AFTER_SECONDS = 60.0
"""A session in constant use is written once a minute; nobody notices that it ends a minute early."""
_TAG_CHARACTERS = 6
_SECRET_CHARACTERS = 26
"""130 random bits."""
_UNKNOWN_REVOKED_MS = 3_600_000
"""Longer than an access token lasts, with which a lost session could be restored."""
_CREATE = load_script("session_create")
_TOUCH = load_script("session_touch")
_REVOKE = load_script("session_revoke")
_REVOKE_USER = load_script("session_revoke_user")


class RedisSessionStore:
    """Sessions that end 24 hours after their last use; `clock` gives seconds since the epoch.

    What was ended is remembered for as long as it would have lived, so that it can be told from what was lost.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        lifetime_seconds: float = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._lifetime_seconds = lifetime_seconds
        self._lifetime_ms = round(lifetime_seconds * 1000)
        self._clock = clock

    async def create(self, user: UserId) -> Session:
        session = self._new(SessionId(_tag_of(user) + new_secret()[:_SECRET_CHARACTERS]), user)
        await self._insert(session)
        return session

    async def touch(self, session: SessionId) -> Session | None:
        [found] = await self.touch_each([session])
        if isinstance(found, Unavailable):
            raise found
        return found

    async def touch_each(self, sessions: Sequence[SessionId]) -> list[Session | Unavailable | None]:
        asked = [session for session in sessions if _may_exist(session)]
        found = dict(zip(asked, await self._redis.execute([self._touch(session) for session in asked]), strict=True))
        return [_session(session, found.get(session)) for session in sessions]

    async def restore(self, session: SessionId, user: UserId) -> Session | None:
        if not _may_exist(session) or not session.startswith(_tag_of(user)):
            return None
        restored = self._new(session, user)
        return restored if await self._insert(restored) else await self.touch(session)

    async def revoke(self, session: SessionId) -> bool:
        if not _may_exist(session):
            return False
        prefix, call = _user_prefix(session[:_TAG_CHARACTERS]), secrets.token_hex(8)
        arguments = prefix, session, repr(self._clock()), call, self._lifetime_ms, _UNKNOWN_REVOKED_MS
        return bool(await self._redis.ask(ScriptCommand(_REVOKE, [_session_key(session)], *arguments)))

    async def revoke_user(self, user: UserId) -> list[SessionId]:
        tag = _tag_of(user)
        arguments = _session_prefix(tag), repr(self._clock()), self._lifetime_ms
        revoked = await self._redis.ask(ScriptCommand(_REVOKE_USER, [_user_prefix(tag) + safe(user)], *arguments))
        return [SessionId(session.decode()) for session in revoked]

    def _touch(self, session: SessionId) -> ScriptCommand:
        arguments = repr(self._clock()), repr(self._lifetime_seconds), repr(_EXTEND_AFTER_SECONDS)
        prefix = _user_prefix(session[:_TAG_CHARACTERS])
        return ScriptCommand(_TOUCH, [_session_key(session)], prefix, session, *arguments)

    def _new(self, session: SessionId, user: UserId) -> Session:
        now = self._clock()
        return Session(session, user, now, now + self._lifetime_seconds)

    async def _insert(self, session: Session) -> bool:
        keys = [_session_key(session.id), _user_prefix(session.id[:_TAG_CHARACTERS]) + safe(session.user)]
        times = repr(session.created), repr(session.expires)
        command = ScriptCommand(_CREATE, keys, self._lifetime_ms, session.id, safe(session.user), *times)
        return bool(await self._redis.ask(command))


def _session(session: SessionId, reply: Any) -> Session | Unavailable | None:
    """What the server's reply to a touch says."""
    if reply is None or isinstance(reply, Unavailable):
        return reply
    user, created, expires = reply
    return Session(session, UserId(user.decode()), float(created), float(expires))


def _tag_of(user: UserId) -> str:
    digest = hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=5).digest()
    return base64.b32encode(digest).decode().lower()[:_TAG_CHARACTERS]


def _may_exist(session: SessionId) -> bool:
    """Whether it looks like one of ours; ids come from outside, and become part of a key."""
    return len(session) == _TAG_CHARACTERS + _SECRET_CHARACTERS and is_id(session)


def _session_prefix(tag: str) -> str:
    return f"session:{{{tag}}}:"


def _user_prefix(tag: str) -> str:
    return f"sessions:{{{tag}}}:"


def _session_key(session: SessionId) -> str:
    return _session_prefix(session[:_TAG_CHARACTERS]) + session

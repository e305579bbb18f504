"""`SessionStore` on Redis: a hash for each session, and the sessions of each user.

A session's id begins with a digest of its user, which is the hash tag of its key and of the user's: so that
all of a user's sessions are in one slot, and one script can see to them.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable

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
_CREATE = load_script("session_create")
_TOUCH = load_script("session_touch")
_REVOKE = load_script("session_revoke")
_REVOKE_USER = load_script("session_revoke_user")


class RedisSessionStore:
    """Sessions that end 24 hours after their last use; `clock` gives seconds since the epoch."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        lifetime_seconds: float = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._lifetime_seconds = lifetime_seconds
        self._clock = clock

    async def create(self, user: UserId) -> Session:
        tag = _tag_of(user)
        now = self._clock()
        session = Session(SessionId(tag + new_secret()[:_SECRET_CHARACTERS]), user, now, now + self._lifetime_seconds)
        keys = [_session_key(session.id), _user_prefix(tag) + safe(user)]
        times = repr(session.created), repr(session.expires)
        await self._redis.ask(
            ScriptCommand(_CREATE, keys, round(self._lifetime_seconds * 1000), session.id, safe(user), *times)
        )
        return session

    async def touch(self, session: SessionId) -> Session | None:
        if not _may_exist(session):
            return None
        arguments = repr(self._clock()), repr(self._lifetime_seconds), repr(_EXTEND_AFTER_SECONDS)
        prefix = _user_prefix(session[:_TAG_CHARACTERS])
        found = await self._redis.ask(ScriptCommand(_TOUCH, [_session_key(session)], prefix, session, *arguments))
        if found is None:
            return None
        user, created, expires = found
        return Session(session, UserId(user.decode()), float(created), float(expires))

    async def revoke(self, session: SessionId) -> bool:
        if not _may_exist(session):
            return False
        prefix, call = _user_prefix(session[:_TAG_CHARACTERS]), secrets.token_hex(8)
        arguments = prefix, session, repr(self._clock()), call
        return bool(await self._redis.ask(ScriptCommand(_REVOKE, [_session_key(session)], *arguments)))

    async def revoke_user(self, user: UserId) -> list[SessionId]:
        tag = _tag_of(user)
        command = ScriptCommand(
            _REVOKE_USER, [_user_prefix(tag) + safe(user)], _session_prefix(tag), repr(self._clock())
        )
        return [SessionId(session.decode()) for session in await self._redis.ask(command)]


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

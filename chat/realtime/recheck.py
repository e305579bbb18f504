"""Asks again who may be here, after events may have been lost: a removal or a revocation among them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVarTuple, Unpack

import structlog
import trio

from ..domain.errors import ChatError, Forbidden, NotFound, Unauthenticated, Unavailable
from ..domain.rooms import Operation, RoomId
from ..domain.users import Identity, UserId
from ..services import Services, events
from .authentication import Authentication
from .config import RealtimeConfig
from .joins import Joins
from .session import Sessions

T = TypeVarTuple("T")

_SIGN_INS = 500
"""Asked for at a time."""

_log = structlog.get_logger(__name__)


class Recheck:
    """Looks into the stores for those who are connected here; one question at a time, so that a fleet can ask too.

    `run` must run for as long as it is used.
    """

    def __init__(
        self,
        services: Services,
        sessions: Sessions,
        joins: Joins,
        authentication: Authentication,
        config: RealtimeConfig,
    ) -> None:
        self._auth = services.auth
        self._rooms = services.rooms
        self._sessions = sessions
        self._joins = joins
        self._authentication = authentication
        self._config = config
        self._doubtful: set[str] = set()
        self._work = trio.Event()

    def resumed(self, channels: Sequence[str]) -> None:
        """Events on `channels` may have been lost."""
        self._doubtful.update(channels)
        self._work.set()

    async def run(self) -> None:
        """Settles what is in doubt, for ever."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            channels, self._doubtful = self._doubtful, set()
            if events.CONTROL in channels:
                await self.check_sign_ins()
            await self._check_members(channels)

    async def check_sign_ins(self) -> None:
        """Ends the connections of sign-ins that are over, however long it takes to find out.

        A ban has ended all sign-ins of a user.
        """
        present = (session.identity for session in self._sessions if session.identity is not None)
        doubtful = list({identity.session: identity for identity in present}.values())
        pause = self._config.hold_seconds
        while doubtful:
            unknown: list[Identity] = []
            for start in range(0, len(doubtful), _SIGN_INS):
                unknown += await self._check_sign_ins(doubtful[start : start + _SIGN_INS])
            if unknown:
                _log.warning("recheck_postponed", sign_ins=len(unknown))
                await trio.sleep(pause)
                pause = min(2 * pause, self._config.retry_seconds)
            doubtful = unknown

    async def _check_sign_ins(self, identities: Sequence[Identity]) -> list[Identity]:
        """Those of whom nobody could say."""
        unknown: list[Identity] = []
        for identity, answer in zip(identities, await self._auth.recheck_each(identities), strict=True):
            if isinstance(answer, Unauthenticated):
                self._authentication.revoke(identity.session)
            elif isinstance(answer, ChatError):
                unknown.append(identity)
        return unknown

    async def _check_members(self, channels: set[str]) -> None:
        """Ends the feeds of users who are no members any more."""
        joined = {
            (session.identity.user.id, room)
            for session in self._sessions
            if session.identity is not None
            for room in session.rooms
            if events.room_channel(room) in channels
        }
        for user, room in joined:
            await self._until_answered(self._check_member, user, room)

    async def _check_member(self, user: UserId, room: RoomId) -> None:
        try:
            _, role = await self._rooms.authorize(user, room, Operation.PUBLISH)
        except (NotFound, Forbidden):
            role = None
        self._joins.role_changed(self._sessions.of_user(user), room, role, "removed")

    async def _until_answered(self, question: Callable[[Unpack[T]], Awaitable[None]], *about: *T) -> None:
        while True:
            try:
                return await question(*about)
            except Unavailable as error:
                _log.warning("recheck_postponed", error=error.message)
                await trio.sleep(self._config.retry_seconds)

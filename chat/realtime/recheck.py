"""Asks again who may be here, after events may have been lost: a removal or a revocation among them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

import structlog
import trio

from ..domain.errors import ChatError, Unauthenticated, Unavailable
from ..domain.rooms import Operation, RoomId
from ..domain.users import Identity, UserId
from ..services import Services, events
from .authentication import Authentication
from .config import RealtimeConfig
from .joins import Joins
from .session import Sessions

T = TypeVar("T")

_AT_A_TIME = 500
"""Sign-ins, or users of rooms, in one question."""

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
            await self._until_known(self._joined(channels), self._check_members)

    async def check_sign_ins(self) -> None:
        """Ends the connections of sign-ins that are over, however long it takes to find out.

        A ban has ended all sign-ins of a user.
        """
        present = (session.identity for session in self._sessions if session.identity is not None)
        await self._until_known({identity.session: identity for identity in present}.values(), self._check_sign_ins)

    async def _check_sign_ins(self, identities: Sequence[Identity]) -> list[Identity]:
        """Those of whom nobody could say."""
        unknown: list[Identity] = []
        for identity, answer in zip(identities, await self._auth.recheck_each(identities), strict=True):
            if isinstance(answer, Unauthenticated):
                self._authentication.revoke(identity.session)
            elif isinstance(answer, ChatError):
                unknown.append(identity)
        return unknown

    async def _check_members(self, joined: Sequence[tuple[UserId, RoomId]]) -> list[tuple[UserId, RoomId]]:
        """Ends the feeds of users who are no members any more; returns those of whom nobody could say."""
        try:
            answers = await self._rooms.authorize_each(joined, Operation.PUBLISH)
        except Unavailable:
            return [*joined]
        unknown: list[tuple[UserId, RoomId]] = []
        for (user, room), answer in zip(joined, answers, strict=True):
            if isinstance(answer, Unavailable):
                unknown.append((user, room))
            else:
                role = None if isinstance(answer, ChatError) else answer[1]
                self._joins.role_changed(self._sessions.of_user(user), room, role, "removed")
        return unknown

    def _joined(self, channels: set[str]) -> set[tuple[UserId, RoomId]]:
        """Who is in the rooms of `channels`."""
        return {
            (session.identity.user.id, room)
            for session in self._sessions
            if session.identity is not None
            for room in session.rooms
            if events.room_channel(room) in channels
        }

    async def _until_known(self, doubtful: Collection[T], check: Callable[[Sequence[T]], Awaitable[list[T]]]) -> None:
        """Asks about some at a time, and again about those of whom nobody could say."""
        pause = self._config.hold_seconds
        while doubtful:
            left = list(doubtful)
            doubtful = [
                one
                for start in range(0, len(left), _AT_A_TIME)
                for one in await check(left[start : start + _AT_A_TIME])
            ]
            if doubtful:
                _log.warning("recheck_postponed", questions=len(doubtful))
                await trio.sleep(pause)
                pause = min(2 * pause, self._config.retry_seconds)

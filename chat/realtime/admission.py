"""Who may connect: each handshake is judged at once, the tokens of one turn of the loop are looked up together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

import structlog
import trio

from gateway_core.gateway import ConnectionId, Gateway, Request

from ..domain.errors import ChatError
from ..domain.users import Identity
from ..http_api.errors import error_answer
from ..metrics.meters import RealtimeMeter
from ..origins import OriginPolicy
from . import handshake
from .authentication import Authentication
from .config import RealtimeConfig
from .handshake import Handshake
from .room_feed import Spawn
from .session import Session, Sessions

_log = structlog.get_logger(__name__)


class Admission:
    """Answers handshakes: at once with `opened`, or, if a token has to be looked up, after the next `flush`."""

    def __init__(
        self,
        gateway: Gateway,
        authentication: Authentication,
        sessions: Sessions,
        config: RealtimeConfig,
        spawn: Spawn,
        meter: RealtimeMeter,
    ) -> None:
        """`spawn` runs a task that outlives the caller."""
        self._gateway = gateway
        self._authentication = authentication
        self._sessions = sessions
        self._hello_seconds = config.hello_seconds
        self._spawn = spawn
        self._meter = meter
        self._origins = OriginPolicy(config.allowed_origins)
        self._waiting: list[tuple[ConnectionId, Handshake, str]] = []

    def opened(self, connection: ConnectionId, request: Request) -> None:
        """A connection asks to be accepted."""
        try:
            asked = handshake.judge(request, self._origins)
        except ChatError as error:
            self._reject(connection, error)
            return
        if asked.token is None:
            self._accept(connection, asked, None)
        else:
            self._waiting.append((connection, asked, asked.token))

    def flush(self) -> None:
        """Ends a turn: begins to look up its tokens."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._spawn(partial(self._verify, waiting))

    async def _verify(self, waiting: Sequence[tuple[ConnectionId, Handshake, str]]) -> None:
        answers: Sequence[Identity | ChatError]
        try:
            answers = await self._authentication.verify_each([token for *_, token in waiting])
        except Exception:
            _log.exception("handshakes_failed", connections=len(waiting))
            answers = [ChatError("internal error")] * len(waiting)
        for (connection, asked, _), answer in zip(waiting, answers, strict=True):
            if isinstance(answer, ChatError):
                self._reject(connection, answer)
            else:
                self._admit(connection, asked, answer)

    def _admit(self, connection: ConnectionId, asked: Handshake, identity: Identity) -> None:
        try:
            self._authentication.check_room_for(identity.user.id)
        except ChatError as error:
            self._reject(connection, error)
        else:
            self._accept(connection, asked, identity)

    def _accept(self, connection: ConnectionId, asked: Handshake, identity: Identity | None) -> None:
        codec = asked.codec
        if not self._gateway.accept(connection, asked.subprotocol, codec.name):
            return
        self._meter.handshakes[HTTPStatus.SWITCHING_PROTOCOLS] += 1
        session = Session(connection, codec, trio.current_time() + self._hello_seconds)
        self._sessions.add(session)
        if identity is not None:
            self._authentication.identify(session, identity)

    def _reject(self, connection: ConnectionId, error: ChatError) -> None:
        """As the HTTP API would."""
        status, headers, body = error_answer(error)
        if self._gateway.reject(connection, status, headers, body):
            self._meter.handshakes[status] += 1

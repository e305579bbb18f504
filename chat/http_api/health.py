"""Whether the process lives, and whether it should get traffic."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable

import trio

from ..domain.errors import ChatError
from .asgi import AsgiApp, Message, Receive, Send

PROBE_SECONDS = 2.0
"""A store that takes longer for the smallest read is no good to anybody."""
FRESH_SECONDS = 1.0
"""How long an answer of the store holds: so that asking here costs it at most one read a second."""


class Phase(enum.Enum):
    """A node's life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Readiness:
    """Whether traffic is welcome: the node serves, and `probe` returns. A `ChatError` of `probe` is a no."""

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        self.phase = Phase.STARTING
        self._probe = probe
        self._lock = trio.Lock()
        self._checked_at = -FRESH_SECONDS
        self._store_answers = False

    async def reason(self) -> str | None:
        """Why traffic is not welcome; None if it is."""
        if self.phase is not Phase.SERVING:
            return str(self.phase.value)
        async with self._lock:
            if trio.current_time() - self._checked_at >= FRESH_SECONDS:
                self._store_answers = await self._ask()
                self._checked_at = trio.current_time()
        return None if self._store_answers else "the store does not answer"

    async def _ask(self) -> bool:
        with trio.move_on_after(PROBE_SECONDS):
            try:
                await self._probe()
            except ChatError:
                return False
            return True
        return False


class Health:
    """Answers `/healthz` and `/readyz` before anything else gets to see the request."""

    def __init__(self, app: AsgiApp, readiness: Readiness) -> None:
        self._app = app
        self._readiness = readiness

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if path == "/healthz":
            await _answer(send, 200, b"ok\n")
        elif path == "/readyz":
            reason = await self._readiness.reason()
            await _answer(send, 503 if reason else 200, f"{reason or 'ok'}\n".encode())
        else:
            await self._app(scope, receive, send)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

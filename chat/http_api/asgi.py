"""One request carried through an ASGI application and back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

import h11
import structlog
import trio

from .proxies import Network, client_address, is_trusted

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: logged for those who debug."""
_log = structlog.get_logger("chat.access")


class Peer(Protocol):
    """What an exchange needs of its connection."""

    peer: str
    trusted: Sequence[Network]

    async def respond(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...

    async def send(self, event: h11.Event) -> None: ...


class Exchange:
    """A request and what became of it. `status` is 0 until the head of an answer was sent."""

    def __init__(self, peer: Peer, request: h11.Request, body: bytes) -> None:
        self.status = 0
        self._peer = peer
        self._body: bytes | None = body
        self._bytes = 0
        self.scope = _scope(peer, request)

    async def carry_out(self, app: AsgiApp) -> None:
        """Runs the application; it answers every request itself, failures included. Logs the access."""
        started = time.perf_counter()
        try:
            await app(self.scope, self._receive, self._send)
        finally:
            log = _log.debug if self.scope["path"] in _QUIET else _log.info
            log(
                "request",
                method=self.scope["method"],
                path=self.scope["path"],
                status=self.status,
                bytes=self._bytes,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                peer=self.scope["client"][0],
            )

    async def _receive(self) -> Message:
        if self._body is None:
            await trio.sleep_forever()  # no disconnect is ever reported: the deadline of the answer ends all
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            await self._peer.respond(self.status, list(message.get("headers", ())))
            return
        body = message.get("body", b"")
        if body and self.scope["method"] != "HEAD":
            self._bytes += len(body)
            await self._peer.send(h11.Data(data=body))
        if not message.get("more_body", False):
            await self._peer.send(h11.EndOfMessage())


def _scope(peer: Peer, request: h11.Request) -> Message:
    path, _, query = request.target.partition(b"?")
    headers = list(request.headers)
    forwarded = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    schemes = [value for name, value in headers if name == b"x-forwarded-proto"]
    secure = schemes[-1:] == [b"https"] and is_trusted(peer.peer, peer.trusted)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version.decode(),
        "method": request.method.decode(),
        "scheme": "https" if secure else "http",
        "path": unquote(path.decode("ascii"), errors="replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": (client_address(peer.peer, forwarded, peer.trusted), 0),
        "server": None,
    }

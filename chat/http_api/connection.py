"""One HTTP peer: request, answer, and so on, until either side has had enough.

Requests are small, so each is read whole before the application sees it. Every wait has its deadline: the next
request, the rest of a request, the answer; nothing that a peer leaves undone can hold a connection for longer.
"""

from __future__ import annotations

import email.utils
import http
from collections.abc import Sequence
from typing import Any

import h11
import msgspec
import structlog
import trio

from gateway_core import HttpConnection

from .asgi import AsgiApp, Exchange
from .errors import ErrorAnswer, ErrorDetail
from .proxies import Network
from .settings import HttpSettings

MAX_HEADER_BYTES = 16_384
RECEIVE_BYTES = 65_536
LINGER_BYTES = 1_048_576
"""What a peer may still send after our last answer, before the socket is closed under it."""
LINGER_SECONDS = 2.0

_log = structlog.get_logger("chat.http_api")


class Refused(Exception):
    """A request that never reaches the application, and is the last one on its connection."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class Connection:
    """Serves one socket; `serve` returns when it is closed."""

    def __init__(
        self,
        app: AsgiApp,
        settings: HttpSettings,
        trusted: Sequence[Network],
        handed_over: HttpConnection,
        peer: str,
    ) -> None:
        self.done = trio.Event()
        self.peer = peer
        self.trusted = trusted
        self._app = app
        self._settings = settings
        self._idle = trio.CancelScope()
        self._everything = trio.CancelScope()
        self._finishing = False
        self._is_head = False
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(handed_over.socket))
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._received = handed_over.data

    def finish(self) -> None:
        """Ends the connection as soon as no request is under way."""
        self._finishing = True
        self._idle.cancel()

    def abort(self) -> None:
        """Ends it now."""
        self._everything.cancel()

    async def serve(self) -> None:
        """Until the peer closes, breaks the rules or a deadline, or `finish` or `abort` is called."""
        try:
            with self._everything:
                async with self._stream:
                    while await self._serve_request():
                        self._http.start_next_cycle()
                    await self._linger()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer has gone
        except Exception:
            _log.exception("connection failed", peer=self.peer)  # a bug, which must not end the node
        finally:
            self.done.set()

    async def _serve_request(self) -> bool:
        """Answers one request; True if another one may follow."""
        if not await self._wait_for_bytes():
            return False
        try:
            with trio.fail_after(self._settings.http_request_seconds):
                request, body = await self._read_request()
            if request is None:
                return False
            await self._answer(request, body)
        except trio.TooSlowError:
            await self._refuse(Refused(408, "the request took too long"))
        except Refused as refusal:
            await self._refuse(refusal)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _wait_for_bytes(self) -> bool:
        """Returns when the beginning of a request is there; False if none comes."""
        if self._http.trailing_data[0] or self._received:
            return True
        if self._finishing:
            return False
        self._idle = trio.CancelScope(deadline=trio.current_time() + self._settings.http_idle_seconds)
        with self._idle:
            self._received = bytes(await self._stream.receive_some(RECEIVE_BYTES))
        return bool(self._received)

    async def _read_request(self) -> tuple[h11.Request | None, bytes]:
        """The next request with its whole body; None if the peer has closed instead. Raises: Refused."""
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Request):
                request = event
                self._is_head = request.method == b"HEAD"
                self._check(request)
                if self._http.they_are_waiting_for_100_continue:
                    await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._settings.max_http_body_bytes:
                    raise self._too_large()
            elif isinstance(event, h11.EndOfMessage):
                return request, bytes(body)
            else:
                return None, b""

    async def _next_event(self) -> Any:
        try:
            if self._received:
                self._http.receive_data(self._received)
                self._received = b""
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some(RECEIVE_BYTES))
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, f"malformed request: {error}") from None
        return event

    def _check(self, request: h11.Request) -> None:
        """Refuses what two readers might read differently, and what is served elsewhere."""
        headers = dict(request.headers)
        if request.http_version not in (b"1.0", b"1.1"):
            raise Refused(505, "this server speaks HTTP/1.1")
        if b"transfer-encoding" in headers and (b"content-length" in headers or request.http_version < b"1.1"):
            raise Refused(400, "malformed request: the length of the body is ambiguous")
        if not request.target.startswith(b"/"):
            raise Refused(400, "malformed request: the target must be a path")
        if b"@" in headers.get(b"host", b""):
            raise Refused(400, "malformed request: Host must not name a user")
        if any(name == b"upgrade" and b"websocket" in value.lower() for name, value in request.headers):
            raise Refused(426, "open a new connection for a WebSocket", (b"upgrade", b"websocket"))
        if int(headers.get(b"content-length", 0)) > self._settings.max_http_body_bytes:
            raise self._too_large()

    def _too_large(self) -> Refused:
        return Refused(413, f"the body must have at most {self._settings.max_http_body_bytes} bytes")

    async def _answer(self, request: h11.Request, body: bytes) -> None:
        exchange = Exchange(self, request, body)
        failure = Refused(503, "the answer took too long")
        with trio.move_on_after(self._settings.http_answer_seconds):
            try:
                return await exchange.carry_out(self._app)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise
            except Exception:
                _log.exception("request failed", method=exchange.scope["method"], path=exchange.scope["path"])
                failure = Refused(500, "something went wrong on our side")
        if not exchange.status:
            raise failure

    async def _refuse(self, refusal: Refused) -> None:
        """Answers in place of the application; the connection ends with it."""
        _log.info("request refused", status=refusal.status, reason=str(refusal), peer=self.peer)
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        self._finishing = True
        transient = refusal.status in (408, 503)
        code = "unavailable" if transient else "internal" if refusal.status == 500 else "invalid"
        body = msgspec.json.encode(ErrorAnswer(ErrorDetail(code, str(refusal), transient)))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *refusal.headers]
        with trio.move_on_after(LINGER_SECONDS):
            await self.respond(refusal.status, headers)
            if not self._is_head:
                await self.send(h11.Data(data=body))
            await self.send(h11.EndOfMessage())

    async def respond(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Sends the head of an answer; it says so if no other one will follow."""
        date = (b"date", email.utils.formatdate(usegmt=True).encode())
        closing = [(b"connection", b"close")] if self._finishing else []
        reason = http.HTTPStatus(status).phrase
        await self.send(h11.Response(status_code=status, headers=[*headers, date, *closing], reason=reason))

    async def send(self, event: h11.Event) -> None:
        """Sends one event of an answer. Raises: trio.BrokenResourceError if the peer has gone."""
        data = self._http.send(event)
        if data:
            await self._stream.send_all(data)

    async def _linger(self) -> None:
        """Says that no more comes, and reads on for a moment: closing with unread bytes would destroy the answer."""
        with trio.move_on_after(LINGER_SECONDS):
            await self._stream.send_eof()
            left = LINGER_BYTES
            while left > 0 and (data := await self._stream.receive_some(RECEIVE_BYTES)):
                left -= len(data)

"""A client's WebSocket (RFC 6455) on a trio stream, over the sans-IO wsproto.

No task of its own: whoever calls `receive` drives it. So cancelling leaves nothing behind.
"""

from __future__ import annotations

import ssl
from collections import deque
from urllib.parse import SplitResult

import trio
import wsproto
from wsproto import events

from .errors import ClientError, ConnectionLost, HandshakeRefused, ProtocolViolation, closed

RECEIVE_BYTES = 65_536
_TEMPORARY = frozenset({408, 425, 429})


class Socket:
    """An open WebSocket. Every method raises `ConnectionLost` when it is gone, or what its close code means."""

    def __init__(self, stream: trio.abc.Stream, max_message_bytes: int) -> None:
        self._stream = stream
        self._max_message_bytes = max_message_bytes
        self._protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._events: deque[events.Event] = deque()
        self._parts = bytearray()
        self._send_lock = trio.StrictFIFOLock()
        self.last_received = trio.current_time()
        """When the peer last sent anything."""

    async def open(self, host: str, path: str, subprotocol: str) -> None:
        """The opening handshake (§4.1). Raises: HandshakeRefused if trying again cannot help."""
        await self._send(events.Request(host=host, target=path, subprotocols=[subprotocol]))
        match await self._next_event():
            case events.AcceptConnection(subprotocol=accepted):
                if accepted != subprotocol:
                    raise ProtocolViolation(f"the server does not speak {subprotocol}")
            case events.RejectConnection(status_code=status) as refused if status >= 500 or status in _TEMPORARY:
                reason = f"the server refused the connection with HTTP status {status}"
                raise ConnectionLost(reason, _retry_after(refused))
            case events.RejectConnection(status_code=status):
                raise HandshakeRefused(status)
            case _:
                raise ProtocolViolation("the server does not speak WebSocket")

    async def receive(self) -> bytes | str:
        """The next whole message."""
        while True:
            match await self._next_event():
                case events.TextMessage() | events.BytesMessage() as part:
                    if (whole := self._assemble(part)) is not None:
                        return whole
                case events.Ping() as ping:
                    await self._send(ping.response())
                case events.CloseConnection(code=code, reason=reason) as close:
                    await self._answer_close(close)
                    raise closed(code, reason)

    async def send(self, payload: bytes | str) -> None:
        """Sends one message. Cancelling may leave half a frame: drop the socket then."""
        await self._send(events.TextMessage(payload) if isinstance(payload, str) else events.BytesMessage(payload))

    async def ping(self) -> None:
        """Sends a ping; `last_received` tells whether anything came back."""
        await self._send(events.Ping())

    async def close(self, code: int = 1000) -> None:
        """Sends a close frame; `receive` ends when the peer has answered it."""
        if self._protocol.state is wsproto.connection.ConnectionState.OPEN:
            await self._send(events.CloseConnection(code=code))

    async def _answer_close(self, close: events.CloseConnection) -> None:
        if self._protocol.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
            await self._send(close.response())

    async def _next_event(self) -> events.Event:
        while not self._events:
            data = await self._receive_some()
            if not data:
                raise ConnectionLost("the server closed the connection")
            try:
                self._protocol.receive_data(data)
                self._events += self._protocol.events()
            except wsproto.utilities.RemoteProtocolError as error:
                raise ProtocolViolation(f"the server broke the WebSocket protocol: {error}") from None
        return self._events.popleft()

    async def _receive_some(self) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise ConnectionLost(f"the connection broke: {error}") from None
        self.last_received = trio.current_time()
        return data

    def _assemble(self, part: events.TextMessage | events.BytesMessage) -> bytes | str | None:
        """The message that `part` completes. Fragments share one buffer, so memory follows bytes, not pieces."""
        data = part.data.encode() if isinstance(part, events.TextMessage) else part.data
        if len(self._parts) + len(data) > self._max_message_bytes:
            raise ProtocolViolation(f"the server sent a message of more than {self._max_message_bytes} bytes")
        self._parts += data
        if not part.message_finished:
            return None
        whole = bytes(self._parts)
        self._parts.clear()
        return whole.decode() if isinstance(part, events.TextMessage) else whole

    async def _send(self, event: events.Event) -> None:
        async with self._send_lock:
            try:
                await self._stream.send_all(self._protocol.send(event))
            except wsproto.utilities.LocalProtocolError:
                raise ConnectionLost("the connection is closing") from None
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                raise ConnectionLost(f"the connection broke: {error}") from None


def _retry_after(refused: events.RejectConnection) -> float | None:
    """The header in its form with seconds (RFC 9110 §10.2.3)."""
    value = next((value for name, value in refused.headers if name.lower() == b"retry-after"), b"")
    return float(value) if value.isdigit() and len(value) <= 9 else None


async def dial(url: SplitResult, ssl_context: ssl.SSLContext | None) -> trio.abc.Stream:
    """A TCP stream to the host of `url`, under TLS for https. Raises: ConnectionLost."""
    host = url.hostname or ""
    try:
        if url.scheme != "https":
            return await trio.open_tcp_stream(host, url.port or 80)
        context = ssl_context or ssl.create_default_context()
        stream = await trio.open_ssl_over_tcp_stream(host, url.port or 443, ssl_context=context, https_compatible=True)
    except ssl.SSLCertVerificationError as error:
        raise ClientError(f"{host}: {error.verify_message}") from None
    except OSError as error:
        raise ConnectionLost(f"cannot reach {url.netloc}: {error.strerror or error}") from None
    return stream

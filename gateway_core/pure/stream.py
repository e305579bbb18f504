"""What trio-websocket takes for the network: the socket of a connection, metered on the way."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

import trio
import trio.abc

from .meter import Meter, Violation
from .shared import Counters

_CLOSE = b"\x88"
_RECEIVE_BYTES = 65_536


class MeteredStream(trio.abc.Stream):
    """Gives trio-websocket a request head, then what the meter lets pass.

    The socket stays the connection's: `aclose` ends trio-websocket's part only, and the closing handshake that
    we begin is done here, after trio-websocket's tasks have ended: it sends no Close frame on a protocol
    error, and it fails when a ping comes after ours.
    """

    def __init__(
        self,
        socket: trio.SocketStream,
        head: bytes,
        early: bytes,
        meter: Meter,
        counters: Counters,
        on_violation: Callable[[Violation], None],
    ) -> None:
        self.heard_at = trio.current_time()
        self.close_sent = False
        """Whether a Close frame was begun to be sent."""
        self._upgraded = trio.Event()
        self._meter = meter
        self._counters = counters
        self._socket = socket
        self._head = head
        self._early = early
        self._on_violation = on_violation
        self._violation: Violation | None = None
        self._closed = False
        self._unsent = memoryview(b"")

    @property
    def upgraded(self) -> bool:
        """Whether the 101 was begun to be sent."""
        return self._upgraded.is_set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._closed:
            raise trio.ClosedResourceError
        if self._head:
            head, self._head = self._head, b""
            await trio.lowlevel.checkpoint()
            return head
        # What follows belongs behind the 101; before it, trio-websocket would take it for HTTP.
        await self._upgraded.wait()
        if self._violation is None:
            data = await self._receive()
            self._violation = self._meter.feed(data, self.heard_at)
            if self._violation is None:
                return data
            if self._violation.allowed:
                return data[: self._violation.allowed]
        # Its call for more says that trio-websocket has handed on what came before.
        self._on_violation(self._violation)
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    async def _receive(self) -> bytes:
        data = self._early or bytes(await self._socket.receive_some(_RECEIVE_BYTES))
        self._early = b""
        self.heard_at = trio.current_time()
        self._counters.bytes_in += len(data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._upgraded.set()
        self.close_sent = self.close_sent or bytes(data[:1]) == _CLOSE
        self._unsent = memoryview(data)
        await self.flush()

    async def flush(self) -> None:
        """Sends what a cancelled `send_all` left, so that no frame stays half-written."""
        while self._unsent:
            try:
                sent = await self._socket.socket.send(self._unsent)
            except OSError as error:
                raise trio.BrokenResourceError from error
            self._unsent = self._unsent[sent:]
            self._counters.bytes_out += sent

    async def wait_send_all_might_not_block(self) -> None:
        await self._socket.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        self._closed = True
        await trio.lowlevel.checkpoint()

    async def send_close(self, code: int, reason: str) -> None:
        """Sends our Close frame behind what is half-sent."""
        await self.flush()
        payload = struct.pack(">H", code) + reason.encode()
        await self.send_all(_CLOSE + bytes([len(payload)]) + payload)

    async def receive_close(self) -> None:
        """Ignores all that comes until the peer's Close frame or the end."""
        while not self._meter.peer_closed and (data := await self._receive()):
            self._meter.feed(data, self.heard_at)

    async def linger(self) -> None:
        """Ends our side, and waits until the peer has ended its own."""
        await read_to_end(self._socket)


async def end_with(socket: trio.SocketStream, data: bytes, seconds: float) -> None:
    """Sends a last answer, ends our side, and waits at most `seconds` until the peer has ended its own."""
    with trio.move_on_after(seconds), contextlib.suppress(trio.BrokenResourceError):
        await socket.send_all(data)
        await read_to_end(socket)


async def read_to_end(socket: trio.SocketStream) -> None:
    """Ends our side and ignores the rest: closing with bytes unread would reset what we sent last."""
    await socket.send_eof()
    while await socket.receive_some(_RECEIVE_BYTES):
        pass

"""A WebSocket client that sends any bytes: what a test says goes onto the wire as it stands."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import trio

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WAIT_SECONDS = 60.0
"""How long a peer waits for anything: generous, for a loaded machine."""

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DROP = {"upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "host"}


@dataclasses.dataclass(frozen=True)
class Frame:
    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        return self.first & 0x0F

    @property
    def fin(self) -> bool:
        return bool(self.first & FIN)

    @property
    def compressed(self) -> bool:
        return bool(self.first & RSV1)

    @property
    def close_code(self) -> int:
        """The code in a Close frame; 1005 if it carries none."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005

    @property
    def close_reason(self) -> str:
        return self.payload[2:].decode()


@dataclasses.dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


def frame(
    opcode: int, payload: bytes = b"", *, first: int | None = None, mask: bytes | None = b"\x37\xfa\x21\x3d"
) -> bytes:
    """A frame with FIN; `first` replaces its first byte, and without `mask` it is unmasked."""
    size = len(payload)
    masked = 0x80 if mask is not None else 0
    head = bytes([FIN | opcode if first is None else first])
    if size < 126:
        head += bytes([masked | size])
    elif size < 65_536:
        head += struct.pack(">BH", masked | 126, size)
    else:
        head += struct.pack(">BQ", masked | 127, size)
    return head + payload if mask is None else head + mask + _masked(payload, mask)


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


def request(path: str = "/", headers: Iterable[tuple[str, str]] = (), *, without: Iterable[str] = ()) -> bytes:
    """An opening handshake; `headers` are added, standard ones named in `without` are left out."""
    standard = [("Host", "127.0.0.1"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
    standard += [("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")]
    omitted = {name.lower() for name in without}
    assert omitted <= _DROP
    lines = [f"GET {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in standard if name.lower() not in omitted]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class RawPeer:
    """One TCP connection. Reading fails after `WAIT_SECONDS`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = bytearray()

    async def send(self, *pieces: bytes) -> None:
        with trio.fail_after(WAIT_SECONDS):
            await self.stream.send_all(b"".join(pieces))

    async def send_text(self, text: str) -> None:
        await self.send(frame(TEXT, text.encode()))

    async def response(self) -> Response:
        """The next HTTP response, its body by Content-Length."""
        head = (await self._until(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._exactly(int(headers.get("content-length", "0")))
        return Response(int(status_line.split(" ")[1]), headers, body)

    async def upgraded(self) -> Response:
        """The 101, checked (RFC 6455 §4.1)."""
        answer = await self.response()
        assert answer.status == 101, answer
        digest = hashlib.sha1(KEY.encode() + _GUID.encode()).digest()
        assert answer.headers["sec-websocket-accept"] == base64.b64encode(digest).decode()
        assert answer.headers["upgrade"].lower() == "websocket"
        assert answer.headers["connection"].lower() == "upgrade"
        return answer

    async def frame(self) -> Frame:
        first, second = await self._exactly(2)
        assert not second & 0x80, "a server does not mask"
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await self._exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self._exactly(8), "big")
        return Frame(first, await self._exactly(size))

    async def message(self) -> bytes | str:
        """The next message, `str` if it is text; no control frame may come before it."""
        got = await self.frame()
        assert got.opcode in (TEXT, BINARY), (got, got.payload[:40])
        payload, opcode = got.payload, got.opcode
        while not got.fin:
            got = await self.frame()
            assert got.opcode == CONTINUATION, got
            payload += got.payload
        return payload.decode() if opcode == TEXT else payload

    async def closed(self) -> Frame:
        """The Close frame, after whatever comes before it."""
        while (got := await self.frame()).opcode != CLOSE:
            pass
        return got

    async def end(self) -> bytes:
        """Reads until the peer has ended the connection, by FIN or RST; what came before."""
        try:
            while await self._more():
                pass
        except trio.BrokenResourceError:
            pass
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    async def frames_to_end(self) -> list[Frame]:
        """Every frame until the connection ends; the last may be cut off and is then left out."""
        self._buffer = bytearray(await self.end())
        frames = []
        while self._buffer:
            try:
                frames.append(await self.frame())
            except (EOFError, trio.ClosedResourceError, trio.BrokenResourceError):
                break
        return frames

    async def aclose(self) -> None:
        await self.stream.aclose()

    def reset(self) -> None:
        """Breaks the connection with RST."""
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    async def _more(self) -> bytes:
        with trio.fail_after(WAIT_SECONDS):
            data = bytes(await self.stream.receive_some(65_536))
        self._buffer += data
        return data

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not await self._more():
                raise EOFError(f"the connection ended with {bytes(self._buffer[:200])!r}")
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _until(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            if not await self._more():
                raise EOFError(f"the connection ended with {bytes(self._buffer[:200])!r}")
        return (await self._exactly(at + len(end)))[: -len(end)]


@asynccontextmanager
async def raw_peer(address: tuple[str, int], *, receive_buffer: int | None = None) -> AsyncIterator[RawPeer]:
    """A TCP connection to `address`; a small `receive_buffer` makes a peer that soon stops the sender."""
    sock = trio.socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    with trio.fail_after(WAIT_SECONDS):
        await sock.connect(address)
    stream = trio.SocketStream(sock)
    try:
        yield RawPeer(stream)
    finally:
        await trio.aclose_forcefully(stream)


def _masked(payload: bytes, mask: bytes) -> bytes:
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")

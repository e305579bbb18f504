"""A subscriber's way to a Redis server: a trio stream that is signed in, and the reader of its replies."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any

import hiredis
import trio

from .redis_errors import Away
from .redis_url import Address, RedisUrl

RECEIVE_BYTES = 65_536
Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
Reply = Any
"""bytes, int, None, a list of replies, or an error; hiredis leaves it at that."""
ReplyError = hiredis.ReplyError
NOTHING_YET = NotImplemented
"""What `Reader.gets` returns until a reply is whole."""


async def open_stream(url: RedisUrl, address: Address) -> tuple[Stream, hiredis.Reader]:
    """Connects and signs in. Raises: Away. The caller sets the deadline."""
    try:
        plain = await trio.open_tcp_stream(address.host, address.port)
    except OSError as error:
        raise Away(f"{address}: {error.strerror or type(error).__name__}") from error
    stream: Stream = plain
    try:
        if url.tls:
            stream = trio.SSLStream(plain, ssl.create_default_context(), server_hostname=address.host)
        reader = hiredis.Reader(notEnoughData=NOTHING_YET)  # errors among the replies are returned, not raised
        if url.password:
            await _sign_in(stream, reader, [*([url.username] if url.username else []), url.password])
        return stream, reader
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, OSError | trio.BrokenResourceError | hiredis.HiredisError):
            raise Away(f"{address}: {type(error).__name__}") from error
        raise


def pack(*words: str | int | float | bytes) -> bytes:
    """The bytes of one command."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub allows one word only
    return packed


async def _sign_in(stream: Stream, reader: hiredis.Reader, login: Sequence[str]) -> None:
    await stream.send_all(pack("AUTH", *login))
    while (reply := reader.gets()) is NOTHING_YET:
        if not (data := await stream.receive_some(RECEIVE_BYTES)):
            raise trio.BrokenResourceError("closed")
        reader.feed(bytes(data))
    if isinstance(reply, ReplyError):
        raise Away("the login was refused")

"""What the tests of bad input on an open connection have in common."""

from __future__ import annotations

from gateway_core import Closed, ConnectionId, Received
from tests.support.gateways import Application
from tests.support.raw_peer import TEXT, RawPeer, close_frame, frame


async def check_closed_with(app: Application, peer: RawPeer, connection: ConnectionId, *codes: int) -> None:
    """The peer gets a Close frame with one of `codes`, and the application is told of the same, once."""
    got = (await peer.closed()).close_code
    assert got in codes
    await peer.send(close_frame(1000))
    await peer.end()
    closed = await app.next(Closed)
    assert (closed.connection, closed.code, closed.clean) == (connection, got, False)
    assert await app.settle() == []


async def serves_others(app: Application) -> None:
    """A well-behaved connection works as ever."""
    async with app.connect() as (peer, connection):
        await peer.send(frame(TEXT, b"hello"))
        assert await app.next(Received, connection) == Received(connection, b"hello", True)
        app.gateway.send(connection, "hello")
        assert await peer.message() == "hello"

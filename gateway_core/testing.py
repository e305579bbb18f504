"""The core of the `Gateway` contract as one function, for implementations that live elsewhere.

    async def test_my_gateway() -> None:
        await check_gateway(MyGateway)

It talks to the gateway through real sockets. The whole contract, with limits and bad input, is in this project's
`tests/contract` and `tests/integration`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
import trio_websocket

from .config import GatewayConfig
from .gateway import Closed, ConnectionId, Event, Gateway, Opened, Received

STEP_SECONDS = 30.0
"""For each check; generous, since only a failure needs it."""

E = TypeVar("E", bound=Event)


async def check_gateway(factory: Callable[[GatewayConfig], Gateway]) -> None:
    """Runs every check, each against a gateway of its own on a free port of the loopback interface.

    Raises: AssertionError at the first deviation; trio.TooSlowError if something that must come does not.
    """
    for check in (_check_handshake, _check_messages, _check_order, _check_fan_out, _check_closing, _check_cancellation):
        async with factory(GatewayConfig()) as gateway:
            with trio.fail_after(STEP_SECONDS):
                await check(_Application(gateway))


class _Application:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._backlog: list[Event] = []

    async def next(self, kind: type[E]) -> E:
        """The next event of `kind`; others stay for later."""
        while True:
            for event in self._backlog:
                if isinstance(event, kind):
                    self._backlog.remove(event)
                    return event
            self._backlog += await self.gateway.receive_events()

    @asynccontextmanager
    async def connect(
        self, *, encoding: str = "", subprotocol: str | None = None
    ) -> AsyncIterator[tuple[trio_websocket.WebSocketConnection, ConnectionId]]:
        """A client and its accepted connection."""
        # The stream is ours to close: trio-websocket leaves it open if the server closes first.
        async with await trio.open_tcp_stream(*self.gateway.address) as stream, trio.open_nursery() as nursery:
            opened: list[Opened] = []
            nursery.start_soon(self._accept, opened, encoding, subprotocol)
            subprotocols = [subprotocol] if subprotocol else None
            client = await trio_websocket.wrap_client_stream(
                nursery, stream, "localhost", "/path?query", subprotocols=subprotocols
            )
            _require((opened[0].request.path, opened[0].request.query) == ("/path", "query"), "the request's target")
            yield client, opened[0].connection
            await client.aclose()

    async def _accept(self, opened: list[Opened], encoding: str, subprotocol: str | None) -> None:
        opened.append(await self.next(Opened))
        _require(self.gateway.accept(opened[0].connection, subprotocol, encoding), "accept of a waiting handshake")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"the contract does not hold: {what}")


async def _check_handshake(app: _Application) -> None:
    async with app.connect(subprotocol="chat") as (client, connection):
        _require(client.subprotocol == "chat", "the accepted subprotocol is named")
        _require(app.gateway.stats().accepted >= 1, "accepted sockets are counted")
    closed = await app.next(Closed)
    _require(closed == Closed(connection, 1000, "", True), "the peer's close is reported")
    _require(not app.gateway.send(connection, "late"), "commands to a gone connection return False")


async def _check_messages(app: _Application) -> None:
    async with app.connect() as (client, connection):
        for payload in ("grüße", b"\x00\xff", "x" * 60_000):
            await client.send_message(payload)
            expected = payload.encode() if isinstance(payload, str) else payload
            received = await app.next(Received)
            _require(received == Received(connection, expected, isinstance(payload, str)), "messages arrive whole")
            app.gateway.send(connection, payload)
            _require(await client.get_message() == payload, "messages are sent whole")


async def _check_order(app: _Application) -> None:
    async with app.connect() as (client, connection):
        gateway = app.gateway
        gateway.publish("topic", {"": "before"})
        gateway.send(connection, "1")
        gateway.subscribe(connection, "topic")
        gateway.publish("topic", {"": "2"}, position=1)
        gateway.unsubscribe(connection, "topic")
        gateway.publish("topic", {"": "after"})
        gateway.send(connection, "3")
        _require([await client.get_message() for _ in range(3)] == ["1", "2", "3"], "commands keep their order")


async def _check_fan_out(app: _Application) -> None:
    async with app.connect(encoding="json") as (json, first), app.connect(encoding="cbor") as (cbor, second):
        gateway = app.gateway
        gateway.subscribe(first, "topic")
        gateway.subscribe(second, "topic")
        gateway.publish("topic", {"json": "text", "cbor": b"binary"})
        gateway.publish("topic", {"json": "excluded", "cbor": b"not excluded"}, exclude=[first])
        gateway.publish("topic", {"json": "only json"})
        gateway.send(second, "end")
        _require([await json.get_message() for _ in range(2)] == ["text", "only json"], "variants and exclusion")
        got = [await cbor.get_message() for _ in range(3)]
        _require(got == [b"binary", b"not excluded", "end"], "a variant that is missing is not sent")


async def _check_closing(app: _Application) -> None:
    async with app.connect() as (client, connection):
        app.gateway.send(connection, "last words")
        app.gateway.close(connection, 4000, "done")
        _require(not app.gateway.send(connection, "late"), "nothing is sent after close")
        _require(await client.get_message() == "last words", "what was queued comes before the close")
        _require(await app.next(Closed) == Closed(connection, 4000, "done", True), "our own close is reported")


async def _check_cancellation(app: _Application) -> None:
    async with app.connect() as (client, connection):
        for number in range(100):
            await client.send_message(str(number))
            with trio.move_on_after(0):
                _require(not await app.gateway.receive_events(), "a cancelled call takes no events")
        for number in range(100):
            received = await app.next(Received)
            _require(received == Received(connection, str(number).encode(), True), "cancelling loses nothing")

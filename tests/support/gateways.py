"""Gateways for tests: both backends behind one fixture, and an application that a test plays step by step.

async def test_something(gateways: Gateways) -> None:
    async with gateways(max_message_bytes=100) as app, app.connect() as (peer, connection):
        await peer.send_text("hello")
        assert (await app.next(Received)).payload == b"hello"
"""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, TypeGuard, TypeVar

import pytest
import trio

from gateway_core import (
    Capability,
    Closed,
    ConnectionId,
    Event,
    Gateway,
    GatewayConfig,
    GatewayStats,
    HttpConnection,
    Opened,
    open_gateway,
)
from tests.support.raw_peer import WAIT_SECONDS, RawPeer, raw_peer, request

E = TypeVar("E", bound=Event)

Backend = Literal["native", "pure"]

NATIVE_BUILT = importlib.util.find_spec("gateway_core._native") is not None


class Application:
    """The one reader of a gateway's events."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.backlog: deque[Event] = deque()
        """Events that came and were not asked for yet."""

    async def next(self, kind: type[E], connection: ConnectionId | None = None) -> E:
        """The next event of `kind`, of `connection` if given; others stay for later."""
        with trio.fail_after(WAIT_SECONDS):
            while True:
                for event in self.backlog:
                    if isinstance(event, kind) and connection in (None, _connection_of(event)):
                        self.backlog.remove(event)
                        return event
                self.backlog += await self.gateway.receive_events()

    async def until(self, condition: Callable[[GatewayStats], bool]) -> GatewayStats:
        """Waits until the statistics, which nothing announces, meet `condition`."""
        with trio.fail_after(WAIT_SECONDS):
            while not condition(stats := self.gateway.stats()):  # noqa: ASYNC110 (see above)
                await trio.sleep(0.01)
        return stats

    async def drain(self, *arguments: Any, **options: Any) -> None:
        """Drains the gateway; what comes meanwhile stays for `next`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive)
            await self.gateway.drain(*arguments, **options)
            nursery.cancel_scope.cancel()

    async def _receive(self) -> None:
        while True:
            self.backlog += await self.gateway.receive_events()

    async def _receive_once(self) -> None:
        with trio.fail_after(WAIT_SECONDS):
            self.backlog += await self.gateway.receive_events()

    async def settle(self) -> list[Event]:
        """Everything that has come, and what comes until a handshake of its own has opened and closed."""
        async with self.peer() as peer:
            await peer.send(request("/settle"))
            while not (own := [event.connection for event in self.backlog if _is_of_settle(event)]):
                await self._receive_once()
        while not any(isinstance(event, Closed) and event.connection == own[0] for event in self.backlog):
            await self._receive_once()
        events = [event for event in self.backlog if _connection_of(event) != own[0]]
        self.backlog.clear()
        return events

    @asynccontextmanager
    async def peer(self, **options: Any) -> AsyncIterator[RawPeer]:
        """A TCP connection to the gateway that has said nothing yet."""
        async with raw_peer(self.gateway.address, **options) as peer:
            yield peer

    @asynccontextmanager
    async def knock(
        self, path: str = "/", headers: Iterable[tuple[str, str]] = (), **options: Any
    ) -> AsyncIterator[tuple[RawPeer, Opened]]:
        """A handshake that waits for its verdict."""
        async with self.peer(**options) as peer:
            await peer.send(request(path, headers))
            yield peer, await self.next(Opened)

    @asynccontextmanager
    async def connect(
        self,
        *topics: str,
        encoding: str = "",
        subprotocol: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        **options: Any,
    ) -> AsyncIterator[tuple[RawPeer, ConnectionId]]:
        """An accepted connection, subscribed to `topics`."""
        offer = [("Sec-WebSocket-Protocol", subprotocol)] if subprotocol else []
        async with self.knock("/", [*headers, *offer], **options) as (peer, opened):
            assert self.gateway.accept(opened.connection, subprotocol, encoding)
            for topic in topics:
                assert self.gateway.subscribe(opened.connection, topic)
            await peer.upgraded()
            yield peer, opened.connection


Gateways = Callable[..., AbstractAsyncContextManager[Application]]
"""Opens a gateway; the keywords are fields of `GatewayConfig`."""


def backend_parameters() -> list[Any]:
    """Both backends; the native one is skipped, with the reason, where it is not built."""
    missing = pytest.mark.skipif(not NATIVE_BUILT, reason="gateway_core._native is not built")
    return [pytest.param("native", marks=missing), "pure"]


@asynccontextmanager
async def open_application(backend: Backend, **settings: Any) -> AsyncIterator[Application]:
    async with open_gateway(GatewayConfig(**settings), backend) as gateway:
        yield Application(gateway)


@pytest.fixture(params=backend_parameters())
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    return chosen


@pytest.fixture
def gateways(backend: Backend) -> Gateways:
    """Opens gateways of the backend under test."""

    def opener(**settings: Any) -> AbstractAsyncContextManager[Application]:
        return open_application(backend, **settings)

    return opener


def need(gateway: Gateway, capability: Capability) -> None:
    """Skips the test if the backend lacks `capability`."""
    if capability not in gateway.capabilities:
        pytest.skip(f"the {gateway.backend} backend has no {capability.value}")


def _connection_of(event: Event) -> ConnectionId | None:
    return None if isinstance(event, HttpConnection) else event.connection


def _is_of_settle(event: Event) -> TypeGuard[Opened]:
    return isinstance(event, Opened) and event.request.path == "/settle"

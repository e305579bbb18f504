"""`NativeGateway`: the Rust engine driven from trio."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Self

import trio

from . import _native
from .config import GatewayConfig
from .errors import AddressUnavailable, UsageError
from .gateway import Capability, CloseCode, ConnectionId, Event, GatewayStats, Payload

_MAX_BATCH = 4_096


class NativeGateway:
    """A `Gateway` whose sockets live in Rust threads.

    Commands are collected while trio runs tasks, and handed over when it is about to wait for I/O: what is
    given in one turn of its loop wakes a reactor once.
    """

    _engine: _native.NativeGateway

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._receiving = False
        self._ended = False
        self._emptied = trio.lowlevel.ParkingLot()

    @property
    def backend(self) -> str:
        return "native"

    @property
    def address(self) -> tuple[str, int]:
        return self._engine.address

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.COMPRESSION} if self._config.compression else ())

    async def __aenter__(self) -> Self:
        ip, port = await self._resolve()
        self._engine = _native.NativeGateway(self._config, ip, port)
        self._flusher = _Flusher(self._engine)
        trio.lowlevel.add_instrument(self._flusher)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        trio.lowlevel.remove_instrument(self._flusher)
        trio.lowlevel.notify_closing(self._engine.fileno())
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._engine.shut_down)

    async def receive_events(self) -> list[Event]:
        if self._receiving:
            raise UsageError("only one task may wait for events")
        if self._ended:
            raise UsageError("the gateway has been left")
        self._receiving = True
        try:
            # Every checkpoint that can be cancelled comes before the events are taken.
            await trio.lowlevel.checkpoint_if_cancelled()
            if events := self._take_events():
                await trio.lowlevel.cancel_shielded_checkpoint()
            while not events:
                await trio.lowlevel.wait_readable(self._engine.fileno())
                events = self._take_events()
        except trio.ClosedResourceError:
            raise UsageError("the gateway has been left") from None
        finally:
            self._receiving = False
        return events

    def accept(self, connection: ConnectionId, subprotocol: str | None = None, encoding: str = "") -> bool:
        return self._engine.accept(connection, subprotocol, encoding)

    def reject(
        self, connection: ConnectionId, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> bool:
        return self._engine.reject(connection, status, list(headers), body)

    def send(self, connection: ConnectionId, payload: Payload) -> bool:
        return self._engine.send(connection, payload)

    def close(self, connection: ConnectionId, code: int = CloseCode.NORMAL, reason: str = "") -> bool:
        return self._engine.close(connection, code, reason)

    def subscribe(self, connection: ConnectionId, topic: str) -> bool:
        return self._engine.subscribe(connection, topic)

    def unsubscribe(self, connection: ConnectionId, topic: str) -> bool:
        return self._engine.unsubscribe(connection, topic)

    def publish(
        self,
        topic: str,
        variants: Mapping[str, Payload],
        *,
        position: int | None = None,
        exclude: Collection[ConnectionId] = (),
    ) -> None:
        self._engine.publish(topic, dict(variants), position, list(exclude))

    def stats(self) -> GatewayStats:
        return self._engine.stats()

    async def drain(self, code: int = CloseCode.NODE_GOING_AWAY, reason: str = "", seconds: float = 20.0) -> None:
        self._engine.drain(code, reason, seconds)
        try:
            await trio.lowlevel.checkpoint()
            while not self._engine.is_drained():
                await self._emptied.park()
        finally:
            self._engine.stop_draining()

    def _take_events(self) -> list[Event]:
        events = self._engine.take_events(_MAX_BATCH)
        if self._emptied and self._engine.is_drained():
            self._emptied.unpark_all()
        return events

    async def _resolve(self) -> tuple[str, int]:
        """The first address of the configured host. Raises: AddressUnavailable."""
        host, port = self._config.host, self._config.port
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host has labels like these
            raise AddressUnavailable(f"cannot listen on {host}:{port}: {error}") from error
        address = found[0][4]
        return str(address[0]), int(address[1])


class _Flusher(trio.abc.Instrument):
    """Hands over the collected commands before trio waits for I/O."""

    def __init__(self, engine: _native.NativeGateway) -> None:
        self._engine = engine

    def before_io_wait(self, timeout: float) -> None:
        self._engine.flush()

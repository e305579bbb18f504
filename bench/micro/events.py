"""What crossing between Rust and Python costs, events up and commands down: `python -m bench.micro.events`.

Without trio and without waiting: messages are sent first, then taken in batches, and only the taking is timed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from gateway_core import ConnectionId, GatewayConfig, Opened
from gateway_core._native import NativeGateway
from gateway_core.gateway import Payload

MESSAGES = 4_000
"""Of 1 KiB they are 4 MB: with more waiting the engine would stop reading."""
BATCH = 4_096
UNLIMITED = 1_000_000_000
_REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def main() -> None:
    """Prints one line for each crossing: the best of five rounds."""
    config = GatewayConfig(
        message_burst=UNLIMITED,
        bytes_burst=UNLIMITED,
        max_messages_per_second=UNLIMITED,
        max_bytes_per_second=UNLIMITED,
        soft_outbox_bytes=UNLIMITED,
        max_outbox_bytes=UNLIMITED,
    )
    engine = NativeGateway(config, "127.0.0.1", 0)
    try:
        peer = socket.create_connection(engine.address)
        peer.sendall(_REQUEST)
        [opened] = _take(engine, 1)
        assert isinstance(opened, Opened)
        engine.accept(opened.connection, None, "")
        engine.flush()
        _measure(engine, peer, opened.connection)
    finally:
        engine.shut_down()


def _measure(engine: NativeGateway, peer: socket.socket, connection: ConnectionId) -> None:
    for size in (128, 1_024):
        _print(f"take a Received event of {size} B", min(_receive(engine, peer, size) for _ in range(5)))
    payload = b"x" * 128
    variants: dict[str, Payload] = {"": payload, "chat.v1.json": "x" * 128}
    for name, command in {
        "send 128 B to a connection that has gone": lambda: engine.send(0, payload),
        "subscribe, twice the same": lambda: engine.subscribe(connection, "room"),
        "publish 2 variants of 128 B to nobody": lambda: engine.publish("nobody", variants, 1, []),
    }.items():
        _print(name, min(_call(command) for _ in range(5)))


def _receive(engine: NativeGateway, peer: socket.socket, size: int) -> float:
    """Seconds for each event."""
    frame = bytes([0x82, 0xFE, size >> 8, size & 0xFF, 0, 0, 0, 0]) + b"x" * size
    wanted = engine.stats().messages_in + MESSAGES
    peer.sendall(frame * MESSAGES)
    while engine.stats().messages_in < wanted:
        time.sleep(0.01)
    taken, start = 0, time.perf_counter()
    while taken < MESSAGES:
        taken += len(engine.take_events(BATCH))
    return (time.perf_counter() - start) / taken


def _call(command: Callable[[], Any]) -> float:
    """Seconds for each call."""
    start = time.perf_counter()
    for _ in range(MESSAGES):
        command()
    return (time.perf_counter() - start) / MESSAGES


def _take(engine: NativeGateway, count: int) -> list[Any]:
    events: list[Any] = []
    while len(events) < count:
        events += engine.take_events(BATCH)
        time.sleep(0.001)
    return events


def _print(name: str, seconds: float) -> None:
    print(f"{name:48} {seconds * 1e9:8.0f} ns")


if __name__ == "__main__":
    main()

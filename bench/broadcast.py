"""The smallest servers on `gateway_core`: what comes goes to all, to its room, back, or is only counted."""

from __future__ import annotations

from collections.abc import Callable

import trio

from gateway_core import ConnectionId, Gateway, GatewayConfig, Opened, Received
from gateway_core.backend import open_gateway

TOPIC = "all"
MODES = ("broadcast", "echo", "sink", "rooms")
UNLIMITED = 1_000_000_000

Handler = Callable[[ConnectionId, bytes], None]


async def serve(backend: str, port: int, mode: str, *, reactors: int, compression: bool) -> None:
    """Listens on 127.0.0.1:`port`, prints the address, and serves until it is cancelled."""
    config = GatewayConfig(
        port=port,
        reactors=reactors,
        compression=compression,
        max_messages_per_second=UNLIMITED,
        message_burst=UNLIMITED,
        max_bytes_per_second=UNLIMITED,
        bytes_burst=UNLIMITED,
    )
    async with open_gateway(config, backend=backend) as gateway:  # type: ignore[arg-type]
        print("listening on {}:{}".format(*gateway.address), flush=True)
        rooms: dict[ConnectionId, str] = {}
        handle = _handler(gateway, mode, rooms)
        while True:
            for event in await gateway.receive_events():
                if isinstance(event, Received):  # a class pattern of `match` takes 0.5 µs
                    handle(event.connection, event.payload)
                elif isinstance(event, Opened):
                    gateway.accept(event.connection)
                    if mode == "rooms":
                        rooms[event.connection] = event.request.path
                        gateway.subscribe(event.connection, event.request.path)
                    elif mode == "broadcast":
                        gateway.subscribe(event.connection, TOPIC)


def _handler(gateway: Gateway, mode: str, rooms: dict[ConnectionId, str]) -> Handler:
    """What is done with a message."""

    def broadcast(connection: ConnectionId, payload: bytes) -> None:
        gateway.publish(TOPIC, {"": payload}, position=0)

    def to_room(connection: ConnectionId, payload: bytes) -> None:
        gateway.publish(rooms[connection], {"": payload}, position=0)

    def echo(connection: ConnectionId, payload: bytes) -> None:
        gateway.send(connection, payload)

    count = 0

    def sink(connection: ConnectionId, payload: bytes) -> None:
        nonlocal count
        if payload == b"?":
            gateway.send(connection, str(count).encode())
        else:
            count += 1

    return {"broadcast": broadcast, "rooms": to_room, "echo": echo, "sink": sink}[mode]


def main(backend: str, port: int, mode: str, *, reactors: int = 1, compression: bool = False) -> None:
    """Runs the server."""

    async def run() -> None:
        await serve(backend, port, mode, reactors=reactors, compression=compression)

    trio.run(run)

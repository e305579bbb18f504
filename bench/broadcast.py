"""The smallest server on `gateway_core`: everybody joins one topic, every message goes to all, or back."""

from __future__ import annotations

import trio
from gateway_core.backend import open_gateway

from gateway_core import Gateway, GatewayConfig, Opened, Received

TOPIC = "all"


async def serve(backend: str, port: int, *, echo: bool, reactors: int) -> None:
    """Listens on 127.0.0.1:`port`, prints the address, and serves until it is cancelled."""
    config = GatewayConfig(
        port=port,
        reactors=reactors,
        max_messages_per_second=1e9,
        message_burst=1_000_000_000,
        max_bytes_per_second=1e12,
        bytes_burst=1_000_000_000_000,
    )
    async with open_gateway(config, backend=backend) as gateway:  # type: ignore[arg-type]
        print("listening on {}:{}".format(*gateway.address), flush=True)
        while True:
            for event in await gateway.receive_events():
                match event:
                    case Received(connection, payload, is_text):
                        message = payload.decode() if is_text else payload
                        if echo:
                            gateway.send(connection, message)
                        else:
                            gateway.publish(TOPIC, {"": message}, position=0)
                    case Opened(connection):
                        _welcome(gateway, event)


def _welcome(gateway: Gateway, event: Opened) -> None:
    gateway.accept(event.connection)
    gateway.subscribe(event.connection, TOPIC)


def main(backend: str, port: int, *, echo: bool = False, reactors: int = 1) -> None:
    """Runs the server."""

    async def run() -> None:
        await serve(backend, port, echo=echo, reactors=reactors)

    trio.run(run)

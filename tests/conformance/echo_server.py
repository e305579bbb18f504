"""An echo server on `gateway_core` for Autobahn: the limits wide open, every message compressed where agreed.

Prints its port, and runs until it is ended.
"""

from __future__ import annotations

import sys
from typing import Literal, cast

import trio

from gateway_core import Gateway, GatewayConfig, HttpConnection, Opened, Received, open_gateway

MEBIBYTE = 1 << 20

CONFIG = GatewayConfig(
    max_message_bytes=32 * MEBIBYTE,  # 9.* send 16 MiB
    soft_outbox_bytes=256 * MEBIBYTE,
    max_outbox_bytes=256 * MEBIBYTE,
    max_messages_per_second=1e9,
    message_burst=1_000_000_000,
    max_bytes_per_second=1e12,
    bytes_burst=1_000_000_000_000,
    message_seconds=600.0,
    min_compress_bytes=1,
    max_inflate_ratio=1_100,  # deflate cannot exceed 1,032
)


async def echo(gateway: Gateway) -> None:
    while True:
        for event in await gateway.receive_events():
            match event:
                case Opened(connection=connection):
                    gateway.accept(connection)
                case Received(connection=connection, payload=payload, is_text=is_text):
                    gateway.send(connection, payload.decode() if is_text else payload)
                case HttpConnection(socket=socket):
                    socket.close()


async def main(backend: str) -> None:
    async with open_gateway(CONFIG, backend=cast("Literal['native', 'pure']", backend)) as gateway:
        print(gateway.address[1], flush=True)
        await echo(gateway)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])

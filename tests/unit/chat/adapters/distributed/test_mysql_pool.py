"""Connections to a server that is hardly one."""

from __future__ import annotations

import functools
import socket
import struct

import pytest
import trio
from asyncmy.errors import MySQLError

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.bucket_map import read_version
from chat.adapters.distributed.mysql_dsn import Dsn
from chat.adapters.distributed.mysql_errors import verdict_of
from chat.adapters.distributed.mysql_pool import MySqlPool

SECONDS = 30.0
RESET_AT_ONCE = struct.pack("ii", 1, 0)
"""For SO_LINGER."""


async def test_a_connection_that_is_reset_at_any_moment_is_no_bug() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
        await stream.aclose()

    async def fail() -> None:
        with pytest.raises(MySQLError) as raised:
            await bridge.call(functools.partial(pool.run, read_version))
        assert verdict_of(raised.value) is not None

    with trio.fail_after(SECONDS):
        async with AsyncioBridge() as bridge, trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, reset, [listener])
            pool = MySqlPool(Dsn("127.0.0.1", listener.socket.getsockname()[1], "chat", "chat"), "a", is_primary=True)
            for _ in range(200):  # the worst moment comes once in some hundred times
                async with trio.open_nursery() as callers:
                    for _ in range(10):
                        callers.start_soon(fail)
            nursery.cancel_scope.cancel()

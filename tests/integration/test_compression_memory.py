"""B23: what connections with the largest windows cost a server, which is a process of its own."""

from __future__ import annotations

import os
import zlib
from contextlib import AsyncExitStack

import pytest

from bench.process import usage_of
from bench.servers import SERVERS, Job
from tests.support.gateways import NATIVE_BUILT
from tests.support.raw_peer import FIN, RSV1, TEXT, RawPeer, frame, raw_peer, request

CONNECTIONS = 300
LIMIT_BYTES = 8_192
"""For each connection; one window of the two that it offers would take 32 KiB."""
OFFER = "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15"
BODY = b"".join(b"line %d of what was said\n" % number for number in range(2_000))


@pytest.mark.skipif(not NATIVE_BUILT, reason="gateway_core._native is not built")
async def test_b23_the_largest_windows_are_not_kept_for_each_connection() -> None:
    process, address = SERVERS["native"].start(sorted(os.sched_getaffinity(0)), Job("echo", deflate=True))
    host, _, port = address.rpartition(":")
    with process:
        async with AsyncExitStack() as stack:

            async def connect(count: int) -> int:
                """Connections that have each sent and received a compressed message; the server's memory then."""
                for _ in range(count):
                    peer = await stack.enter_async_context(raw_peer((host, int(port))))
                    await echo_compressed(peer)
                return usage_of(process.pid).private_bytes

            before = await connect(20)
            assert await connect(CONNECTIONS) - before < CONNECTIONS * LIMIT_BYTES


async def echo_compressed(peer: RawPeer) -> None:
    compress = zlib.compressobj(wbits=-15)
    payload = (compress.compress(BODY) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]
    await peer.send(request("/", [("Sec-WebSocket-Extensions", OFFER)]), frame(TEXT, payload, first=FIN | RSV1 | TEXT))
    assert "permessage-deflate" in (await peer.upgraded()).headers["sec-websocket-extensions"]
    answer = await peer.frame()
    assert answer.compressed
    assert zlib.decompressobj(wbits=-15).decompress(answer.payload + b"\x00\x00\xff\xff") == BODY

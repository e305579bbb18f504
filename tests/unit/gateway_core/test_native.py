"""What the trio driver of the native backend adds to the contract."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway_core import AddressUnavailable, BackendUnavailable, GatewayConfig, Opened, UsageError, open_gateway
from tests.support.raw_peer import raw_peer, request

pytest.importorskip("gateway_core._native", reason="gateway_core._native is not built")

from gateway_core.native import NativeGateway


async def test_commands_reach_the_peer_though_nobody_waits_for_events() -> None:
    async with NativeGateway(GatewayConfig()) as gateway, raw_peer(gateway.address) as peer:
        await peer.send(request())
        [opened] = await gateway.receive_events()
        assert isinstance(opened, Opened)
        assert gateway.accept(opened.connection)
        assert gateway.send(opened.connection, "hello")
        await peer.upgraded()
        assert await peer.message() == "hello"


async def test_leaving_waits_for_the_peers_without_blocking_trio() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.sleep(0.01)
            ticks += 1

    async with trio.open_nursery() as nursery:
        gateway = NativeGateway(GatewayConfig())
        await gateway.__aenter__()
        async with raw_peer(gateway.address) as peer:
            await peer.send(request())
            [opened] = await gateway.receive_events()
            assert isinstance(opened, Opened)
            gateway.accept(opened.connection)
            await peer.upgraded()
            nursery.start_soon(tick)
            # The peer reads nothing and closes nothing: the threads wait for it, but not for ever.
            await gateway.__aexit__(None, None, None)
            assert ticks > 1
            assert (await peer.closed()).close_code == 1001
        nursery.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="threads and descriptors are counted in /proc")
async def test_leaving_ends_the_threads_and_closes_their_descriptors() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def reactors() -> int:
        names = [name.read_text() for name in Path("/proc/self/task").glob("*/comm")]
        return sum(name.startswith("reactor-") for name in names)

    gateway = NativeGateway(GatewayConfig(reactors=3))
    before = descriptors()
    async with gateway:
        assert descriptors() >= before + 3
    assert reactors() == 0
    del gateway
    assert descriptors() == before


async def test_a_cancelled_body_still_leaves_nothing_behind() -> None:
    with trio.move_on_after(0.1) as scope:
        async with NativeGateway(GatewayConfig()) as gateway:
            address = gateway.address
            await gateway.receive_events()
    assert scope.cancelled_caught
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream(*address)


async def test_two_gateways_of_one_process_share_no_connection_id() -> None:
    async with NativeGateway(GatewayConfig()) as one, NativeGateway(GatewayConfig()) as two:
        seen = set()
        for gateway in (one, two):
            async with raw_peer(gateway.address) as peer:
                await peer.send(request())
                [opened] = await gateway.receive_events()
                assert isinstance(opened, Opened)
                seen.add(opened.connection)
                assert not (two if gateway is one else one).accept(opened.connection)
        assert len(seen) == 2


@pytest.mark.parametrize("payload", [bytearray(b"x"), memoryview(b"x"), 1, None])
async def test_a_payload_that_is_neither_bytes_nor_str_is_a_type_error(payload: Any) -> None:
    async with NativeGateway(GatewayConfig()) as gateway:
        with pytest.raises(TypeError):
            gateway.publish("room", {"": payload})


async def test_a_name_is_resolved() -> None:
    async with NativeGateway(GatewayConfig(host="localhost")) as gateway, raw_peer(gateway.address):
        assert gateway.address[0] in ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["x" * 70, "a..b"])
async def test_a_name_that_cannot_be_resolved_is_no_address(host: str) -> None:
    with pytest.raises(AddressUnavailable):
        async with NativeGateway(GatewayConfig(host=host)):
            pass


async def test_more_reactors_than_ids_have_room_for_are_a_usage_error() -> None:
    with pytest.raises(UsageError):
        async with NativeGateway(GatewayConfig(reactors=33)):
            pass


async def test_the_native_backend_is_chosen_if_it_is_built() -> None:
    assert open_gateway(GatewayConfig()).backend == "native"
    assert open_gateway(GatewayConfig(), "native").backend == "native"
    assert open_gateway(GatewayConfig(), "pure").backend == "pure"


async def test_without_the_extension_the_pure_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert open_gateway(GatewayConfig()).backend == "pure"
    with pytest.raises(BackendUnavailable):
        open_gateway(GatewayConfig(), "native")

"""A node in this process: the parts fit, start in order and stop in order."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import trio

from chat.adapters.embedded.errors import DatabaseUnusable
from chat.bootstrap import Listening, _realtime_config, open_ports, open_services, run_node
from chat.config import ChatConfig
from chat.domain.errors import Unauthenticated
from gateway_core import AddressUnavailable, GatewayConfig

SECONDS = 30.0


def config_in(tmp_path: Path, port: int = 0, **settings: str) -> ChatConfig:
    return ChatConfig(data_dir=tmp_path / "data", gateway=GatewayConfig(port=port), **settings)  # type: ignore[arg-type]


async def start(nursery: trio.Nursery, config: ChatConfig, stop: trio.Event) -> Listening:
    listening: Listening = await nursery.start(run_node, config, stop)
    return listening


async def test_a_node_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    stop = trio.Event()
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            listening = await start(nursery, config_in(tmp_path), stop)
            host, port = listening.address
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
                assert (await client.get("/readyz")).status_code == 200
            stop.set()
        with pytest.raises(OSError, match=r"(?i)connect"):
            await trio.open_tcp_stream(host, port)


async def test_a_node_can_be_cancelled_and_another_one_takes_over_its_data(tmp_path: Path) -> None:
    for _ in range(2):
        with trio.fail_after(SECONDS):
            async with trio.open_nursery() as nursery:
                await start(nursery, config_in(tmp_path), trio.Event())
                nursery.cancel_scope.cancel()


async def test_a_node_without_a_name_gets_a_random_one(tmp_path: Path) -> None:
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            unnamed = [await start(nursery, config_in(tmp_path / str(n)), trio.Event()) for n in range(2)]
            named = await start(nursery, config_in(tmp_path / "named", node="node-a"), trio.Event())
            assert unnamed[0].node != unnamed[1].node
            assert named.node == "node-a"
            nursery.cancel_scope.cancel()


async def test_two_nodes_cannot_share_a_directory_or_a_port(tmp_path: Path) -> None:
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            listening = await start(nursery, config_in(tmp_path), trio.Event())
            with pytest.raises(DatabaseUnusable, match="in use by another node"):
                await run_node(config_in(tmp_path), trio.Event())
            with pytest.raises(AddressUnavailable):
                await run_node(config_in(tmp_path / "other", port=listening.address[1]), trio.Event())
            nursery.cancel_scope.cancel()


async def test_tokens_of_the_previous_key_are_good_until_it_is_dropped(tmp_path: Path) -> None:
    old, new = "o" * 32, "n" * 32
    async with open_ports(config_in(tmp_path)) as ports:
        before = open_services(config_in(tmp_path, token_key=old), ports)
        await before.auth.register("Alice", "correct horse", "127.0.0.1")
        token = (await before.auth.sign_in("Alice", "correct horse", "127.0.0.1")).access_token
        during = open_services(config_in(tmp_path, token_key=new, previous_token_key=old), ports)
        assert (await during.auth.verify(token)).user.name == "Alice"
        after = open_services(config_in(tmp_path, token_key=new), ports)
        with pytest.raises(Unauthenticated):
            await after.auth.verify(token)


def test_clients_are_told_the_limits_that_the_gateway_holds_them_to(tmp_path: Path) -> None:
    gateway = GatewayConfig(
        ping_interval_seconds=7,
        max_message_bytes=8_000,
        max_messages_per_second=9,
        message_burst=10,
        max_bytes_per_second=11_000,
        bytes_burst=12_000,
    )
    told = _realtime_config(ChatConfig(data_dir=tmp_path, gateway=gateway))
    assert (told.heartbeat_seconds, told.max_message_bytes) == (7, 8_000)
    assert (told.frames_per_second, told.frame_burst) == (9, 10)
    assert (told.bytes_per_second, told.bytes_burst) == (11_000, 12_000)

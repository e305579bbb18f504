"""`chat-gateway dev-cluster` whose parts end, and one that goes on with the data of the last."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

from chat.client import open_client, register
from tests.support.dev_clusters import DevCluster, dev_cluster_process, is_alive, kill

PASSWORD = "correct horse"
READY = "Ctrl-C stops everything."

pytestmark = pytest.mark.skipif("FAULT_ROUNDS" not in os.environ, reason="FAULT_ROUNDS is not set: make test-faults")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "command"),
    [("node-2", "--node node-2 "), ("redis-1", "redis-server"), ("shard-b-replica", "shard-b-replica/data ")],
)
async def test_the_end_of_a_part_is_told_and_ends_the_others(tmp_path: Path, name: str, command: str) -> None:
    async with dev_cluster_process(tmp_path) as cluster:
        await cluster.until_printed(READY)
        children = cluster.children()
        kill(next(pid for line, pid in children.items() if command in line))
        assert await cluster.wait() == 1
        assert f"chat-gateway: {name} has ended by SIGKILL" in cluster.errors
        assert not [line for line, pid in children.items() if is_alive(pid)]
        assert not list(cluster.temporaries.iterdir())


@pytest.mark.slow
async def test_a_killed_command_leaves_no_process(tmp_path: Path) -> None:
    async with dev_cluster_process(tmp_path) as cluster:
        await cluster.until_printed(READY)
        children = cluster.children()
        cluster.process.kill()
        await cluster.wait()
        with trio.fail_after(60):
            # Nobody is told of the end of another's child.
            while any(map(is_alive, children.values())):  # noqa: ASYNC110
                await trio.sleep(0.05)


@pytest.mark.slow
async def test_a_data_directory_keeps_messages_and_serves_one_cluster_at_a_time(tmp_path: Path) -> None:
    arguments = ("--data-dir", str(tmp_path / "data"))
    async with dev_cluster_process(tmp_path, *arguments) as first:
        await first.until_printed(READY)
        await register(first.urls[0], "ada", PASSWORD)
        async with open_client(first.urls[0], name="ada", password=PASSWORD) as ada:
            info = await ada.create_room("Lobby")
            await (await ada.join(info.id)).publish("hello")
        async with dev_cluster_process(tmp_path, *arguments) as second:
            assert await second.wait() == 1
            assert "is in use" in second.errors
        await _stop(first)
    async with dev_cluster_process(tmp_path, *arguments) as again:
        await again.until_printed(READY)
        async with open_client(again.urls[1], name="ada", password=PASSWORD) as ada:
            page = await (await ada.join(info.id)).history()
            assert [message.text for message in page.messages] == ["hello"]
        await _stop(again)


async def _stop(cluster: DevCluster) -> None:
    cluster.process.send_signal(signal.SIGINT)
    assert await cluster.wait() == 0

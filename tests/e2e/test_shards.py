"""Nodes whose data is in MySQL: migrated, administered and served from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from chat.adapters.distributed.schema import MIGRATIONS
from chat.client import Message, open_client
from tests.support.command_line import run_command
from tests.support.mysql_servers import MySqlProcess, mysql_server
from tests.support.node_process import TOKEN_KEY, node_process
from tests.support.redis_servers import redis_server

PASSWORD = "correct horse"
DEADLINE_SECONDS = 120


class Cluster:
    """Two empty databases, and a Redis."""

    def __init__(self, mysql: MySqlProcess, redis_url: str, directory: Path) -> None:
        self.mysql = mysql
        self.shards = ["--shard", f"a={mysql.dsn('one')}", "--shard", f"b={mysql.dsn('two')}"]
        self.flags = [*self.shards, "--redis", redis_url]
        self.directory = directory

    def run(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        """Exit code, output and complaints of a command."""
        return run_command(self.directory, *arguments, text=text)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with mysql_server() as mysql, redis_server() as redis:
        mysql.sql("CREATE DATABASE one; CREATE DATABASE two")
        yield Cluster(mysql, redis.url, tmp_path)


def test_databases_are_migrated_before_they_are_used(cluster: Cluster) -> None:
    code, _, complaint = cluster.run("room", "list", *cluster.flags)
    assert (code, "run `chat-gateway db migrate` first" in complaint) == (1, True)
    for _ in range(2):
        assert cluster.run("db", "migrate", *cluster.shards) == (0, f"a\t{len(MIGRATIONS)}\nb\t{len(MIGRATIONS)}\n", "")
    assert cluster.run("room", "list", *cluster.flags) == (0, "", "")
    # Mixed up, they would answer for each other.
    mixed = ["--shard", f"b={cluster.mysql.dsn('one')}", "--shard", f"a={cluster.mysql.dsn('two')}"]
    assert cluster.run("db", "migrate", *mixed)[0::2] == (
        1,
        "chat-gateway: the database given as shard b is shard a\n",
    )
    alone = ["--shard", cluster.shards[1], *cluster.flags[-2:]]
    assert "the map names shards that are not given: b" in cluster.run("room", "list", *alone)[2]


def test_what_is_missing_is_said_in_a_line(cluster: Cluster) -> None:
    assert cluster.run("db", "migrate")[::2] == (1, "chat-gateway: shards: at least one --shard is needed\n")
    code, _, complaint = cluster.run("room", "list", *cluster.shards)
    assert (code, complaint) == (1, "chat-gateway: shards: nodes that share a database need --redis as well\n")
    code, _, complaint = cluster.run("db", "migrate", "--shard", "a=mysql://root:geheim@127.0.0.1:1/one")
    assert code == 1
    assert "shards that do not answer: a" in complaint
    assert "geheim" not in complaint


async def test_nodes_of_a_cluster_do_not_each_make_a_token_key(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.run("db", "migrate", *cluster.shards)[0] == 0
    assert cluster.run("user", "create", "anna", *cluster.flags, text=f"{PASSWORD}\n")[0] == 0
    async with node_process(tmp_path, *cluster.flags, listen=False) as node:
        assert await node.wait() == 1
        [complaint] = [line for line in node.log.splitlines() if line.startswith("chat-gateway: ")]
        assert complaint.startswith("chat-gateway: token_key: nodes that share a database need one key")
    assert not (node.data_dir / "token.key").exists()


def test_no_password_of_a_shard_is_printed(cluster: Cluster) -> None:
    shard = "a=mysql://root:geh@eim@127.0.0.1:1/one,mysql://root:geheim@127.0.0.2/one"
    code, output, complaint = cluster.run("config", "--shard", shard)
    assert code == 0
    assert "a=mysql://root:***@127.0.0.1:1/one,mysql://root:***@127.0.0.2/one" in output
    assert "eim" not in output + complaint


async def test_two_nodes_serve_the_same_data(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.run("db", "migrate", *cluster.shards)[0] == 0
    for name in ("anna", "ben"):
        assert cluster.run("user", "create", name, *cluster.flags, text=f"{PASSWORD}\n")[0] == 0
    with trio.fail_after(DEADLINE_SECONDS):
        async with (
            node_process(tmp_path, *cluster.flags, env=TOKEN_KEY) as first,
            node_process(tmp_path, *cluster.flags, env=TOKEN_KEY) as second,
            open_client(first.url, name="anna", password=PASSWORD) as anna,
            open_client(second.url, name="ben", password=PASSWORD) as ben,
        ):
            room = await anna.create_room("lobby")
            here, there = await anna.join(room.id), await ben.join(room.id)
            await here.publish({"text": "hello"})
            async for event in there.events():
                assert isinstance(event, Message)
                assert (event.seq, event.body) == (1, {"text": "hello"})
                break
            page = await there.history(limit=10)
            assert [message.body for message in page.messages] == [{"text": "hello"}]
    code, output, _ = cluster.run("room", "list", *cluster.flags)
    assert (code, output) == (0, f"{room.id}\tpublic\tlobby\n")

"""An archive as operators and users meet it: commands, a node, a client that pages back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio

from chat.client import open_client
from tests.support.command_line import run_command
from tests.support.mysql_servers import MySqlProcess, mysql_server
from tests.support.node_process import TOKEN_KEY, node_process
from tests.support.redis_servers import RedisProcess, redis_server
from tests.support.s3_server import s3_server

PASSWORD = "correct horse"
DEADLINE_SECONDS = 180
OLD = ["--older-than", "0.001s", "--once"]


class Installation:
    """One shard, a Redis, and an archive in a directory."""

    def __init__(self, mysql: MySqlProcess, redis: RedisProcess, directory: Path) -> None:
        self.redis = redis
        self.directory = directory
        self.archive = directory / "archive"
        self.shards = ["--shard", f"a={mysql.dsn('one')}"]
        self.flags = [*self.shards, "--archive", str(self.archive)]

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Exit code, output and complaints of a command."""
        return run_command(self.directory, *arguments, text=f"{PASSWORD}\n", env=environment)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with mysql_server() as mysql, redis_server() as redis:
        mysql.sql("CREATE DATABASE one")
        made = Installation(mysql, redis, tmp_path)
        assert made.run("db", "migrate", *made.shards)[0] == 0
        yield made


async def test_a_client_pages_back_into_the_archive(installation: Installation, tmp_path: Path) -> None:
    with s3_server() as s3, trio.fail_after(DEADLINE_SECONDS):
        environment, flags = s3.environment, [*installation.shards, "--archive", s3.location]
        redis = ["--redis", installation.redis.url]
        assert installation.run("user", "create", "anna", *installation.shards, *redis)[0] == 0
        async with (
            node_process(tmp_path, *flags, *redis, env=TOKEN_KEY | environment) as node,
            open_client(node.url, name="anna", password=PASSWORD) as anna,
        ):
            room = await anna.join((await anna.create_room("lobby")).id)
            for number in range(20):
                await room.publish({"text": f"old {number}"}, key=f"old-{number}")
            code, output, _ = installation.run("archive", "run", *flags, *OLD, environment=environment)
            assert (code, output.split("\t")[:3]) == (0, ["a", "20", "1"])
            for number in range(20):
                await room.publish({"text": f"new {number}"})
            installation.redis.command("FLUSHALL")  # or the cache would have all of it
            texts: list[str] = []
            page = await room.history(limit=15)
            while True:
                texts = [str(message.body["text"]) for message in page.messages] + texts
                if not page.more:
                    break
                page = await room.history(before=page.messages[0].seq, limit=15)
            assert texts == [f"{age} {number}" for age in ("old", "new") for number in range(20)]
            again = await room.publish({"text": "once more"}, key="old-3")
            assert (again.seq, again.duplicate) == (4, True)
            await room.edit(4, {"text": "edited"})
            await room.delete(5)
            [fourth, fifth] = (await room.history(after=3, limit=2)).messages
            assert (fourth.body, fifth.deleted) == ({"text": "edited"}, True)
            code, output, _ = installation.run("archive", "verify", *flags, environment=environment)
            assert (code, output.split()[:2]) == (0, ["1", "segments,"])


async def test_damage_is_reported_and_never_shown(installation: Installation, tmp_path: Path) -> None:
    redis = ["--redis", installation.redis.url]
    assert installation.run("user", "create", "anna", *installation.shards, *redis)[0] == 0
    with trio.fail_after(DEADLINE_SECONDS):
        async with (
            node_process(tmp_path, *installation.flags, *redis, env=TOKEN_KEY) as node,
            open_client(node.url, name="anna", password=PASSWORD) as anna,
        ):
            room = await anna.join((await anna.create_room("lobby")).id)
            for number in range(3):
                await room.publish({"text": f"{number}"})
            assert installation.run("archive", "run", *installation.flags, *OLD)[0] == 0
            await room.publish({"text": "new"})
            installation.redis.command("FLUSHALL")
            [path] = await trio.to_thread.run_sync(lambda: list(installation.archive.rglob("*.parquet")))
            data = bytearray(path.read_bytes())
            data[50] ^= 1
            path.write_bytes(data)
            async with httpx.AsyncClient(base_url=node.url, timeout=DEADLINE_SECONDS) as http:
                signed_in = await http.post("/api/login", json={"name": "anna", "password": PASSWORD})
                http.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
                refused = await http.get(f"/api/rooms/{room.id}/messages", params={"limit": 10})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
            assert [message.body["text"] for message in (await room.history(limit=1)).messages] == ["new"]
            code, output, _ = installation.run("archive", "verify", *installation.flags)
            assert code == 1
            assert output.splitlines()[0].startswith(f"{path.relative_to(installation.archive)}\t")
            assert output.splitlines()[-1].endswith("1 findings")

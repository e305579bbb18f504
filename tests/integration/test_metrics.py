"""A node under traffic, scraped and operated as machines and people do it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families as parse

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_shards import migrate_shards
from chat.bootstrap import Listening, open_ports, run_node
from chat.config import ChatConfig
from chat.version import version
from gateway_core import GatewayConfig
from tests.support.chat_sockets import ChatSocket, ChatSockets, open_sockets
from tests.support.mysql_servers import empty_databases
from tests.support.processes import free_port
from tests.support.redis_servers import emptied

SECONDS = 120.0
PASSWORD = "correct horse"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
PREFIX = "chat_gateway_"
DOCS = Path(__file__).parents[2] / "docs" / "operation.md"
Backend = Literal["native", "pure"]
Samples = dict[tuple[str, ...], float]


class Scene:
    """A node with clients, and what its ports say."""

    def __init__(self, listening: Listening, client: httpx.AsyncClient, sockets: ChatSockets) -> None:
        self.listening = listening
        self.client = client
        self.sockets = sockets

    async def account(self, name: str) -> tuple[str, dict[str, str]]:
        """A new user's id, and the headers of its requests."""
        credentials = {"name": name, "password": PASSWORD}
        (await self.client.post("/api/register", json=credentials)).raise_for_status()
        return await self.signed_in(name)

    async def signed_in(self, name: str) -> tuple[str, dict[str, str]]:
        answer = (await self.client.post("/api/login", json={"name": name, "password": PASSWORD})).json()
        return answer["user"]["id"], {"Authorization": f"Bearer {answer['access_token']}"}

    async def socket(self, headers: dict[str, str]) -> ChatSocket:
        token = headers["Authorization"].removeprefix("Bearer ")
        return await self.sockets.connect(self.listening.address, token)

    async def exposed(self) -> str:
        """What the port for metrics answers."""
        assert self.listening.admin is not None
        host, port = self.listening.admin
        answer = await self.client.get(f"http://{host}:{port}/metrics")
        assert answer.status_code == 200
        return answer.text

    async def scrape(self) -> Samples:
        """Values by name and labels."""
        samples = [sample for family in parse(await self.exposed()) for sample in family.samples]
        found = {(sample.name.removeprefix(PREFIX), *sample.labels.values()): sample.value for sample in samples}
        assert len(found) == len(samples)
        return found

    async def metric_names(self) -> set[str]:
        """Of ours, as they are written in queries; without the suffixes of histograms."""
        families = parse(await self.exposed())
        suffixes = {"counter": "_total"}
        return {
            family.name.removeprefix(PREFIX) + suffixes.get(family.type, "")
            for family in families
            if family.name.startswith(PREFIX)
        }

    async def until(self, condition: Callable[[Samples], bool]) -> Samples:
        """Scrapes until `condition` holds: nothing tells when another thread has counted."""
        samples = await self.scrape()
        with trio.fail_after(SECONDS):
            while not condition(samples):
                await trio.sleep(0.05)
                samples = await self.scrape()
        return samples

    async def until_left(self, connections: int) -> Samples:
        """Waits until that many are connected."""
        return await self.until(lambda now: now["connections",] == now["sessions",] == connections)


@asynccontextmanager
async def scene(directory: Path, backend: Backend = "pure", **settings: Any) -> AsyncIterator[Scene]:
    config = ChatConfig(
        data_dir=directory,
        backend=backend,
        node="node-a",
        admin_port=free_port(),
        gateway=GatewayConfig(port=0),
        **settings,
    )
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery, open_sockets() as sockets:
            listening = await nursery.start(run_node, config, trio.Event())
            host, port = listening.address
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=SECONDS) as client:
                yield Scene(listening, client, sockets)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("backend", ["native", "pure"])
async def test_the_counters_are_what_happened(tmp_path: Path, backend: Backend) -> None:
    async with scene(tmp_path, backend) as node:
        accounts = [await node.account(name) for name in ("anna", "bob", "carl")]
        created = await node.client.post("/api/rooms", json={"name": "tea"}, headers=accounts[0][1])
        room = created.json()["room"]["id"]
        before = await node.scrape()
        sockets = [await node.socket(headers) for _, headers in accounts]
        for socket in sockets:
            await socket.ask("join", room=room)
        for number in range(10):
            await sockets[number % 3].ask("publish", room=room, key=f"key-{number}", body={"text": "hello"})
        assert (await sockets[0].ask("publish", room=room, key="k", body={}))["code"] == "invalid"
        assert (await sockets[0].ask("dance"))["code"] == "unknown_op"
        for socket in sockets:
            await socket.pushed("message", 10)
        await sockets[2].close()
        now = await node.until_left(2)

        def rose(*name: str) -> float:
            return now[name] - before.get(name, 0)

        assert now["info", backend, "node-a", version()] == 1
        assert (now["rooms",], now["topics",]) == (1, 1)
        assert (rose("handshakes_total", "101"), rose("closes_total", "1000")) == (3, 1)
        assert (rose("commands_total", "join"), rose("commands_total", "publish")) == (3, 11)
        assert rose("commands_total", "unknown") == 1
        assert (rose("messages_published_total"), rose("messages_refused_total", "invalid")) == (10, 1)
        assert rose("messages_received_total") == 3 + 11 + 1
        answers_and_messages = 3 + 11 + 1 + 3 * 10
        assert answers_and_messages <= rose("deliveries_total") < 2 * answers_and_messages, "and who comes and goes"
        assert rose("publish_delivery_seconds_count") == rose("publish_delivery_seconds_bucket", "+Inf") == 10
        assert 0 < rose("publish_delivery_seconds_sum") < SECONDS
        assert rose("commit_writes_sum", "sqlite") >= 10
        assert rose("commit_seconds_count", "sqlite") == rose("commit_writes_count", "sqlite") > 0
        assert rose("commit_failures_total", "sqlite") == 0
        assert (rose("slow_consumers_total"), rose("dropped_total"), rose("gap_repairs_total")) == (0, 0, 0)
        assert rose("received_bytes_total") > 11 * 50
        assert rose("sent_bytes_total") > 30 * 50


async def test_a_node_of_a_cluster_tells_of_its_shards_and_of_redis(tmp_path: Path) -> None:
    databases = empty_databases("one", "two")
    shards = tuple(f"{name}={dsn}" for name, dsn in databases.items())
    async with AsyncioBridge() as bridge:
        await migrate_shards(bridge, parse_shards(shards))
    more: dict[str, Any] = {"token_key": "k" * 32, "archive": str(tmp_path / "archive")}
    async with scene(tmp_path, shards=shards, redis=emptied("redis").url, **more) as node:
        _, headers = await node.account("anna")
        socket = await node.socket(headers)
        created = await node.client.post("/api/rooms", json={"name": "tea"}, headers=headers)
        room = created.json()["room"]["id"]
        await socket.ask("join", room=room)
        await socket.ask("publish", room=room, key="k", body={"text": "hello"})
        await socket.pushed("message")
        (await node.client.get(f"/api/rooms/{room}/messages", headers=headers)).raise_for_status()
        samples = await node.scrape()
        assert samples["commit_writes_sum", "one"] + samples["commit_writes_sum", "two"] == 1
        assert samples["publish_delivery_seconds_count",] == 1
        for shard in ("one", "two"):
            labels = ("primary", shard)
            assert samples["mysql_breaker_open", *labels] == samples["mysql_waiting_calls", *labels] == 0
            assert 0 <= samples["mysql_connections_in_use", *labels] <= 10
        assert samples["redis_commands_total",] >= samples["redis_call_seconds_count",] > 0
        assert samples["redis_primaries",] == samples["redis_primaries_up",] == 1
        assert samples["cache_reads_total", "hit"] + samples["cache_reads_total", "miss"] == 1
        assert await node.metric_names() == documented_names()


def documented_names() -> set[str]:
    """Those in the first column of the table of metrics."""
    table = DOCS.read_text().partition("| metric |")[2].partition("\n\n")[0]
    firsts = (line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    return {name for first in firsts for name in re.findall(r"`(\w+)", first)}


async def test_a_refused_handshake_is_counted_by_its_status(tmp_path: Path) -> None:
    async with scene(tmp_path) as node:
        headers = UPGRADE | {"Authorization": "Bearer wrong"}
        assert (await node.client.get("/ws", headers=headers)).status_code == 401
        assert (await node.client.get("/elsewhere", headers=UPGRADE)).status_code == 404
        samples = await node.scrape()
        assert (samples["handshakes_total", "401"], samples["handshakes_total", "404"]) == (1, 1)
        assert samples["connections",] == 0


async def test_labels_hold_nothing_that_people_chose(tmp_path: Path) -> None:
    async with scene(tmp_path) as node:
        user, headers = await node.account("secretname")
        socket = await node.socket(headers)
        room = (await node.client.post("/api/rooms", json={"name": "secretroom"}, headers=headers)).json()["room"]["id"]
        await socket.ask("join", room=room)
        await socket.ask("publish", room=room, key="secretkey", body={"text": "secrettext"})
        await socket.ask("secretop")
        text = repr(list(await node.scrape()))
        for secret in ("secret", user, room, headers["Authorization"].split()[1]):
            assert secret not in text


async def test_the_admin_port_answers_health_and_nothing_else(tmp_path: Path) -> None:
    async with scene(tmp_path) as node:
        assert node.listening.admin is not None
        host, port = node.listening.admin
        assert host == "127.0.0.1"
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/api/rooms", 404), ("/", 404), ("/ws", 404)):
            assert (await node.client.get(f"http://{host}:{port}{path}")).status_code == status
        assert (await node.client.post(f"http://{host}:{port}/metrics")).status_code == 405
        assert (await node.client.get("/metrics")).status_code == 404


async def test_an_operator_sees_a_connection_and_ends_it(tmp_path: Path) -> None:
    async with open_ports(ChatConfig(data_dir=tmp_path)) as ports:
        pass  # so that the directory is a node's
    async with scene(tmp_path) as node:
        await node.account("anna")
    async with open_ports(ChatConfig(data_dir=tmp_path)) as ports:
        found = await ports.users.by_name("anna")
        assert found is not None
        await ports.users.set_admin(found[0].id, True)
    async with scene(tmp_path) as node:
        _, admin = await node.signed_in("anna")
        bob, headers = await node.account("bob")
        room = (await node.client.post("/api/rooms", json={"name": "tea"}, headers=headers)).json()["room"]["id"]
        socket = await node.socket(headers)
        await socket.ask("join", room=room)
        await socket.ask("publish", room=room, key="k", body={"text": "hello"})
        await socket.pushed("message")
        await socket.close()
        await node.until_left(0)
        for action, code in (("close", 4503), ("ban", 4504)):
            if action == "ban":
                _, headers = await node.signed_in("bob")
            sockets = [await node.socket(headers) for _ in range(2)]
            for socket in sockets:
                await socket.ask("hello")
            assert await connections(node, admin, "bob") == 2
            (await node.client.post(f"/api/admin/users/{bob}/{action}", headers=admin)).raise_for_status()
            assert [await socket.close_code() for socket in sockets] == [code, code]
            await node.until_left(0)
            assert await connections(node, admin, "bob") == 0
        await node.until(lambda now: now["event_loop_lag_seconds_count",] > 0)
        overview: dict[str, Any] = (await node.client.get("/api/admin/overview", headers=admin)).json()
        assert (overview["node"], overview["connections"]) == ("node-a", 0)
        assert (overview["messages"], overview["slow_consumers"]) == (1, 0)
        assert overview["deliveries"] >= 3 + 4
        assert overview["uptime_seconds"] > 0
        for waits in ("latency_ms", "commit_ms", "event_loop_lag_ms"):
            assert 0 < overview[waits]["p50"] <= overview[waits]["p99"]
        [line] = overview["nodes"]
        assert (line["node"], line["address"]) == ("node-a", "{}:{}".format(*node.listening.address))


async def connections(node: Scene, admin: dict[str, str], name: str) -> int:
    """What the API says about a user."""
    [line] = (await node.client.get(f"/api/admin/users?name={name}", headers=admin)).json()["users"]
    count: int = line["connections"]
    return count

"""What a batch of messages costs the servers: no more round trips and commits than one message."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chat.adapters.distributed.cached_message_store import CachedMessageStore
from chat.bootstrap import Ports, open_ports, open_services
from chat.config import ChatConfig
from chat.domain.messages import Appended
from chat.domain.rooms import Role, Room, RoomKind
from chat.domain.users import Identity, SessionId
from chat.ports.rate_limiter import Rate
from chat.services import Limits, Post, Posting, Submission
from tests.support.counting_proxy import CountingProxy, counting_proxy
from tests.support.mysql_nodes import mysql_node
from tests.support.mysql_servers import MARIADB, empty_databases, shared_server
from tests.support.redis_servers import RedisProcess, emptied

DEADLINE_SECONDS = 60
ROOMS = 40
"""So many that both shards have some."""


class Node:
    """A node's way of posting, over real servers; everything that it says to Redis is counted."""

    def __init__(self, ports: Ports, posting: Posting, redis: CountingProxy) -> None:
        self.ports = ports
        self.redis = redis
        self._posting = posting
        self._keys = itertools.count()

    async def furnish(self) -> None:
        """Makes a user and rooms, and posts once, so that scripts are loaded and connections made."""
        user = await self.ports.users.create("ada", "hash")
        self.who = Identity(user, SessionId("session"), 2e9)
        self.rooms = [await self.ports.rooms.create("room", RoomKind.PUBLIC, user.id) for _ in range(ROOMS)]
        await self.post(ROOMS)

    async def post(self, count: int) -> None:
        """Posts `count` messages in one batch, to all rooms in turn, and waits for the cache as well."""
        rooms = itertools.islice(itertools.cycle(self.rooms), count)
        answers = await self._posting.post([self._submission(room) for room in rooms])
        assert all(isinstance(answer, Appended) for answer in answers), answers
        assert isinstance(self.ports.messages, CachedMessageStore)
        await self.ports.messages.settled()

    def shards(self, count: int) -> int:
        """How many shards the next batch of `count` goes to."""
        return len({self.ports.messages.lane(room.id) for room in self.rooms[:count]})

    def _submission(self, room: Room) -> Submission:
        return Submission(self.who, Post(room.id, f"key-{next(self._keys)}", {"text": "hello"}), Role.OWNER)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    databases = empty_databases("one", "two")
    redis = emptied("redis")
    assert isinstance(redis, RedisProcess)
    with trio.fail_after(DEADLINE_SECONDS):
        async with mysql_node(databases):
            pass  # which makes the schema
        async with counting_proxy(redis.port) as proxy:
            config = ChatConfig(
                data_dir=tmp_path,
                limits=Limits(publish_per_user=Rate(1_000, 1_000), publish_per_room=Rate(1_000, 1_000)),
                token_key="a key of tests, of 32 bytes at least",
                redis=f"redis://127.0.0.1:{proxy.port}",
                shards=tuple(f"{name}={dsn}" for name, dsn in databases.items()),
            )
            async with open_ports(config) as ports:
                node = Node(ports, open_services(config, ports).posting, proxy)
                await node.furnish()
                yield node


@pytest.mark.parametrize("count", [1, 100])
async def test_a_batch_is_one_round_trip_to_redis_for_each_purpose(node: Node, count: int) -> None:
    node.redis.requests.clear()
    await node.post(count)
    [published] = node.redis.having(b"\r\nroom:")
    assert published.count(b"PUBLISH\r\n") >= count
    # The rates of users and of rooms before the commit, the cache of recent messages behind the answer.
    assert len(node.redis.having(b"rate:")) == 2
    assert len(node.redis.having(b"recent:")) == 1


@pytest.mark.parametrize("count", [1, 100])
async def test_a_batch_is_one_commit_for_each_shard(node: Node, count: int) -> None:
    before = _commits()
    await node.post(count)
    assert _commits() - before == node.shards(count) == min(count, 2)


def _commits() -> int:
    """Of all databases; both shards of these tests are on one server."""
    [[_, commits]] = shared_server(MARIADB).sql("SHOW GLOBAL STATUS LIKE 'Com_commit'")
    return int(commits)

"""The stores of one node over shards of MySQL, and people who append through them whatever breaks."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Sequence

import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.message_store import MySqlMessageStore, open_message_store
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_server import DEADLINE_SECONDS
from chat.adapters.distributed.mysql_shards import MySqlShards, open_shards
from chat.adapters.distributed.room_store import MySqlRoomStore
from chat.adapters.distributed.shard_map import Kind
from chat.adapters.distributed.user_store import MySqlUserStore
from chat.adapters.ids import new_epoch, new_id
from chat.domain.errors import Unavailable
from chat.domain.messages import Appended, NewMessage
from chat.domain.rooms import Role, Room, RoomId, RoomKind
from chat.domain.users import UserId
from tests.support.history_checker import History, Row
from tests.support.stores import sharded


@dataclasses.dataclass(frozen=True)
class MySqlNode:
    shards: MySqlShards
    messages: MySqlMessageStore
    rooms: MySqlRoomStore
    users: MySqlUserStore

    async def new_user(self) -> UserId:
        return (await self.users.create(new_id(), "hash")).id

    async def room_on(self, shard: str, owner: UserId) -> Room:
        """A new room that lives on a certain shard, and nothing else."""
        ids = (RoomId(new_id()) for _ in itertools.count())
        room = next(room for room in ids if self.shards.shard_of(Kind.ROOMS, room) == shard)
        return await self.rooms._create(Room(room, RoomKind.PUBLIC, "room", new_epoch()), {owner: Role.OWNER})


@contextlib.asynccontextmanager
async def mysql_node(
    dsns: dict[str, str], *, deadline_seconds: float = DEADLINE_SECONDS, migrate: bool = True
) -> AsyncIterator[MySqlNode]:
    """A node over shards, by name; their schema is made first, unless `migrate` is False."""
    shards = parse_shards([f"{name}={dsn}" for name, dsn in dsns.items()])
    async with (
        AsyncioBridge() as bridge,
        (sharded if migrate else open_shards)(bridge, shards, deadline_seconds=deadline_seconds) as opened,
        open_message_store(opened) as messages,
    ):
        yield MySqlNode(opened, messages, MySqlRoomStore(opened), MySqlUserStore(opened))


class AppendCrowd:
    """Senders that retry until they get an answer, and a reader of each room, as tasks of `nursery`.

    Each room's history must be the one that all of them can agree on: `history` tells.
    """

    def __init__(self, nodes: Sequence[MySqlNode], rooms: Sequence[Room], *, senders: int = 20) -> None:
        self.history = History()
        self.refusals = 0
        """Answers that told a sender to try again."""
        self._nodes = nodes
        self._rooms = rooms
        self._senders = senders
        self._stopping = False
        self._answered = False
        self._progress = trio.Condition()

    async def run(self, user: UserId, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until `finish` is called and everything that was begun has an answer and was read."""
        async with trio.open_nursery() as readers:
            for room in self._rooms:
                readers.start_soon(self._read, room.id)
            task_status.started()
            async with trio.open_nursery() as senders:
                for number in range(self._senders):
                    senders.start_soon(self._send, self._nodes[number % len(self._nodes)], user, number)
            self._answered = True

    async def until_acked(self, more: int) -> None:
        goal = self.history.acked + more
        async with self._progress:
            while self.history.acked < goal:
                await self._progress.wait()

    def finish(self) -> None:
        self._stopping = True

    async def _send(self, node: MySqlNode, user: UserId, sender: int) -> None:
        for number in itertools.count():
            if self._stopping:
                return
            room = self._rooms[(sender + number) % len(self._rooms)].id
            key = f"{sender}-{number}"
            text = f"{key} {'x' * 200}"
            self.history.sends(room, f"{sender}", key, text)
            answer = await self._append(node, NewMessage(room, user, key, {"text": text}))
            self.history.acknowledged(room, f"{sender}", key, answer.seq)
            async with self._progress:
                self._progress.notify_all()

    async def _append(self, node: MySqlNode, message: NewMessage) -> Appended:
        """As a client does it: the same key, until there is an answer."""
        while True:
            [answer] = await node.messages.append([message])
            if isinstance(answer, Appended):
                return answer
            assert isinstance(answer, Unavailable), answer
            self.refusals += 1
            await trio.sleep(0.1)

    async def _read(self, room: RoomId) -> None:
        """Follows a room page by page; what it has when all is over is the room's history."""
        receiver = self.history.receiver("reader", room, 0)
        rows: list[Row] = []
        while True:
            complete = self._answered
            with contextlib.suppress(Unavailable):
                page = await self._nodes[-1].messages.read_after(room, len(rows), 500)
                for message in page:
                    sender, _, _ = message.key.partition("-")
                    text = message.body["text"]
                    rows.append(Row(message.seq, sender, message.key, text=text))
                    receiver.received(message.seq, sender, message.key, text=text)
                if complete and not page:
                    self.history.stored(room, rows)
                    return
            await trio.sleep(0.05)

"""Messages that were committed, and that nobody was told of."""

from __future__ import annotations

from collections.abc import Sequence

import trio
from trio.testing import MockClock

from chat.domain.errors import ChatError, Unavailable
from chat.domain.messages import Appended, NewMessage
from tests.support.chat_nodes import memory_ports, open_cluster
from tests.support.memory_stores import MemoryMessageStore

NEVER_SECONDS = 1e6


class LostAnswer(MemoryMessageStore):
    """Commits the next append, and says that the store is away."""

    lose = True

    async def append(self, messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        answers = await super().append(messages)
        if self.lose:
            self.lose = False
            raise Unavailable("the store is away")
        return answers


async def test_a_message_whose_answer_was_lost_is_told_by_its_retry(autojump_clock: MockClock) -> None:
    ports = memory_ports(LostAnswer())
    async with open_cluster(2, ports=ports, audit_seconds=NEVER_SECONDS) as cluster:
        alice, bob = await cluster.user("alice"), await cluster.user("bob")
        room = await cluster.room(alice, bob)
        writer = await cluster.nodes[0].enter(alice, room)
        reader = await cluster.nodes[1].enter(bob, room)
        said = {"room": room.id, "key": "k", "body": {"text": "first"}}
        assert (await writer.ask("publish", **said))["code"] == "unavailable"
        await trio.sleep(60)
        assert reader.seqs(room.id) == []
        answer = await writer.ask("publish", **{**said, "body": {"text": "second"}})
        assert (answer["seq"], answer["duplicate"]) == (1, True)
        [message] = await reader.pushed("message")
        assert message["body"] == {"text": "first"}

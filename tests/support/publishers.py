"""A crowd that talks and listens through the client, and writes down what it sees.

    async with crowd(url, history, config) as people:
        await people.until_acked(100)   # break something meanwhile
        await people.finish()           # and the history can be judged

Nobody in it handles a fault: whatever is broken, the clients put right by themselves or the test fails.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from chat.client import Client, ClientConfig, Message, Missed, Room, State, Unrecovered, open_client, register
from tests.support.history_checker import History, Row

PASSWORD = "correct horse"
AT_A_TIME = 8
"""Messages that each speaker has under way in each room."""
PATIENCE_SECONDS = 120.0
"""For clients to come back and go on, on a loaded machine."""


class Crowd:
    """Speakers and listeners of some rooms."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.outages: list[str] = []
        """Why connections ended, as the clients were told."""
        self._heard: dict[str, Room] = {}
        self._stopping = False
        self._speaking = 0
        self._progress = trio.Condition()

    async def until_acked(self, more: int) -> None:
        """Returns when so many further messages were acknowledged."""
        goal = self.history.acked + more
        await self._until(lambda: self.history.acked >= goal)

    async def until_heard(self) -> None:
        """Returns when every listener has everything that has been acknowledged by now."""
        for receiver in self.history.receivers:
            top = self.history.acked_top(receiver.room)
            await self._until(lambda receiver=receiver, top=top: receiver.last_seq >= top)  # type: ignore[misc]

    async def finish(self) -> None:
        """Lets everybody finish what was begun, reads the stored history, waits until every listener has it all."""
        self._stopping = True
        await self._until(lambda: self._speaking == 0)
        tops = {name: await self._read_back(room) for name, room in self._heard.items()}
        for receiver in self.history.receivers:
            await self._until(lambda receiver=receiver: receiver.last_seq >= tops[receiver.room])  # type: ignore[misc]

    async def listen(self, name: str, room: Room) -> None:
        """Writes down everything that the application is told."""
        assert room.position is not None
        receiver = self.history.receiver(name, room.id, room.position.seq)
        self._heard[room.id] = room
        async for event in room.events():
            match event:
                case Message():
                    receiver.received(event.seq, event.user, event.key, text=event.text)
                case Missed() | Unrecovered():
                    receiver.told_of_break(repr(event))
            await self._notify()

    async def speak(self, sender: str, room: Room) -> None:
        """Says one thing after the other."""
        self._speaking += 1
        while not self._stopping:
            key = str(uuid.uuid4())
            text = f"{key} {'x' * 60}"
            self.history.sends(room.id, sender, key, text)
            published = await room.publish({"text": text}, key=key)
            self.history.acknowledged(room.id, sender, key, published.seq)
            await self._notify()
        self._speaking -= 1
        await self._notify()

    def watch(self, state: State, why: str) -> None:
        """Told by every client of its connection."""
        if state is State.OFFLINE:
            self.outages.append(why)

    async def _read_back(self, room: Room) -> int:
        rows = await stored_rows(room)
        self.history.stored(room.id, rows)
        return len(rows)

    async def _until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            async with self._progress:
                while not condition():
                    await self._progress.wait()

    async def _notify(self) -> None:
        async with self._progress:
            self._progress.notify_all()


@asynccontextmanager
async def crowd(
    url: str,
    history: History,
    config: ClientConfig,
    *,
    others: Sequence[str] = (),
    speakers: int = 3,
    listeners: int = 2,
    rooms: int = 2,
) -> AsyncIterator[Crowd]:
    """Makes accounts and rooms on a node, and lets everybody talk in every room until the block ends.

    With the addresses of `others` the people are spread over all these nodes.
    """
    people = Crowd(history)
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for number, place in zip(range(speakers + listeners), itertools.cycle([url, *others])):
            await register(url, f"user{number}", PASSWORD)
            opened = open_client(place, name=f"user{number}", password=PASSWORD, config=config, on_state=people.watch)
            clients.append(await stack.enter_async_context(opened))
        names = [(await clients[0].create_room(f"room {number}")).id for number in range(rooms)]
        async with trio.open_nursery() as nursery:
            for name in names:
                for client in clients[speakers:]:
                    room = await client.join(name)
                    nursery.start_soon(people.listen, client.user.name, room)
                for client in clients[:speakers]:
                    room = await client.join(name)
                    for _ in range(AT_A_TIME):
                        nursery.start_soon(people.speak, client.user.id, room)
            yield people
            nursery.cancel_scope.cancel()


async def stored_rows(room: Room) -> list[Row]:
    """The whole history of a room, as the server gives it."""
    rows: list[Row] = []
    while True:
        page = await room.history(after=rows[-1].seq if rows else 0, limit=200)
        rows += [Row(message.seq, message.user, message.key, text=message.text) for message in page.messages]
        if not page.more:
            return rows

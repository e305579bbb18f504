"""A `MessageStore` with the recent messages of each room in Redis in front of it.

It promises what the store behind it does. The cache is filled behind the answers, so it delays none; what it says
up to its end is compared with the store's newest position; and if it cannot be reached, the store is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
import trio

from ...domain.errors import ChatError, NotFound, Unavailable
from ...domain.messages import Appended, Message, NewMessage, Position
from ...domain.rooms import RoomId
from ...domain.users import UserId
from ...ports.message_store import MessageStore
from .background import background_tasks
from .recent_cache import MAX_MESSAGES, QUIET_SECONDS, Page, RecentCache, Run, Taken
from .single_flight import SingleFlight

_MAX_WAITING_ROOMS = 10_000
"""With news for the cache; more are left out, and found missing by those who read."""
_MAX_PAGES = 200
_EARLY_SECONDS = 0.02
"""How long a message that came before the one ahead of it waits, until the store is asked for that one."""
_RETRY_SECONDS = 0.25
Q = TypeVar("Q", int, int | None)
_log = structlog.get_logger("chat.cache")


@asynccontextmanager
async def open_cached_store(store: MessageStore, cache: RecentCache) -> AsyncIterator[CachedMessageStore]:
    """`store` behind `cache`."""
    async with background_tasks() as nursery:
        cached = CachedMessageStore(store, cache, nursery)
        nursery.start_soon(cached.run)
        yield cached


class CachedMessageStore:
    """`run` must run for as long as it is used; shared reads run in `nursery`."""

    def __init__(self, store: MessageStore, cache: RecentCache, nursery: trio.Nursery) -> None:
        self._store = store
        self._cache = cache
        self._reads = SingleFlight(nursery)
        self._news: dict[RoomId, dict[int, tuple[str, Message]]] = {}
        """Appended and not in the cache yet, by room and seq, with the epoch."""
        self._early: set[RoomId] = set()
        """Whose news did not follow what the cache has, once."""
        self._pages: dict[RoomId, tuple[float, list[Message]]] = {}
        """The last page of a room that was read from the store, and when."""
        self._changed: dict[RoomId, None] = {}
        """Rooms with a change that the cache does not know of."""
        self._work = trio.Event()
        self._filling = False
        self._filled = trio.Event()
        self.hits = 0
        self.misses = 0

    async def settled(self) -> None:
        """Waits until the cache has been told everything, as far as it could be."""
        while self._filling or self._news or self._pages or self._changed:
            await self._filled.wait()

    async def append(self, messages: Sequence[NewMessage]) -> list[Appended | ChatError]:
        answers = await self._store.append(messages)
        for message, at in zip(messages, answers, strict=True):
            if isinstance(at, Appended) and not at.duplicate:
                self._add_news(at.epoch, Message(message.room, at.seq, at.ts, message.user, message.key, message.body))
        return answers

    def lane(self, room: RoomId) -> str:
        return self._store.lane(room)

    async def top(self, room: RoomId) -> Position:
        return await self._store.top(room)

    async def tops(self, rooms: Sequence[RoomId]) -> dict[RoomId, Position | Unavailable]:
        return await self._store.tops(rooms)

    async def read_after(self, room: RoomId, after: int, limit: int) -> list[Message]:
        return await self._reads.share(("after", room, after, limit), lambda: self._after(room, after, limit))

    async def read_before(self, room: RoomId, before: int | None, limit: int) -> list[Message]:
        return await self._reads.share(("before", room, before, limit), lambda: self._before(room, before, limit))

    async def read_one(self, room: RoomId, seq: int) -> Message:
        return await self._store.read_one(room, seq)

    async def edit(self, room: RoomId, seq: int, body: dict[str, Any]) -> Message:
        return await self._change(room, self._store.edit(room, seq, body))

    async def delete(self, room: RoomId, seq: int) -> Message:
        return await self._change(room, self._store.delete(room, seq))

    async def mentions_of(self, user: UserId, after: float, limit: int) -> list[tuple[RoomId, int, float]]:
        return await self._store.mentions_of(user, after, limit)

    # Reading

    async def _after(self, room: RoomId, after: int, limit: int) -> list[Message]:
        page = await self._cached(self._cache.read_after, room, after, limit)
        if page is not None and (len(page.messages) == limit or await self._is_whole(room, page)):
            self.hits += 1
            return page.messages
        self.misses += 1
        messages = await self._store.read_after(room, after, limit)
        self._add_page(room, messages)
        return messages

    async def _before(self, room: RoomId, before: int | None, limit: int) -> list[Message]:
        page = await self._cached(self._cache.read_before, room, before, limit)
        if page is not None and ((before is not None and before <= page.top) or await self._is_whole(room, page)):
            self.hits += 1
            return page.messages
        self.misses += 1
        messages = await self._store.read_before(room, before, limit)
        self._add_page(room, messages)
        return messages

    async def _cached(
        self, read: Callable[[RoomId, Q, int], Awaitable[Page | None]], room: RoomId, seq: Q, limit: int
    ) -> Page | None:
        if room in self._changed or not 0 < limit <= MAX_MESSAGES:
            return None
        try:
            return await read(room, seq, limit)
        except Unavailable:
            return None

    async def _is_whole(self, room: RoomId, page: Page) -> bool:
        """Whether there is nothing behind what the cache has."""
        return (await self._store.tops([room])).get(room) == Position(page.epoch, page.top)

    # Changing

    async def _change(self, room: RoomId, change: Coroutine[Any, Any, Message]) -> Message:
        """Before a change is acknowledged nobody finds the message in the cache as it was."""
        try:
            changed = await change
        except NotFound:
            raise
        except BaseException:
            await self._forget(room)  # as it may have happened
            raise
        await self._forget(room)
        return changed

    async def _forget(self, room: RoomId) -> None:
        self._changed[room] = None
        with trio.CancelScope(shield=True):
            await self._flush_changes()

    # Filling

    def _add_news(self, epoch: str, message: Message) -> None:
        if message.room in self._news or len(self._news) < _MAX_WAITING_ROOMS:
            self._news.setdefault(message.room, {})[message.seq] = epoch, message
            self._work.set()

    def _add_page(self, room: RoomId, messages: list[Message]) -> None:
        if messages and len(self._pages) < _MAX_PAGES:
            self._pages[room] = trio.current_time(), messages[-MAX_MESSAGES:]
            self._work.set()

    async def run(self) -> None:
        """Keeps the cache up to date, for ever."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            self._filling = True
            try:
                await self._flush_changes()
                await self._flush_news()
                await self._flush_pages()
            except ChatError as error:
                _log.debug("cache_not_filled", error=error.message)
            self._filling = False
            self._filled.set()
            self._filled = trio.Event()
            if self._changed or self._early:
                await trio.sleep(_RETRY_SECONDS if self._changed else _EARLY_SECONDS)
                self._work.set()

    async def _flush_changes(self) -> None:
        rooms = list(self._changed)
        missed = await self._cache.drop(rooms)
        for room in set(rooms) - set(missed):
            self._changed.pop(room, None)
        if missed:
            self._work.set()

    async def _flush_news(self) -> None:
        news, self._news = self._news, {}
        runs = {room: _run(by_seq) for room, by_seq in news.items()}
        for room, answer in (await self._cache.append(runs)).items():
            taken, top = (Taken.OK, 0) if isinstance(answer, Unavailable) else answer
            if taken is not Taken.HOLE:
                self._early.discard(room)
            elif room in self._early:
                self._early.discard(room)
                await self._close_hole(room, runs[room].epoch, top)
            else:
                self._early.add(room)
                self._news[room] = {**news[room], **self._news.get(room, {})}

    async def _close_hole(self, room: RoomId, epoch: str, top: int) -> None:
        """Fetches what is missing behind `top`; if that is too much, the cache starts over."""
        missing = await self._store.read_after(room, top, MAX_MESSAGES)
        if len(missing) < MAX_MESSAGES:
            await self._cache.append({room: Run(epoch, missing)})
        else:
            await self._forget(room)

    async def _flush_pages(self) -> None:
        pages, self._pages = self._pages, {}
        oldest = trio.current_time() - QUIET_SECONDS / 2  # a change since then would not be noticed
        pages = {room: page for room, page in pages.items() if page[0] >= oldest}
        tops = await self._store.tops(list(pages)) if pages else {}
        for room, (_, messages) in pages.items():
            if isinstance(top := tops.get(room), Position):
                await self._cache.fill(room, Run(top.epoch, messages), is_newest=messages[-1].seq == top.seq)


def _run(by_seq: dict[int, tuple[str, Message]]) -> Run:
    """In their order; those of the newest message's epoch, should there be two."""
    epoch, _ = by_seq[max(by_seq)]
    return Run(epoch, [message for _, (its_epoch, message) in sorted(by_seq.items()) if its_epoch == epoch])

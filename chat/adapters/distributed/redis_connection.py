"""One connection to a Redis server, shared by all tasks: commands go out together, replies come back in order.

Waiting commands of all tasks leave in one write, so the busier a node is, the less a command costs. One task
reads every reply, also those that nobody waits for any more: cancelling a caller can never hand its reply to
another one.
"""

from __future__ import annotations

import collections
import ssl
from collections.abc import Callable, Sequence

import hiredis
import outcome
import trio

from .redis_url import Address, RedisUrl
from .redis_wire import NOTHING_YET, Reply, ReplyError, code_of, new_reader, pack

RECEIVE_BYTES = 65_536
MAX_WAITING_REPLIES = 50_000
MAX_UNSENT_BYTES = 32 * 1024 * 1024
"""A server that takes no more than this in time is away, as far as we are concerned."""
_TICKS = 4
"""In a deadline; its precision is a tick."""
Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Away(Exception):
    """There is no connection; nothing was sent."""


class Broken(Away):
    """The connection ended before the reply: whether the command was carried out is unknown."""


async def open_stream(
    url: RedisUrl, address: Address, *commands: bytes, strict: bool = True
) -> tuple[Stream, hiredis.Reader, list[Reply]]:
    """Connects, signs in, and returns the replies to `commands` with what is needed to go on.

    Unless `strict`, a refused sign-in is no error: a sentinel may have no password where its server has one.
    Raises: Away. The caller sets the deadline.
    """
    try:
        plain = await trio.open_tcp_stream(address.host, address.port)
    except OSError as error:
        raise Away(f"{address}: {error.strerror or type(error).__name__}") from error
    stream: Stream = plain
    try:
        if url.tls:
            stream = trio.SSLStream(plain, ssl.create_default_context(), server_hostname=address.host)
        greeting = _greeting(url)
        reader = new_reader()
        replies = await _converse(stream, reader, [*greeting, *commands])
        for reply in replies[: len(greeting)]:
            if strict and isinstance(reply, ReplyError):
                raise Away(f"{address}: refused with {code_of(reply)}")
        return stream, reader, replies[len(greeting) :]
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, OSError | trio.BrokenResourceError | hiredis.HiredisError):
            raise Away(f"{address}: {type(error).__name__}") from error
        raise


def _greeting(url: RedisUrl) -> list[bytes]:
    commands = []
    if url.password:
        commands.append(pack("AUTH", *([url.username] if url.username else []), url.password))
    if url.database:
        commands.append(pack("SELECT", url.database))
    return commands


async def _converse(stream: Stream, reader: hiredis.Reader, commands: Sequence[bytes]) -> list[Reply]:
    replies: list[Reply] = []
    if commands:
        await stream.send_all(b"".join(commands))
    while len(replies) < len(commands):
        if (reply := reader.gets()) is NOTHING_YET:
            if not (data := await stream.receive_some(RECEIVE_BYTES)):
                raise trio.BrokenResourceError("closed")
            reader.feed(bytes(data))
        else:
            replies.append(reply)
    return replies


class _Batch:
    """The commands of one call. `task` is None once nobody waits; `born` is the tick of its sending."""

    __slots__ = ("born", "missing", "replies", "task")

    def __init__(self, missing: int, born: int, task: trio.lowlevel.Task) -> None:
        self.missing = missing
        self.born = born
        self.task: trio.lowlevel.Task | None = task
        self.replies: list[Reply] = []

    def abandon(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED


class RedisConnection:
    """A stream that is signed in. `run` must run for as long as it is used."""

    def __init__(
        self, stream: Stream, reader: hiredis.Reader, *, deadline_seconds: float, on_lost: Callable[[], None]
    ) -> None:
        """A reply that has not come after `deadline_seconds` ends the connection, which calls `on_lost`."""
        self._stream = stream
        self._reader = reader
        self._on_lost = on_lost
        self._tick_seconds = deadline_seconds / _TICKS
        self._ticks = 0
        self._waiting: collections.deque[_Batch] = collections.deque()
        self._waiting_replies = 0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._written = trio.Event()
        self._lost: str | None = None
        self._scope = trio.CancelScope()

    @property
    def lost(self) -> str | None:
        """Why there is no connection any more; None if there is."""
        return self._lost

    async def run(self) -> None:
        """Writes and reads, until the connection breaks; then all who wait for a reply get `Broken`."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._watch)
        finally:
            self._break("closed")
            await trio.aclose_forcefully(self._stream)

    async def execute(self, commands: Sequence[bytes]) -> list[Reply]:
        """Sends packed commands in a row and returns their replies; error replies are among them.

        Cancelling leaves at once: the commands are then carried out or not.
        Raises: Away if nothing was sent, Broken if that is unknown.
        """
        if self._lost is not None:
            raise Away(self._lost)
        if self._waiting_replies > MAX_WAITING_REPLIES or self._unsent_bytes > MAX_UNSENT_BYTES:
            raise Away("too many commands are waiting")
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        batch = _Batch(len(commands), self._ticks, trio.lowlevel.current_task())
        self._waiting.append(batch)
        self._waiting_replies += len(commands)
        self._unsent += commands
        self._unsent_bytes += sum(map(len, commands))
        self._written.set()
        replies: list[Reply] = await trio.lowlevel.wait_task_rescheduled(batch.abandon)
        return replies

    async def _write(self) -> None:
        while True:
            await self._written.wait()
            self._written = trio.Event()
            data = b"".join(self._unsent)
            self._unsent.clear()
            self._unsent_bytes = 0
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, OSError):
                return self._break("the connection broke")

    async def _read(self) -> None:
        reader = self._reader
        while True:
            try:
                data = await self._stream.receive_some(RECEIVE_BYTES)
                if not data:
                    return self._break("redis closed the connection")
                reader.feed(bytes(data))
                while (reply := reader.gets()) is not NOTHING_YET:
                    self._take(reply)
            except (trio.BrokenResourceError, OSError):
                return self._break("the connection broke")
            except (hiredis.HiredisError, IndexError):
                return self._break("redis does not keep to its protocol")

    def _take(self, reply: Reply) -> None:
        batch = self._waiting[0]
        batch.replies.append(reply)
        batch.missing -= 1
        self._waiting_replies -= 1
        if not batch.missing:
            self._waiting.popleft()
            if batch.task is not None:
                trio.lowlevel.reschedule(batch.task, outcome.Value(batch.replies))

    async def _watch(self) -> None:
        """Counts ticks, not seconds: when this process was held up, that is not the server's fault."""
        while True:
            await trio.sleep(self._tick_seconds)
            self._ticks += 1
            if self._waiting and self._ticks - self._waiting[0].born > _TICKS:
                return self._break("redis does not answer in time")

    def _break(self, reason: str) -> None:
        """The first reason counts."""
        if self._lost is None:
            self._lost = reason
            self._on_lost()
        self._scope.cancel()
        while self._waiting:
            batch = self._waiting.popleft()
            if batch.task is not None:
                trio.lowlevel.reschedule(batch.task, outcome.Error(Broken(self._lost)))
        self._unsent.clear()

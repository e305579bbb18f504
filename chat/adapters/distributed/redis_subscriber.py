"""A subscriber's connection to one Redis server, read by trio itself: what arrives goes through no other layer."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence

import hiredis
import trio

from ...ports.broker import Delivery
from .redis_stream import NOTHING_YET, RECEIVE_BYTES, Reply, ReplyError, Stream, pack

SILENCE_SECONDS = 3.0
"""So long may a subscription be mute, though it is asked every second, before it is given up."""
_PING_SECONDS = 1.0
HEARTBEAT = ""
"""Stands for the channel of the subscriber's own, on which it hears itself."""
LOSS_MARK = b"\x00lost\x00" + bytes.fromhex("5b0f6d9e0c8a4f5f8f0a7f1f7c3b2a19")
"""Published in place of events that could not be; no frame of ours looks like it."""
_EVENTS = (b"message", b"smessage")
_CHUNK = 500
"""Channels in one write, so that the server's other clients get their turn."""


class RedisSubscriber:
    """`run` must run for as long as it is used; the callbacks are called from it.

    `on_deliveries` gets events in order, and channels on which a publisher says that it lost some; `on_change`
    gets channels that hold from now on, and channels that do no more against our will (`HEARTBEAT` for ours).
    """

    def __init__(
        self,
        stream: Stream,
        reader: hiredis.Reader,
        *,
        sharded: bool,
        on_deliveries: Callable[[list[Delivery], list[str]], None],
        on_change: Callable[[list[str], list[str]], None],
    ) -> None:
        self._stream = stream
        self._reader = reader
        self._prefix = "S" if sharded else ""
        self._on_deliveries = on_deliveries
        self._on_change = on_change
        self._names: dict[bytes, str] = {}
        """Channels that hold or are asked for, as they are on the wire."""
        self._asked: collections.deque[tuple[bytes, bool]] = collections.deque()
        """Commands under way, one for each channel: to subscribe, or to unsubscribe."""
        self._unsent: collections.deque[bytes] = collections.deque([pack("PING")])
        self._written = trio.Event()
        self._held: list[str] = []
        self._ceased: list[str] = []
        self._heard = trio.current_time()
        self.beats = 0
        """How often it has heard itself."""
        self._scope = trio.CancelScope()
        self.lost = "closed"
        """Why `run` has returned."""

    async def run(self) -> None:
        """Until the connection breaks, or is silent for too long."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._watch)
        finally:
            await trio.aclose_forcefully(self._stream)

    def subscribe(self, channels: Iterable[str]) -> None:
        """Asks for `channels`; those that hold, or are asked for, are left out."""
        wanted = {channel.encode(): channel for channel in channels}
        self._ask([name for name in wanted if name not in self._names], subscribe=True)
        self._names |= wanted

    def unsubscribe(self, channels: Iterable[str]) -> None:
        """Gives `channels` up; events under way are left out already."""
        self._ask([name for channel in channels if self._names.pop(name := channel.encode(), None)], subscribe=False)

    def hear_itself(self, channel: str) -> None:
        """Asks for the channel on which somebody will publish to see whether `beats` rises."""
        self._ask([channel.encode()], subscribe=True)
        self._names[channel.encode()] = HEARTBEAT

    def give_up(self, reason: str) -> None:
        """Ends `run`."""
        self.lost = reason
        self._scope.cancel()

    def _ask(self, names: Sequence[bytes], *, subscribe: bool) -> None:
        """One command for each channel: several sharded ones in one command would have to share a slot."""
        word = self._prefix + ("SUBSCRIBE" if subscribe else "UNSUBSCRIBE")
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            self._unsent.append(b"".join([pack(word, name) for name in chunk]))
            self._asked += [(name, subscribe) for name in chunk]
        self._written.set()

    async def _write(self) -> None:
        while True:
            await self._written.wait()
            self._written = trio.Event()
            while self._unsent:
                try:
                    await self._stream.send_all(self._unsent.popleft())
                except (trio.BrokenResourceError, OSError):
                    return self.give_up("the connection broke")

    async def _watch(self) -> None:
        """Ticks, not seconds: when this process was held up, that is not the server's fault."""
        silent = 0
        while silent < SILENCE_SECONDS / _PING_SECONDS:
            heard = self._heard
            self._unsent.append(pack("PING"))
            self._written.set()
            await trio.sleep(_PING_SECONDS)
            silent = silent + 1 if heard == self._heard else 0
        self.give_up("redis is silent")

    async def _read(self) -> None:
        while True:
            try:
                data = await self._stream.receive_some(RECEIVE_BYTES)
                if not data:
                    return self.give_up("redis closed the connection")
                self._reader.feed(bytes(data))
                self._work_off()
            except (trio.BrokenResourceError, OSError):
                return self.give_up("the connection broke")
            except (hiredis.HiredisError, IndexError, TypeError, ValueError):
                return self.give_up("redis does not keep to its protocol")

    def _work_off(self) -> None:
        """Everything that has come: events as one batch, changes as one."""
        self._heard = trio.current_time()
        deliveries: list[Delivery] = []
        losses: list[str] = []
        gets, names = self._reader.gets, self._names
        while (reply := gets()) is not NOTHING_YET:
            if type(reply) is list and reply[0] in _EVENTS:
                _, name, payload = reply
                channel = names.get(name)
                if not channel:
                    self.beats += channel == HEARTBEAT
                elif payload == LOSS_MARK:
                    losses.append(channel)
                else:
                    deliveries.append(Delivery(channel, payload))
            else:
                self._answered(reply)
        if self._held or self._ceased:
            held, ceased, self._held, self._ceased = self._held, self._ceased, [], []
            self._on_change(held, ceased)
        if deliveries or losses:
            self._on_deliveries(deliveries, losses)

    def _answered(self, reply: Reply) -> None:
        """To a command, in their order; or an `sunsubscribe` of the server's own accord, when a slot has moved."""
        if isinstance(reply, ReplyError):
            name, subscribe = self._asked.popleft()
            if subscribe and (channel := self._names.pop(name, None)) is not None:
                self._ceased.append(channel)
        elif isinstance(reply, list) and reply[0] in (b"subscribe", b"ssubscribe"):
            self._asked.popleft()
            if (channel := self._names.get(reply[1])) is not None:
                self._held.append(channel)
        elif isinstance(reply, list) and reply[0] in (b"unsubscribe", b"sunsubscribe"):
            if self._asked and self._asked[0] == (reply[1], False):
                self._asked.popleft()
            elif (channel := self._names.pop(reply[1], None)) is not None:
                self._ceased.append(channel)

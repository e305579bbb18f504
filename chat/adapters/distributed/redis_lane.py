"""The commands that wait for one primary: they leave together, and do not pile up when it is away.

While the server is well, what waits leaves in one pipeline as soon as the one before it is answered: the busier
a node is, the less a command costs. When the connection breaks, commands wait for its return as long as one may
take; from then on they are refused at once, and so they are when the server is mute. Meanwhile one probe at a
time looks whether it answers, with growing pauses.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog
import trio
from redis.exceptions import ResponseError

from .redis_call import Call
from .redis_command import Command
from .redis_driver import Reply
from .redis_errors import Away, Remedy, code_of, remedy_for

TICKS = 4
"""In a deadline. Counted rather than timed: when this process was held up, that is not the server's fault."""
MAX_WAITING_COMMANDS = 50_000
MAX_WAITING_BYTES = 32 * 1024 * 1024
_MAX_FLUSH_COMMANDS = 512
_MAX_FLUSH_BYTES = 1024 * 1024
_MAX_REPEATS = 15
"""Of one call, where servers send it to and fro, or break at it."""
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_PING = Command("", "PING")
_log = structlog.get_logger("chat.redis")


class Part(NamedTuple):
    """What of a call goes to one primary, as indices of its commands."""

    call: Call
    indices: Sequence[int]


class Queue:
    """Parts that wait for a primary: bounded in number and bytes, and in time once there is none."""

    def __init__(self, *, is_up: bool) -> None:
        self.is_up = is_up
        self._parts: collections.deque[Part] = collections.deque()
        self._commands = 0
        self._bytes = 0
        self._down_ticks = 0
        self._reason = "redis has no primary at the moment"

    def put(self, part: Part) -> None:
        """Keeps it until it can be sent, or refuses it at once."""
        if self._is_given_up:
            part.call.fail(self._reason, part.indices)
        elif self._commands > MAX_WAITING_COMMANDS or self._bytes > MAX_WAITING_BYTES:
            part.call.fail("too many commands are waiting for redis", part.indices)
        else:
            self._parts.append(part)
            self._count(part, 1)

    def tick(self) -> None:
        """A `TICKS`th of a deadline has passed."""
        self._down_ticks = 0 if self.is_up else self._down_ticks + 1
        if self._is_given_up:
            self._give_up(self._reason)
        while self._parts and self._parts[0].call.is_over:
            self._take_one()

    def take_all(self) -> list[Part]:
        """Everything that waits."""
        return [self._take_one() for _ in range(len(self._parts))]

    @property
    def _is_given_up(self) -> bool:
        return self._down_ticks >= TICKS

    def _give_up(self, reason: str) -> None:
        """Refuses what waits, and what comes, until the server is back."""
        self.is_up, self._reason, self._down_ticks = False, reason, TICKS
        for call, indices in self.take_all():
            call.fail(reason, indices)

    def _take_one(self) -> Part:
        part = self._parts.popleft()
        self._count(part, -1)
        return part

    def _put_first(self, parts: Sequence[Part]) -> None:
        """Back to where they came from."""
        self._parts.extendleft(reversed(parts))
        for part in parts:
            self._count(part, 1)

    def _count(self, part: Part, sign: int) -> None:
        self._commands += sign * len(part.indices)
        self._bytes += sign * sum(part.call.commands[index].size for index in part.indices)


class Lane(Queue):
    """The way to a primary. `run` must run for as long as it is used."""

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[Command]], Awaitable[list[Reply]]],
        *,
        deadline_seconds: float,
        on_moved: Callable[[Sequence[Part]], None],
        on_change: Callable[[], None],
    ) -> None:
        """`send` raises Away; `on_moved` gets what is to be asked elsewhere, `on_change` hints that much may be."""
        super().__init__(is_up=True)
        self._name = name
        self._send = send
        self._deadline_seconds = deadline_seconds
        self._on_moved = on_moved
        self._on_change = on_change
        self._work = trio.Event()
        self._flight: list[Part] = []
        """What has been sent and is not answered."""
        self._flight_ticks = 0
        self._flight_scope = trio.CancelScope()
        self._scope = trio.CancelScope()

    def put(self, part: Part) -> None:
        super().put(part)
        self._work.set()

    def tick(self) -> None:
        super().tick()
        self._flight_ticks += 1
        if self._flight and self._flight_ticks >= TICKS:
            self._flight_scope.cancel()

    def close(self) -> list[Part]:
        """Ends `run`, and gives back what may be sent elsewhere."""
        self._scope.cancel()
        flight, self._flight = self._flight, []
        return [*self._again(flight), *self.take_all()]

    async def run(self) -> None:
        """Sends what waits, until `close`."""
        with self._scope:
            while True:
                parts = self._take_some()
                if not parts:
                    await self._work.wait()
                    await trio.lowlevel.checkpoint()  # who was woken together leaves together
                    self._work = trio.Event()
                elif not await self._flush(parts):
                    await self._return()

    def _take_some(self) -> list[Part]:
        """The next ones that somebody waits for. What one call asks stays together, so it stays in order."""
        parts: list[Part] = []
        commands, size = self._commands, self._bytes
        while self._parts and commands - self._commands < _MAX_FLUSH_COMMANDS and size - self._bytes < _MAX_FLUSH_BYTES:
            part = self._take_one()
            if not part.call.is_over:
                parts.append(part)
        return parts

    async def _flush(self, parts: list[Part]) -> bool:
        """One pipeline with all of it; whether the server answered."""
        self._flight, self._flight_ticks, self._flight_scope = parts, 0, trio.CancelScope()
        reason = "redis does not answer in time"
        replies: list[Reply] | None = None
        try:
            with self._flight_scope:
                replies = await self._send([call.commands[index] for call, indices in parts for index in indices])
        except Away as error:
            reason = str(error)
        parts, self._flight = self._flight, []
        if replies is not None:
            await self._settle(parts, replies)
            return True
        _log.warning("redis_lost", address=self._name, reason=reason)
        if self._flight_scope.cancelled_caught:
            for call, indices in parts:
                call.fail(reason, indices)
            self._give_up("redis does not answer")
        else:
            self.is_up, self._reason = False, "redis is away"
            self._put_first(self._again(parts))
        self._on_change()
        return False

    def _again(self, parts: Sequence[Part]) -> list[Part]:
        """What may be sent again although nobody knows whether it was carried out; the rest is over."""
        again = []
        for call, indices in parts:
            repeatable = [index for index in indices if call.repeats < _MAX_REPEATS and call.commands[index].again]
            call.repeats += 1
            call.fail("redis is away", set(indices).difference(repeatable))
            if repeatable and not call.is_over:
                again.append(Part(call, repeatable))
        return again

    async def _settle(self, parts: Sequence[Part], replies: Sequence[Reply]) -> None:
        """Gives everybody their replies. What an error reply delays comes first in the next pipeline."""
        moved: list[Part] = []
        later: list[Part] = []
        remaining = iter(replies)
        for call, indices in parts:
            for index, reply in zip(indices, remaining, strict=False):
                if not isinstance(reply, ResponseError):
                    call.answer(index, reply)
                elif (remedy := remedy_for(reply)) is Remedy.REFUSE or call.repeats >= _MAX_REPEATS:
                    call.fail(f"redis refuses: {code_of(reply)}", [index])
                else:
                    (moved if remedy is Remedy.REDIRECT else later).append(Part(call, [index]))
        for call in {part.call for part in moved}:
            call.repeats += 1
        self._put_first(later)
        if moved:
            self._on_moved(moved)
        if later:
            self._on_change()
            await trio.sleep(_FIRST_PAUSE_SECONDS * random.uniform(0.2, 1))  # noqa: S311 -- nothing secret

    async def _return(self) -> None:
        """Waits until the server answers."""
        pause = _FIRST_PAUSE_SECONDS
        while not self.is_up:
            await trio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- nothing secret
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self.is_up = await self._is_there()
        self._down_ticks = 0
        _log.info("redis_connected", address=self._name)
        self._on_change()

    async def _is_there(self) -> bool:
        """Whether it answers: to connect is no proof, as the kernel does that for a stopped process."""
        with trio.move_on_after(self._deadline_seconds):
            try:
                await self._send([_PING])
            except Away as error:
                _log.debug("redis_away", address=self._name, reason=str(error))
            else:
                return True
        return False

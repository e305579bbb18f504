"""One call of the client: commands whose replies may come from several servers, and the task that waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import outcome
import trio

from ...domain.errors import Unavailable
from .redis_command import Command

_NOTHING_YET = object()


class Call:
    """`born` is the tick of its beginning, `repeats` how often some of it was sent again."""

    __slots__ = ("_missing", "_replies", "_task", "born", "commands", "repeats")

    def __init__(self, commands: Sequence[Command], born: int) -> None:
        self.commands = commands
        self.born = born
        self.repeats = 0
        self._replies: list[Any] = [_NOTHING_YET] * len(commands)
        self._missing = len(commands)
        self._task: trio.lowlevel.Task | None = None

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return not self._missing

    async def replies(self) -> list[Any]:
        """Waits for all of them. Cancelling leaves at once."""
        if self.is_over:
            await trio.lowlevel.checkpoint()
            return self._replies
        self._task = trio.lowlevel.current_task()
        replies: list[Any] = await trio.lowlevel.wait_task_rescheduled(self._abandon)
        return replies

    def answer(self, index: int, reply: Any) -> None:
        """The first answer counts; those that come too late are for nobody."""
        if not self._missing or self._replies[index] is not _NOTHING_YET:
            return
        self._replies[index] = reply
        self._missing -= 1
        if not self._missing and self._task is not None:
            trio.lowlevel.reschedule(self._task, outcome.Value(self._replies))

    def fail(self, reason: str, indices: Iterable[int] | None = None) -> None:
        """Answers what is not answered yet, of `indices` or of all, with `Unavailable`."""
        for index in range(len(self.commands)) if indices is None else indices:
            self.answer(index, Unavailable(reason))

    def _abandon(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._missing = 0
        return trio.lowlevel.Abort.SUCCEEDED

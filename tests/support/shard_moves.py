"""Moves of buckets for tests, in a thread of their own as a process would do it, with a look at every step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.bucket_mover import Move, Progress, Step
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.shard_moves import run_moves


class Interrupted(Exception):
    """What a look raises to end the mover on the spot."""


class TestMover:
    """Moves buckets between databases; `looks` are awaited at the first report of a step, while the mover waits."""

    __test__ = False

    def __init__(self, dsns: dict[str, str]) -> None:
        self.reports: list[Progress] = []
        self.looks: dict[Step, Callable[[], Awaitable[None]]] = {}
        self._shards = parse_shards([f"{name}={dsn}" for name, dsn in dsns.items()])

    async def move(self, moves: Sequence[Move]) -> None:
        """Raises: MoveFailed, and what a look raises."""
        token = trio.lowlevel.current_trio_token()

        def report(progress: Progress) -> None:
            self.reports.append(progress)
            if (look := self.looks.pop(progress.step, None)) is not None:
                trio.from_thread.run(look, trio_token=token)

        async with AsyncioBridge() as bridge:
            await run_moves(bridge, self._shards, moves, report)

    @property
    def steps(self) -> set[Step]:
        return {progress.step for progress in self.reports}

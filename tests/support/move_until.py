"""Moves a bucket and kills itself, as a program: `python -m tests.support.move_until STEP BUCKET SHARD… `.

The bucket of rooms goes from the first to the second of the shards, which are given as `--shard` takes them. At the
first report of the step the process is gone, by SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys

import trio

from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.bucket_mover import Move, Progress, Step
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.shard_map import Bucket, Kind
from chat.adapters.distributed.shard_moves import run_moves


async def main(step: Step, number: int, items: list[str]) -> None:
    def report(progress: Progress) -> None:
        if progress.step is step:
            os.kill(os.getpid(), signal.SIGKILL)

    shards = parse_shards(items)
    move = Move(Bucket(Kind.ROOMS, number), shards[0].name, shards[1].name)
    async with AsyncioBridge() as bridge:
        await run_moves(bridge, shards, [move], report)


if __name__ == "__main__":
    trio.run(main, Step(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])

"""A child process that archives everything, and kills itself at a chosen moment.

Arguments: a directory for the archive, the step to die at, which time it is taken, then shards as NAME=DSN.
Steps are those of the archiver and "half-written": then half of a segment is on the disk.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import trio

from chat.adapters.archive.archiver import Archiver
from chat.adapters.archive.local_objects import PARTIAL, LocalObjects
from chat.adapters.distributed.archive_source import MySqlArchiveSource
from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_shards import open_shards

HALF_WRITTEN = "half-written"
SEGMENT_ROWS = 150


class Death:
    """Comes at one step, at the given time that it is taken."""

    def __init__(self, step: str, times: int) -> None:
        self._step = step
        self._times = times

    def __call__(self, step: str) -> None:
        self._times -= step == self._step
        if not self._times:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingObjects(LocalObjects):
    """A directory in which a segment may be left half-written."""

    def __init__(self, root: Path, death: Death) -> None:
        super().__init__(root)
        self._directory = root
        self._death = death

    def write(self, name: str, data: bytes) -> None:
        partial = self._directory / (name + PARTIAL)
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data[: len(data) // 2])
        self._death(HALF_WRITTEN)
        super().write(name, data)


async def main(arguments: list[str]) -> None:
    directory, step, times, *shards = arguments
    death = Death(step, int(times))
    objects = DyingObjects(Path(directory), death)
    async with AsyncioBridge() as bridge, open_shards(bridge, parse_shards(shards)) as opened:
        for server in opened.primaries.values():
            source = MySqlArchiveSource(server)
            await Archiver(source, objects, -3600, min_rows=1, segment_rows=SEGMENT_ROWS, at_step=death).run()


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])

"""`chat-gateway archive`: moves old messages out of the MySQL shards, and checks what was moved."""

from __future__ import annotations

import argparse
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
import trio

from ..config import ChatConfig
from ..domain.errors import ChatError
from ..logging import configure_logging
from .flags import Parser, add_settings, complain, load_config

if TYPE_CHECKING:
    from ..adapters.archive.objects import ObjectStore
    from ..adapters.archive.source import ArchiveSource

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PAUSE_SECONDS = 3600.0
"""Between two rounds. What becomes old meanwhile is little, and waits in the database as before."""
_DEADLINE_SECONDS = 30.0
"""For one call of a shard: nobody waits for the archiver."""
_log = structlog.get_logger("chat.archive")
Command = Callable[[argparse.Namespace, ChatConfig, "list[ArchiveSource]", "ObjectStore"], Awaitable[int]]


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Adds `archive` with what belongs to it."""
    archives = commands.add_parser("archive", help="old messages").add_subparsers(required=True, metavar="COMMAND")
    running = _add(archives, "run", run, "move old messages from the shards to the archive", {"archive_after_days"})
    running.add_argument(
        "--older-than", type=_age, metavar="AGE", help="as 90d, 36h, 5m or 10s; else archive_after_days counts"
    )
    running.add_argument("--once", action="store_true", help="end when all is done, rather than go on for ever")
    _add(archives, "verify", verify, "read the whole archive again, and quarantine what is damaged", set())


async def run(
    arguments: argparse.Namespace, config: ChatConfig, sources: list[ArchiveSource], objects: ObjectStore
) -> int:
    """Moves old messages from the shards to the archive.

    It may be killed at any moment and run again, and nodes may be running. Prints for each shard how many messages
    were moved, into how many segments, of how many bytes.
    """
    age = arguments.older_than or config.archive_after_days * _SECONDS["d"]
    if not age:
        raise ValueError("--older-than or archive_after_days must say what is old")
    while True:
        well = [await _archive(source, objects, age) for source in sources]
        if arguments.once:
            return 0 if all(well) else 1
        await trio.sleep(_PAUSE_SECONDS)


async def verify(
    arguments: argparse.Namespace, config: ChatConfig, sources: list[ArchiveSource], objects: ObjectStore
) -> int:
    """Reads the whole archive again, and puts segments that are not as they were written into quarantine.

    Prints what is wrong, and how much was read. Exit code 1 if anything is wrong. A segment that is right again
    leaves its quarantine.
    """
    from ..adapters.archive.verifier import Verifier

    verdict = await Verifier(sources, objects).run()
    for finding in verdict.findings:
        print(f"{finding.what}\t{finding.why}")
    print(f"{verdict.segments} segments, {verdict.bytes} bytes, {len(verdict.findings)} findings")
    return 1 if verdict.findings else 0


async def _archive(source: ArchiveSource, objects: ObjectStore, age: float) -> bool:
    """One round of one shard; whether it went well. The next round goes on where this one failed."""
    from ..adapters.archive.archiver import Archiver
    from ..adapters.archive.errors import Damaged

    try:
        report = await Archiver(source, objects, age).run()
    except (ChatError, Damaged) as error:
        _log.error("archive_failed", shard=source.name, error=str(error))
        return False
    print(f"{source.name}\t{report.messages}\t{report.segments}\t{report.segment_bytes}", flush=True)
    return True


def _add(
    commands: argparse._SubParsersAction[Parser], name: str, command: Command, summary: str, settings: set[str]
) -> Parser:
    parser = commands.add_parser(name, help=summary, description=command.__doc__)
    add_settings(parser, only={"shards", "archive", "log_format", "log_level", *settings})
    parser.set_defaults(run=lambda arguments: _run(command, arguments))
    return parser


def _run(command: Command, arguments: argparse.Namespace) -> int:
    from ..adapters.distributed.errors import ShardsUnusable

    config, _ = load_config(arguments)
    configure_logging(config.log_format, config.log_level)

    async def with_sources() -> int:
        async with _sources(config) as (sources, objects):
            return await command(arguments, config, sources, objects)

    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # like SIGTERM: it may be killed at any moment, so it is
    try:
        return trio.run(with_sources)
    except (ChatError, ShardsUnusable, OSError, ValueError) as error:
        complain(error)
        return 1
    finally:
        signal.signal(signal.SIGINT, before)


@asynccontextmanager
async def _sources(config: ChatConfig) -> AsyncIterator[tuple[list[ArchiveSource], ObjectStore]]:
    from ..adapters.archive.objects import open_objects
    from ..adapters.distributed.archive_source import MySqlArchiveSource
    from ..adapters.distributed.asyncio_bridge import AsyncioBridge
    from ..adapters.distributed.mysql_dsn import parse_shards
    from ..adapters.distributed.mysql_shards import open_shards

    if not config.shards:
        raise ValueError("shards: at least one --shard is needed")
    if not config.archive:
        raise ValueError("archive: a directory or s3://bucket/prefix is needed")
    objects = open_objects(config.archive)
    async with (
        AsyncioBridge() as bridge,
        open_shards(bridge, parse_shards(config.shards), deadline_seconds=_DEADLINE_SECONDS) as shards,
    ):
        yield [MySqlArchiveSource(server) for server in shards.primaries.values()], objects


def _age(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError("it must be as 90d, 36h, 5m or 10s")
    return float(found[1]) * _SECONDS[found[2]]

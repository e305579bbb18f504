"""`chat-gateway shards`: what the MySQL shards hold, and moving buckets between them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import trio

from ..config import ChatConfig
from ..domain.errors import ChatError
from ..logging import configure_logging
from .flags import Parser, add_settings, complain, load_config

if TYPE_CHECKING:
    from ..adapters.distributed.asyncio_bridge import AsyncioBridge
    from ..adapters.distributed.bucket_mover import Move, Progress
    from ..adapters.distributed.mysql_dsn import ShardDsn
    from ..adapters.distributed.shard_map import ShardMap
    from ..adapters.distributed.shard_status import ShardStatus

_PROGRESS_SECONDS = 5.0
Command = Callable[[argparse.Namespace, "AsyncioBridge", "Sequence[ShardDsn]"], Awaitable[int]]


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Adds `shards` with what belongs to it."""
    shards = commands.add_parser("shards", help="what the MySQL shards hold, and moving it").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _add(shards, "status", status, "show each shard, and what is on its way")
    adding = _add(shards, "add", add, "make a new database ready to be a shard")
    adding.add_argument("shard", metavar="NAME=DSN", help="the shard, as --shard takes it")
    promoting = _add(shards, "promote", promote, "tell the nodes that a shard has a new primary")
    promoting.add_argument("shard", metavar="NAME", help="the shard")
    moving = _add(shards, "move", move, "move buckets between shards while nodes run")
    moving.add_argument("--from", dest="source", metavar="NAME", help="the shard that gives")
    moving.add_argument("--to", dest="target", metavar="NAME", help="the shard that gets")
    which = moving.add_mutually_exclusive_group()
    which.add_argument("--buckets", type=_numbers, metavar="0-99,120", help="which buckets, rather than all")
    which.add_argument("--count", type=int, metavar="N", help="how many of each kind, rather than all")
    which.add_argument("--even", action="store_true", help="equally many on every shard that is given")
    which.add_argument("--cancel", action="store_true", help="give up moves that have begun and are not decided yet")
    moving.add_argument("--kind", choices=["rooms", "users"], help="one kind of buckets, rather than both")
    moving.add_argument("--dry-run", action="store_true", help="show what would be moved")


async def status(arguments: argparse.Namespace, bridge: AsyncioBridge, shards: Sequence[ShardDsn]) -> int:
    """Shows for each shard how many buckets it has, about how much is in it, what moves, and how its replicas are.

    Exit code 1 if a shard does not answer, or one of the map is not given.
    """
    from ..adapters.distributed.migrate import newest_map
    from ..adapters.distributed.mysql_shards import unopened_shards
    from ..adapters.distributed.shard_status import shard_statuses

    async with unopened_shards(bridge, shards) as unopened:
        statuses = await shard_statuses(unopened)
    print("shard\trooms\tusers\tmessages\tMiB\tnotes")
    for each in statuses:
        print(_line(each))
    shard_map = newest_map({each.name: each.state for each in statuses if each.state is not None})
    unknown = sorted(shard_map.shards - {each.name for each in statuses}) if shard_map is not None else []
    for name in unknown:
        complain(f"the map names shard {name}, which is not given: nodes without it refuse its buckets")
    return 1 if unknown or any(each.state is None for each in statuses) else 0


async def add(arguments: argparse.Namespace, bridge: AsyncioBridge, shards: Sequence[ShardDsn]) -> int:
    """Makes schema and map in a new database. It holds nothing until buckets are moved to it.

    Nodes may be running. Every node must be started with the new --shard before anything is moved there.
    """
    from ..adapters.distributed.mysql_dsn import parse_shards
    from ..adapters.distributed.mysql_shards import MIGRATION_SECONDS, unopened_shards

    [new] = parse_shards([arguments.shard])
    others = [shard for shard in shards if shard.name != new.name]
    async with unopened_shards(bridge, [*others, new], deadline_seconds=MIGRATION_SECONDS) as unopened:
        version = await unopened.add(new.name)
    print(f"{new.name}\t{version}")
    complain(f"now start every node with --shard {new.name}=…, then move buckets to it: chat-gateway shards move")
    return 0


async def promote(arguments: argparse.Namespace, bridge: AsyncioBridge, shards: Sequence[ShardDsn]) -> int:
    """Fences off what was the primary of a shard before: nodes that meet the new one refuse it from then on.

    Run it when the address in the shard's URL leads to the new primary, and that may be written to. Twice does no harm.
    """
    from ..adapters.distributed.mysql_shards import unopened_shards
    from ..adapters.distributed.promotion import promote_primary

    if arguments.shard not in {shard.name for shard in shards}:
        raise ValueError("promote must name one of the shards that are given")
    async with unopened_shards(bridge, shards) as unopened:
        generation, server = await promote_primary(unopened, arguments.shard)
    print(f"{arguments.shard}\t{generation}\t{server}")
    return 0


async def move(arguments: argparse.Namespace, bridge: AsyncioBridge, shards: Sequence[ShardDsn]) -> int:
    """Moves buckets: first those of an earlier run that was interrupted, then those that are asked for.

    Nodes may be running; writes to a bucket wait for the moment in which it changes hands, for less than a second.
    The command may be killed at any moment; run again it goes on, also without anything being asked for.
    """
    from ..adapters.distributed.shard_moves import cancel_moves, read_shard_map, run_moves, unfinished_moves

    shard_map = await read_shard_map(bridge, shards)
    wanted = _wanted(arguments, shard_map, [shard.name for shard in shards])
    if arguments.dry_run:
        for each in (*await unfinished_moves(bridge, shards), *wanted):
            print(each)
    elif arguments.cancel:
        for each in await cancel_moves(bridge, shards, lambda progress: None):
            print(each)
    else:
        await run_moves(bridge, shards, wanted, _Printer())
    return 0


class _Printer:
    """One line on stdout for each bucket that has moved, one on stderr now and then while it does."""

    def __init__(self) -> None:
        self._began = self._printed = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        from ..adapters.distributed.bucket_mover import Step

        now = time.monotonic()
        if progress.step is Step.DONE:
            seconds = now - self._began
            waited = f", writers waited {1000 * progress.fence_seconds:.0f} ms" if progress.fence_seconds else ""
            print(f"{progress.move}: {progress.rows} rows in {seconds:.1f} s{waited}", flush=True)
            self._began = self._printed = now
        elif progress.problem:
            complain(f"{progress.move}: {progress.problem}")
        elif now - self._printed > _PROGRESS_SECONDS:
            print(f"{progress.move}: {progress.step}, {progress.rows} rows so far", file=sys.stderr)
            self._printed = now


def _wanted(arguments: argparse.Namespace, shard_map: ShardMap, given: Sequence[str]) -> list[Move]:
    """Raises: ValueError."""
    from ..adapters.distributed.shard_map import Kind
    from ..adapters.distributed.shard_moves import moves_between, moves_to_even

    kinds = [Kind(arguments.kind)] if arguments.kind else list(Kind)
    source, target = arguments.source, arguments.target
    if arguments.even or arguments.cancel:
        if source or target:
            raise ValueError("--even and --cancel are about all shards: leave out --from and --to")
        return moves_to_even(shard_map, given, kinds=kinds) if arguments.even else []
    if not source and not target:
        if arguments.buckets or arguments.count is not None:
            raise ValueError("--from and --to must say between which shards")
        return []
    if arguments.count is not None and arguments.count < 1:
        raise ValueError("--count must be 1 or more")
    if source == target or not {source, target} <= set(given):
        raise ValueError("--from and --to must name two of the shards that are given")
    return moves_between(shard_map, source, target, kinds=kinds, numbers=arguments.buckets, count=arguments.count)


def _line(status: ShardStatus) -> str:
    from ..adapters.distributed.shard_map import Kind

    if status.state is None:
        return f"{status.name}\t-\t-\t-\t-\tdoes not answer"
    notes = [] if status.state.is_current else ["not up to date: run `chat-gateway db migrate`"]
    notes += [f"{stage} {count}" for stage, count in status.moving.items()]
    if status.is_semi_synchronous is not None:
        notes.append("semi-synchronous" if status.is_semi_synchronous else "not semi-synchronous")
    notes += [
        f"{server} {lag:.1f} s behind" if lag < float("inf") else f"{server} is away" for server, lag in status.lags
    ]
    rooms, users = (status.buckets.get(kind, 0) for kind in Kind)
    return f"{status.name}\t{rooms}\t{users}\t{status.messages}\t{status.bytes / 2**20:.0f}\t{', '.join(notes)}"


def _numbers(text: str) -> frozenset[int]:
    """Bucket numbers and ranges of them."""
    from ..adapters.distributed.shard_map import BUCKETS

    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    if not found or max(found) >= BUCKETS:
        raise ValueError
    return frozenset(found)


_numbers.__name__ = "list of buckets"  # as argparse names it


def _add(commands: argparse._SubParsersAction[Parser], name: str, command: Command, summary: str) -> Parser:
    parser = commands.add_parser(name, help=summary, description=command.__doc__)
    add_settings(parser, only={"shards"})
    parser.set_defaults(run=lambda arguments: _run(command, arguments))
    return parser


def _run(command: Command, arguments: argparse.Namespace) -> int:
    from ..adapters.distributed.asyncio_bridge import AsyncioBridge
    from ..adapters.distributed.errors import MoveFailed, ShardsUnusable
    from ..adapters.distributed.mysql_dsn import parse_shards

    config, _ = load_config(arguments)
    configure_logging(config.log_format, "warning")

    async def run(config: ChatConfig) -> int:
        shards = parse_shards(config.shards)
        if not shards:
            raise ValueError("shards: at least one --shard is needed")
        async with AsyncioBridge() as bridge:
            return await command(arguments, bridge, shards)

    try:
        return trio.run(run, config)
    except (ChatError, ShardsUnusable, MoveFailed, ValueError) as error:
        complain(error)
        return 1

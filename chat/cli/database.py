"""`chat-gateway db`: the schema of the MySQL shards."""

from __future__ import annotations

import argparse

import trio

from ..domain.errors import ChatError
from ..logging import configure_logging
from .flags import Parser, add_settings, complain, load_config


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Adds `db` with what belongs to it."""
    databases = commands.add_parser("db", help="the MySQL shards").add_subparsers(required=True, metavar="COMMAND")
    parser = databases.add_parser(
        "migrate",
        help="bring the schema of all shards up to date",
        description="Brings the schema of all shards up to date, and makes the map of a new installation."
        " Nodes may be running: they work with a schema that is newer than they are.",
    )
    add_settings(parser, only={"shards"})
    parser.set_defaults(run=migrate)


def migrate(arguments: argparse.Namespace) -> int:
    """Prints each shard with the version of its schema."""
    from ..adapters.distributed.asyncio_bridge import AsyncioBridge
    from ..adapters.distributed.errors import ShardsUnusable
    from ..adapters.distributed.mysql_dsn import parse_shards
    from ..adapters.distributed.mysql_shards import migrate_shards

    config, _ = load_config(arguments)
    configure_logging(config.log_format, "warning")

    async def run() -> dict[str, int]:
        async with AsyncioBridge() as bridge:
            return await migrate_shards(bridge, shards)

    try:
        shards = parse_shards(config.shards)
        if not shards:
            raise ValueError("shards: at least one --shard is needed")
        for name, version in trio.run(run).items():
            print(f"{name}\t{version}")
    except (ChatError, ShardsUnusable, ValueError) as error:
        complain(error)
        return 1
    return 0

"""Two nodes of one cluster, `a` and `b`, each in a region of its own name: `python two_nodes.py DIRECTORY`.

Prints their addresses as JSON when they serve. A name on the input kills that node; all ends with the input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from chat import token_key
from chat.adapters.distributed.asyncio_bridge import AsyncioBridge
from chat.adapters.distributed.mysql_dsn import parse_shards
from chat.adapters.distributed.mysql_shards import migrate_shards
from chat.dev_cluster.child import stop
from chat.dev_cluster.mysql_flavour import installed
from chat.dev_cluster.mysql_shard import mysql_shard
from chat.dev_cluster.node import Node
from chat.dev_cluster.ports import ports
from tests.support.redis_servers import redis_server


async def _migrate(shard: str) -> None:
    async with AsyncioBridge() as bridge:
        await migrate_shards(bridge, parse_shards([shard]))


def _run(directory: Path) -> None:
    config, data = directory / "cluster.toml", directory / "node"
    with redis_server() as redis, mysql_shard(directory, installed()) as shard, ports() as held:
        trio.run(_migrate, shard.setting)
        token_key.load_or_make(data)
        nodes = {
            name: Node(name, data, directory / f"{name}.log", config, ["--region", name], held) for name in ("a", "b")
        }
        addresses = {name: node.url for name, node in nodes.items()}
        settings = {
            "data_dir": str(data),
            "redis": redis.url,
            "shards": [shard.setting],
            "allowed_origins": list(addresses.values()),
            "lease_seconds": 600,  # a node that was killed stays on the list
        }
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        try:
            for node in nodes.values():
                node.start()
            for node in nodes.values():
                node.until_ready()
            print(json.dumps(addresses), flush=True)
            for line in sys.stdin:
                nodes[line.strip()].kill()
        finally:
            stop(nodes.values())


if __name__ == "__main__":
    _run(Path(sys.argv[1]))

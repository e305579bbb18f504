"""`chat-gateway dev-cluster`: a cluster on this machine, for as long as the command runs."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ..adapters.embedded.errors import DatabaseUnusable
from .flags import Parser, complain

if TYPE_CHECKING:
    from ..dev_cluster import DevCluster

_LOOK_SECONDS = 0.2


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Adds `dev-cluster`."""
    parser = commands.add_parser(
        "dev-cluster",
        help="run a whole cluster on this machine",
        description="Starts Redis Cluster, two shards of MariaDB or MySQL with a replica each, and three nodes, as"
        " private processes on free ports; stops all of them on Ctrl-C or SIGTERM, and when one of them ends.",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where to keep accounts, rooms, messages and logs; without it they are gone in the end",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """0 after a signal; 1 if something could not be started, or has ended."""
    from ..dev_cluster import ClusterFailed, dev_cluster

    try:
        with _stopped_by_signals(), _directory(arguments.data_dir) as directory:
            complain("starting a cluster, which takes some seconds")
            with dev_cluster(directory) as cluster:
                print(_welcome(cluster), flush=True)
                while True:
                    time.sleep(_LOOK_SECONDS)
                    cluster.check()
    except KeyboardInterrupt:
        complain("all is stopped")
        return 0
    except (ClusterFailed, DatabaseUnusable, OSError) as error:
        complain(error)
        return 1


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """The first SIGINT or SIGTERM raises `KeyboardInterrupt`; further ones do not disturb the end."""

    def handle(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="chat-gateway-") as directory:
        yield Path(directory)


def _welcome(cluster: DevCluster) -> str:
    command = Path(sys.argv[0]).name if sys.argv[0].endswith("chat-gateway") else f"{sys.executable} -m chat.cli"
    first = cluster.nodes[0]
    shards = [
        f"shard {shard.name}         127.0.0.1:{shard.primary.port}, replica 127.0.0.1:{shard.replica.port}"
        for shard in cluster.shards
    ]
    return "\n".join(
        [
            "",
            *(f"{node.name}          {node.url}" for node in cluster.nodes),
            f"Redis Cluster   {cluster.redis.url}",
            *shards,
            f"settings        {cluster.config}",
            f"logs            {cluster.logs}",
            "",
            "The page is at each of the three addresses; a room is the same on all. In terminals:",
            f"  {command} connect lobby --create --register --name ada --url {first.url}",
            f"  {command} connect lobby --register --name bob --url {cluster.nodes[1].url}",
            "Accounts and rooms by hand:",
            f"  {command} user create ada --config {cluster.config}",
            "Ctrl-C stops everything.",
        ]
    )

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
from typing import TYPE_CHECKING, Any

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
    from ..dev_cluster import ClusterFailed, NotWanted, dev_cluster

    stop = _Stop()
    try:
        with stop, _directory(arguments.data_dir) as directory, contextlib.suppress(NotWanted):
            complain("starting a cluster, which takes some seconds")
            with dev_cluster(directory, is_wanted=lambda: not stop.is_asked_for) as cluster:
                print(_welcome(cluster), flush=True)
                while not stop.is_asked_for:
                    time.sleep(_LOOK_SECONDS)
                    cluster.check()
    except (ClusterFailed, DatabaseUnusable, OSError) as error:
        complain(error)
        return 1
    complain("all is stopped")
    return 0


class _Stop:
    """Whether there was a SIGINT or SIGTERM in the block.

    Nothing is raised in its handler: an exception that comes while a process is forked is lost.
    """

    def __init__(self) -> None:
        self.is_asked_for = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.is_asked_for = True


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
            *(f"{node.name}          {node.url}   metrics {node.metrics_url}" for node in cluster.nodes),
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
            f"  {command} user promote ada --config {cluster.config}     # for the page's /admin",
            "Ctrl-C stops everything.",
        ]
    )

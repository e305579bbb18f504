"""What a node with MySQL shards tells Prometheus: how its servers are, as far as it knows."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from ...metrics.families import gauges
from .mysql_server import MySqlServer
from .mysql_shards import MySqlShards

_LABELS = ("shard", "server")


def mysql_metrics(shards: MySqlShards) -> Iterator[Metric]:
    """Of every server: `server` is `primary`, or `replica-1` and so on in the order of the configuration."""
    servers = list(_servers(shards))
    yield gauges(
        "mysql_connections_in_use",
        "Connections that are at work.",
        _LABELS,
        [(labels, server.connections_in_use) for labels, server in servers],
    )
    yield gauges(
        "mysql_waiting_calls",
        "Calls that wait for a connection.",
        _LABELS,
        [(labels, server.waiting) for labels, server in servers],
    )
    yield gauges(
        "mysql_breaker_open",
        "1 if calls fail at once, since the server did not answer.",
        _LABELS,
        [(labels, float(server.breaker.is_open)) for labels, server in servers],
    )
    yield gauges(
        "mysql_replica_lag_seconds",
        "How far a replica was behind when it was last measured; +Inf if it could not be.",
        _LABELS,
        [
            ((shard, f"replica-{number}"), replica.lag_seconds)
            for shard, rotation in shards.rotations.items()
            for number, replica in enumerate(rotation.replicas, 1)
        ],
    )
    yield gauges(
        "mysql_semi_synchronous",
        "1 if commits wait until a replica has them, 0 if they do not; of shards with replicas.",
        ("shard",),
        [
            ((shard,), float(rotation.is_semi_synchronous))
            for shard, rotation in shards.rotations.items()
            if rotation.is_semi_synchronous is not None
        ],
    )


def _servers(shards: MySqlShards) -> Iterator[tuple[tuple[str, str], MySqlServer]]:
    for shard, primary in shards.primaries.items():
        yield (shard, "primary"), primary
        for number, replica in enumerate(shards.rotations[shard].replicas, 1):
            yield (shard, f"replica-{number}"), replica.server

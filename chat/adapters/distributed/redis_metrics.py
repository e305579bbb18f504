"""What a node with Redis tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from ...metrics.families import counter, gauge, histogram
from .redis_client import RedisClient


def redis_metrics(redis: RedisClient) -> Iterator[Metric]:
    """Of all calls, and of the primaries that are known."""
    meter, links = redis.meter, redis.links
    yield counter("redis_commands", "Commands to Redis.", meter.commands)
    yield counter("redis_command_failures", "Commands that Redis did not answer in time.", meter.failures)
    yield histogram(
        "redis_call_seconds", "From a call, of one or many commands, to its last reply; waits included.", meter.seconds
    )
    yield gauge("redis_primaries", "Redis primaries that are known.", len(links))
    yield gauge("redis_primaries_up", "Redis primaries that answer.", sum(links.values()))

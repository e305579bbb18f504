"""What every node tells Prometheus: of its sockets, its sessions, its commits and its event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client.metrics_core import Metric

from gateway_core import GatewayStats

from ..version import version
from .families import counter, counters, gauge, gauges, histogram, histograms
from .histogram import Histogram
from .meters import CommitMeter, RealtimeMeter


class Cache(Protocol):
    """What counts its hits and misses."""

    hits: int
    misses: int


def node_metrics(node: str, backend: str) -> Iterator[Metric]:
    """What the node is."""
    labels = {"node": node, "version": version(), "backend": backend}
    yield gauges("info", "What the node is; always 1.", tuple(labels), [(tuple(labels.values()), 1.0)])


def gateway_metrics(stats: GatewayStats) -> Iterator[Metric]:
    """Of the sockets, WebSockets and what is refused on the way to them."""
    yield gauge("connections", "WebSockets that are open.", stats.connections)
    yield gauge("topics", "Rooms with a subscriber, counted in each reactor.", stats.topics)
    yield gauge("outbox_bytes", "Bytes that wait in the outboxes of all connections.", stats.outbox_bytes)
    yield counter("sockets_accepted", "Sockets accepted, HTTP requests included.", stats.accepted)
    yield counter("sockets_refused", "Sockets and handshakes refused: limits, bad requests, deadlines.", stats.refused)
    yield counter("messages_received", "Messages that clients sent.", stats.messages_in)
    yield counter("deliveries", "Messages queued, one for each connection that gets one.", stats.messages_out)
    yield counter("received_bytes", "Bytes read from sockets.", stats.bytes_in)
    yield counter("sent_bytes", "Bytes written to sockets.", stats.bytes_out)
    yield counter("dropped", "Droppable pushes that slow connections were spared.", stats.dropped)
    yield counter("slow_consumers", "Connections closed with 4008: they did not keep up.", stats.slow_consumers)
    yield counter("compressions", "Payloads compressed, once for each publish.", stats.compressions)


def realtime_metrics(meter: RealtimeMeter, sessions: int, rooms: int) -> Iterator[Metric]:
    """Of the chat sessions."""
    yield gauge("sessions", "Chat sessions, those before their hello included.", sessions)
    yield gauge("rooms", "Rooms that this node listens to.", rooms)
    yield counters(
        "handshakes", "Handshakes judged, by HTTP status; 101: accepted.", "status", _named(meter.handshakes)
    )
    yield counters("closes", "Connections gone, by close code.", "code", _named(meter.closes))
    yield counters("commands", "Commands of clients, by op.", "op", meter.commands)
    yield counter("messages_published", "Messages acknowledged to their senders.", meter.published)
    yield counters("messages_refused", "Messages refused, by the code of the error.", "code", meter.refused)
    yield counter("gap_repairs", "Messages read from the store since the broker did not bring them.", meter.repaired)
    yield counter("gaps_told", "Gaps that slow connections were told of.", meter.gaps_told)
    yield histogram(
        "publish_delivery_seconds",
        "From a message's arrival at this node to its hand-over to the sockets of this node.",
        meter.latency,
    )


def commit_metrics(commits: Mapping[str, CommitMeter]) -> Iterator[Metric]:
    """Of the transactions that store messages, by shard."""
    seconds = {shard: meter.seconds for shard, meter in commits.items()}
    sizes = {shard: meter.sizes for shard, meter in commits.items()}
    failures = {shard: meter.failures for shard, meter in commits.items()}
    yield histograms("commit_seconds", "From the beginning of a transaction to its commit.", "shard", seconds)
    yield histograms("commit_writes", "Writes in one transaction.", "shard", sizes)
    yield counters("commit_failures", "Transactions that failed as a whole.", "shard", failures)


def cache_metrics(cache: Cache) -> Iterator[Metric]:
    """Of the recent messages in Redis."""
    results = {"hit": cache.hits, "miss": cache.misses}
    yield counters("cache_reads", "Reads of messages, and whether the cache had them all.", "result", results)


def loop_metrics(lag: Histogram) -> Iterator[Metric]:
    """Of the event loop."""
    yield histogram("event_loop_lag_seconds", "How late the event loop does what is due.", lag)


def _named(numbers: Mapping[int, int]) -> dict[str, int]:
    return {str(number): count for number, count in numbers.items()}

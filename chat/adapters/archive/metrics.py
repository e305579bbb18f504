"""What a node with an archive tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from ...metrics.families import counters
from .segment_reader import SegmentReader


def archive_metrics(segments: SegmentReader) -> Iterator[Metric]:
    """Of what is read from it."""
    yield counters("archive_reads", "Reads of archived messages, by how they ended.", "result", segments.reads)

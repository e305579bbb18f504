"""Numbers as Prometheus metrics: `chat_gateway_…`, in base units, with labels from fixed sets only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from .histogram import Histogram

_PREFIX = "chat_gateway_"


def counter(name: str, text: str, value: float) -> Metric:
    """A counter without labels; `_total` is added to its name."""
    return CounterMetricFamily(_PREFIX + name, text, value=value)


def counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """A counter for each value of one label."""
    family = CounterMetricFamily(_PREFIX + name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def gauge(name: str, text: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(_PREFIX + name, text, value=value)


def gauges(name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    """A gauge for each combination of labels."""
    family = GaugeMetricFamily(_PREFIX + name, text, labels=labels)
    for keys, value in values:
        family.add_metric(keys, value)
    return family


def histograms(name: str, text: str, label: str, values: Mapping[str, Histogram]) -> Metric:
    """A histogram for each value of `label`; for one that is empty, without."""
    family = HistogramMetricFamily(_PREFIX + name, text, labels=[label] if label else [])
    for key, histogram in sorted(values.items()):
        edges = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        buckets = list(zip(edges, itertools.accumulate(histogram.counts), strict=True))
        family.add_metric([key] if label else [], buckets, histogram.sum)
    return family


def histogram(name: str, text: str, value: Histogram) -> Metric:
    """A histogram without labels."""
    return histograms(name, text, "", {"": value})

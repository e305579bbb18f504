"""What is exposed can be read by Prometheus, and keeps to its conventions."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.applications import Starlette
from starlette.routing import Route

from chat.metrics.exposition import Exposition
from chat.metrics.families import counter, counters, gauge, gauges, histogram, histograms
from chat.metrics.histogram import Histogram

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def source() -> Iterator[Metric]:
    yield counter("things", "All things.", 3)
    yield counters("kinds", "By kind.", "kind", {"b": 2, "a": 1})
    yield gauge("level", "Now.", 0.5)
    yield gauges("levels", "Now.", ("x", "y"), [(("1", 'q"\n'), float("inf"))])
    measured = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.05, 5):
        measured.add(seconds)
    yield histogram("wait_seconds", "Waits.", measured)
    yield histograms("size", "Sizes.", "shard", {"one": measured, "two": Histogram((0.1, 1.0))})


async def scraped(accept: str = "") -> httpx.Response:
    app = Starlette(routes=[Route("/metrics", Exposition([source]).respond)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node.test") as client:
        return await client.get("/metrics", headers={"Accept": accept})


async def test_counters_gauges_and_histograms_are_read_as_such() -> None:
    answer = await scraped()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in parse(answer.text)}
    assert families["chat_gateway_things"].type == "counter"
    assert families["chat_gateway_wait_seconds"].type == "histogram"
    samples = {(s.name, tuple(s.labels.values())): s.value for f in families.values() for s in f.samples}
    assert samples["chat_gateway_things_total", ()] == 3
    assert samples["chat_gateway_kinds_total", ("a",)] == 1
    assert samples["chat_gateway_level", ()] == 0.5
    assert samples["chat_gateway_levels", ("1", 'q"\n')] == float("inf")
    assert samples["chat_gateway_wait_seconds_bucket", ("0.1",)] == 2
    assert samples["chat_gateway_wait_seconds_bucket", ("1.0",)] == 2
    assert samples["chat_gateway_wait_seconds_bucket", ("+Inf",)] == 3
    assert samples["chat_gateway_wait_seconds_count", ()] == 3
    assert samples["chat_gateway_wait_seconds_sum", ()] == pytest.approx(5.1)
    assert samples["chat_gateway_size_count", ("two",)] == 0


async def test_the_process_itself_is_told_of() -> None:
    names = {family.name for family in parse((await scraped()).text)}
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds", "python_info"} <= names


async def test_a_scraper_that_asks_for_openmetrics_gets_it() -> None:
    answer = await scraped(OPENMETRICS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(answer.text)  # type: ignore[no-untyped-call]
    assert "chat_gateway_things" in {family.name for family in families}

"""The metrics of one node as text, and as an ASGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

Source = Callable[[], Iterable[Metric]]
"""Says what is to be told at this moment."""


class _Sources(Collector):
    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = list(sources)

    def collect(self) -> Iterator[Metric]:
        for source in self._sources:
            yield from source()


class Exposition:
    """Collects `sources` and the process's own numbers, at every scrape anew."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Sources(sources))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    async def respond(self, request: Request) -> Response:
        """`GET /metrics`, in the format that the scraper accepts."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return PlainTextResponse(encode(self._registry), headers={"Content-Type": content_type})

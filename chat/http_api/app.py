"""The HTTP side of a node as one ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..domain.errors import NotFound
from ..services import Services
from ..version import version
from . import accounts, messages, rooms
from .errors import error_answer
from .health import Health, Readiness
from .openapi import STYLE_HASH, openapi, page
from .routing import Endpoint, method_not_allowed, response, routes
from .security import SecurityHeaders
from .settings import HttpSettings
from .site import Site

ENDPOINTS: list[Endpoint] = [*accounts.ENDPOINTS, *rooms.ENDPOINTS, *messages.ENDPOINTS]


def create_app(
    services: Services,
    settings: HttpSettings,
    readiness: Readiness,
    site: Site | None = None,
    of_node: Sequence[Endpoint] = (),
) -> Starlette:
    """The API below `/api`, health checks, and the web page if it was built. Needs no lifespan events.

    `of_node` are the endpoints that need more of the node than its services.
    """
    endpoints = [*ENDPOINTS, *of_node]
    app = Starlette(
        routes=[
            *routes(endpoints, services, settings),
            *_documentation(endpoints),
            Route("/{path:path}", _Get((site or Site()).respond)),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Health, readiness),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_credentials=True,
                allow_methods=["GET", "POST", "PUT", "DELETE"],
                allow_headers=["Authorization", "Content-Type"],
            ),
        ],
    )
    app.router.redirect_slashes = False
    return app


class _Get:
    """What can only be read: `find` answers the response, or None for 404. An ASGI application, it sees all methods."""

    def __init__(self, find: Callable[[Request], Awaitable[Response | None]]) -> None:
        self._find = find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        answer = await self._find(request)
        if answer is None:
            answer = response(*error_answer(NotFound("there is nothing at this path")))
        elif request.method not in ("GET", "HEAD"):
            answer = method_not_allowed(["GET"])
        await answer(scope, receive, send)


def _documentation(endpoints: Sequence[Endpoint]) -> list[Route]:
    document = openapi(endpoints, version())
    encoded, text = msgspec.json.encode(document), page(document)
    policy = {"Content-Security-Policy": f"default-src 'none'; style-src '{STYLE_HASH}'; frame-ancestors 'none'"}

    async def for_programs(request: Request) -> Response:
        return Response(encoded, media_type="application/json")

    async def for_people(request: Request) -> Response:
        return Response(text, media_type="text/html", headers=policy)

    return [Route("/api/openapi.json", _Get(for_programs)), Route("/api/docs", _Get(for_people))]

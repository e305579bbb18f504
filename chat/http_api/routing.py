"""Endpoints: what a request must carry, who may send it, and how it is answered.

A handler is `async def handler(call, body, query) -> answer`, `body` and `query` only if it wants them. Their
annotations are msgspec structs: what is parsed against them, and what the OpenAPI document says, are one thing.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import typing
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..domain.errors import ChatError, Forbidden, Invalid, NotFound, Unauthenticated
from ..domain.rooms import RoomId
from ..domain.users import Identity, SessionId, UserId
from ..origins import OriginPolicy
from ..services import Services
from .errors import ErrorAnswer, ErrorDetail, error_answer
from .settings import HttpSettings

COOKIE = "chat_session"
_ID = re.compile(r"[a-z0-9_-]{1,32}")
_log = structlog.get_logger("chat.http_api")


class Access(enum.Enum):
    """What a request must prove."""

    OPEN = "nothing"
    BEARER = "an access token in `Authorization: Bearer`"
    COOKIE = "the session cookie, sent by a page of an allowed origin"


@dataclasses.dataclass(slots=True)
class Call:
    """One request on its way to a handler, which may add headers to the answer."""

    services: Services
    settings: HttpSettings
    request: Request
    who: Identity | None = None
    headers: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    @property
    def identity(self) -> Identity:
        """Who calls. Raises: Unauthenticated, on an endpoint that lets anybody in."""
        if self.who is None:
            raise Unauthenticated("sign in first")
        return self.who

    @property
    def peer(self) -> str:
        """The client's IP address, as far as trusted proxies tell."""
        return self.request.client.host if self.request.client else ""

    @property
    def room(self) -> RoomId:
        """From the path. Raises: NotFound for what cannot be an id."""
        return RoomId(self._id("room"))

    @property
    def user(self) -> UserId:
        """From the path. Raises: NotFound for what cannot be an id."""
        return UserId(self._id("user"))

    @property
    def cookie(self) -> SessionId | None:
        """The session that the cookie names, if a page of an allowed origin sent the request.

        Raises: Forbidden for another origin, and for none: then anybody may have made the browser send it.
        """
        value = self.request.cookies.get(COOKIE)
        if value is None:
            return None
        headers = self.request.headers
        if not OriginPolicy(self.settings.allowed_origins).allows(headers.get("origin"), headers.get("host")):
            raise Forbidden("the session cookie counts only from an allowed origin")
        return SessionId(value)

    def set_cookie(self, session: SessionId, seconds: float) -> None:
        """Has the browser keep the session, out of the reach of scripts and of other sites; 0 s forgets it."""
        secure = "; Secure" if self.settings.secure_cookies or self.request.url.scheme == "https" else ""
        value = f"{COOKIE}={session}; Path=/api; HttpOnly; SameSite=Strict; Max-Age={int(seconds)}{secure}"
        self.headers.append(("Set-Cookie", value))

    async def identify(self) -> None:
        """Finds out who calls, by the access token. Raises: Unauthenticated."""
        scheme, _, token = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("sign in first")
        self.who = await self.services.auth.verify(token.strip())

    def _id(self, name: str) -> str:
        value = str(self.request.path_params[name])
        if not _ID.fullmatch(value):
            raise NotFound(f"no such {name}")
        return value


Handler = Callable[..., Awaitable[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """A method on a path. A handler without an answer needs no `status`: it is 204."""

    method: str
    path: str
    handler: Handler
    access: Access = Access.BEARER
    status: int = 200
    types: dict[str, Any] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "types", typing.get_type_hints(self.handler))
        if self.answer is None:
            object.__setattr__(self, "status", 204)

    @property
    def answer(self) -> Any:
        """The type of the answer, or None."""
        return None if self.types["return"] is type(None) else self.types["return"]

    async def respond(self, call: Call) -> Response:
        """Carries the request out. Raises: ChatError."""
        if self.access is Access.BEARER:
            await call.identify()
        arguments = {}
        if "body" in self.types:
            arguments["body"] = await _body(call.request, self.types["body"])
        if "query" in self.types:
            arguments["query"] = _query(call.request, self.types["query"])
        answer = await self.handler(call, **arguments)
        headers = [("Content-Type", "application/json")] if self.answer else []
        content = msgspec.json.encode(answer) if self.answer else b""
        return response(self.status, [*headers, *call.headers], content)


async def _body(request: Request, kind: Any) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Invalid("Content-Type must be application/json")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"body: {_plain(error)}") from None


def _query(request: Request, kind: Any) -> Any:
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"query: {_plain(error)}") from None


def _plain(error: Exception) -> str:
    """Msgspec's words with the field first: `name: expected str, got int`."""
    text, _, path = str(error).replace("`", "").partition(" - at ")
    field = path.removeprefix("$").removeprefix(".")
    return f"{field}: {text[:1].lower()}{text[1:]}" if field else text[:1].lower() + text[1:]


class _Path:
    """All methods of one path, as an ASGI application."""

    def __init__(self, endpoints: dict[str, Endpoint], services: Services, settings: HttpSettings) -> None:
        self._endpoints = endpoints
        self._services = services
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self.respond(Request(scope, receive))
        await answer(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method not in self._endpoints:
            return method_not_allowed(self._endpoints)
        try:
            return await self._endpoints[method].respond(Call(self._services, self._settings, request))
        except ChatError as error:
            return response(*error_answer(error))
        except Exception:
            _log.exception("request failed", method=request.method, path=request.url.path)
            return response(*error_answer(ChatError("something went wrong on our side")))


def routes(endpoints: Iterable[Endpoint], services: Services, settings: HttpSettings) -> list[Route]:
    """One route for each path."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [Route(path, _Path(methods, services, settings)) for path, methods in by_path.items()]


def method_not_allowed(methods: Iterable[str]) -> Response:
    """405, with the methods that there are."""
    allowed = sorted({*methods} | ({"HEAD"} if "GET" in methods else set()))
    body = msgspec.json.encode(ErrorAnswer(ErrorDetail("invalid", "this path has no such method", False)))
    headers = [("Content-Type", "application/json"), ("Allow", ", ".join(allowed))]
    return response(405, headers, body)


def response(status: int, headers: Iterable[tuple[str, str]], content: bytes) -> Response:
    """An answer whose headers may repeat."""
    answer = Response(content, status)
    for key, value in headers:
        answer.headers.append(key, value)
    return answer

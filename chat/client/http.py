"""The server's HTTP side: sign in, renew tokens, list and make rooms."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from ..domain.errors import ChatError
from .errors import ClientError, ConnectionLost, HandshakeRefused, ProtocolViolation, refusal
from .events import Member, RoomInfo, User, parse

REQUEST_SECONDS = 15.0
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of an answer that is not the node's own (a proxy's) and will change by itself."""
T = TypeVar("T")


class SignedIn(msgspec.Struct, frozen=True):
    """An access token, good for `expires_in` seconds."""

    access_token: str
    expires_in: float
    user: User


class Route(msgspec.Struct, frozen=True):
    """Where to open the socket; `resume` leads back to the same node the next time. `alone`: there is no other."""

    url: str
    resume: str
    alone: bool = False


class HttpApi:
    """One server, with the session cookie that it gave us. Every method raises `ChatError` and `ConnectionLost`."""

    def __init__(self, url: str, ssl_context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url must be http:// or https:// with a host, not {url!r}")
        origin = f"{parts.scheme}://{parts.netloc}"
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Origin": origin},  # without it the server does not look at the cookie
            timeout=REQUEST_SECONDS,
            trust_env=False,  # no proxy: the socket takes none either
            verify=ssl_context if ssl_context is not None else parts.scheme == "https",
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def register(self, name: str, password: str) -> User:
        return _field(await self._ask("POST", "/api/register", {"name": name, "password": password}), "user", User)

    async def login(self, name: str, password: str) -> SignedIn:
        return parse(await self._ask("POST", "/api/login", {"name": name, "password": password}), SignedIn)

    async def renew(self) -> SignedIn:
        """A fresh token for the session of the cookie."""
        return parse(await self._ask("POST", "/api/token"), SignedIn)

    async def route(self, token: str, region: str, resume: str) -> Route:
        """The node to connect to; `resume` is of the last answer."""
        query = {name: value for name, value in (("region", region), ("resume", resume)) if value}
        return parse(await self._ask("GET", "/api/connect", token=token, query=query), Route)

    async def rooms(self, token: str) -> list[RoomInfo]:
        return _field(await self._ask("GET", "/api/rooms", token=token), "rooms", list[RoomInfo])

    async def public_rooms(self, token: str, after: str | None, limit: int) -> list[RoomInfo]:
        query = {"public": "true", "limit": str(limit)} | ({"after": after} if after else {})
        return _field(await self._ask("GET", "/api/rooms", token=token, query=query), "rooms", list[RoomInfo])

    async def create_room(self, token: str, name: str, kind: str) -> RoomInfo:
        answer = await self._ask("POST", "/api/rooms", {"name": name, "kind": kind}, token)
        return _field(answer, "room", RoomInfo)

    async def direct(self, token: str, user: str) -> RoomInfo:
        return _field(await self._ask("POST", "/api/direct", {"user": user}, token), "room", RoomInfo)

    async def members(self, token: str, room: str, after: str | None, limit: int) -> list[Member]:
        query = {"limit": str(limit)} | ({"after": after} if after else {})
        answer = await self._ask("GET", f"/api/rooms/{room}/members", token=token, query=query)
        return _field(answer, "members", list[Member])

    async def set_role(self, token: str, room: str, user: str, role: str | None) -> None:
        path = f"/api/rooms/{room}/members/{user}"
        if role is None:
            await self._ask("DELETE", path, token=token)
        else:
            await self._ask("PUT", path, {"role": role}, token)

    async def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, str] | None = None,
        token: str | None = None,
        query: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = await self._http.request(method, path, json=body, headers=headers, params=query)
        except httpx.HTTPError as error:
            raise ConnectionLost(f"{method} {path}: {error or type(error).__name__}") from None
        if answer.is_success:
            return _map(answer)
        raise _failure(answer)


def _field(answer: dict[str, Any], name: str, kind: type[T]) -> T:
    return parse(answer.get(name), kind)


def _map(answer: httpx.Response) -> dict[str, Any]:
    if not answer.content:
        return {}
    try:
        value = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProtocolViolation(f"{answer.request.url.path}: the answer is no JSON object; is this a chat server?")
    return value


def _failure(answer: httpx.Response) -> ChatError | ClientError:
    """The refusal that the server sent, or what a status without one (a proxy's) means."""
    try:
        return refusal(_map(answer)["error"])
    except (ProtocolViolation, KeyError):
        if answer.status_code in _TEMPORARY:
            return ConnectionLost(f"{answer.request.url.path}: HTTP status {answer.status_code}")
        return HandshakeRefused(answer.status_code)

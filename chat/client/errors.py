"""What a client raises.

    ClientError
    ├── SessionEnded       the server ended the session for good: signed out elsewhere, banned, not signed in
    ├── ProtocolViolation  the server and this client do not understand each other: a bug in one of them
    ├── HandshakeRefused   what listens there does not offer chat
    ├── RemovedFromRoom    the user is no member of the room any more
    ├── ClientClosed       the client was used after its block, or after it failed
    └── ConnectionLost     inside the client only: it reconnects

A request that the server refuses raises the `ChatError` of the same code (`chat.domain.errors`): `NotFound`,
`Forbidden`, `RateLimited` and so on. The connection stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..domain import errors as domain
from ..domain.errors import ChatError

_CLASSES: dict[str, type[ChatError]] = {
    kind.code: kind for kind in vars(domain).values() if isinstance(kind, type) and issubclass(kind, ChatError)
}
_VIOLATIONS = frozenset({1002, 1003, 1007, 1009})
"""Close codes that say that a peer broke the protocol."""
_TOO_MUCH = 1008
"""Too many frames or commands: to come back at once would be more of the same."""
UNAUTHENTICATED = 4501


class ClientError(Exception):
    """The root of what the client raises by itself."""


class SessionEnded(ClientError):
    """The server ended the session for good (close codes 4500–4999): reconnecting cannot help."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the server ended the session: {reason or 'no reason given'} ({code})")
        self.code = code
        self.reason = reason


class ProtocolViolation(ClientError):
    """Server and client do not understand each other; trying again would end the same way."""


class HandshakeRefused(ClientError):
    """The server answered the opening handshake with a status that will not change by itself."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server refused the connection with HTTP status {status}")
        self.status = status


class RemovedFromRoom(ClientError):
    """The user left the room elsewhere, was removed from it, or banned: nothing more comes from it."""


class ClientClosed(ClientError):
    """The client is not running: its block has ended, or it failed (then that is the cause)."""


class ConnectionLost(ClientError):
    """The connection is gone and another one may work.

    `retry_after` (seconds) is the server's wish, if any; `slowly` asks for the longest pause of our own.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, slowly: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.slowly = slowly


def refusal(error: Any) -> ChatError:
    """The exception of an `err` map, or of the `error` of an HTTP answer."""
    if not isinstance(error, Mapping):
        raise ProtocolViolation("an error of the server is not a map")
    delay = error.get("retry_after_ms")
    kind = _CLASSES.get(str(error.get("code")), ChatError)
    refused = kind(
        str(error.get("message") or error.get("code")),
        retry_after=delay / 1000 if isinstance(delay, int | float) and delay >= 0 else None,
    )
    if kind is ChatError:
        refused.code = str(error.get("code"))
        refused.retryable = bool(error.get("retryable"))
    return refused


def closed(code: int, reason: str | None) -> ClientError:
    """What a close code asks of the client: `ConnectionLost` to reconnect, anything else to give up."""
    if 4500 <= code <= 4999:
        return SessionEnded(code, reason or "")
    if code in _VIOLATIONS:
        return ProtocolViolation(f"the server closed with {code}: {reason or 'no reason given'}")
    return ConnectionLost(f"closed with {code}{': ' + reason if reason else ''}", slowly=code == _TOO_MUCH)

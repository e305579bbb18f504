"""What a client may be told: one exception class for each stable error code."""

from __future__ import annotations


class ChatError(Exception):
    """A refused request. `code` is stable, `message` is for people, and the connection stays open."""

    code = "internal"
    retryable = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        """Seconds to wait before another try, if that is known."""


class Unauthenticated(ChatError):
    """Nobody is signed in, or the credentials are wrong or expired."""

    code = "unauthenticated"


class Forbidden(ChatError):
    """The user is known and may not do this, in a room that the user may see."""

    code = "forbidden"


class NotFound(ChatError):
    """There is no such thing, or the user may not know of it: the same answer for both."""

    code = "not_found"


class Conflict(ChatError):
    """The name is taken, or the thing has changed meanwhile."""

    code = "conflict"


class Invalid(ChatError):
    """The request is malformed; the message names the field."""

    code = "invalid"


class UnknownOp(Invalid):
    """The protocol has no such operation."""

    code = "unknown_op"


class RateLimited(ChatError):
    """Too many requests; `retry_after` says when to come back."""

    code = "rate_limited"
    retryable = True


class Unavailable(ChatError):
    """Something the request needs is away for the moment; whether it was carried out is unknown."""

    code = "unavailable"
    retryable = True

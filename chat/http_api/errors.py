"""Errors as a client of the HTTP API sees them: one shape, and a status for each code."""

from __future__ import annotations

import math

import msgspec

from ..domain.errors import ChatError

STATUS = {
    "invalid": 400,
    "unknown_op": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
}


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """`code` is stable, `message` is for people."""

    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None


class ErrorAnswer(msgspec.Struct, frozen=True):
    """What every refused request is answered with."""

    error: ErrorDetail


def error_answer(error: ChatError) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of a refusal."""
    detail = ErrorDetail(
        error.code,
        error.message,
        error.retryable,
        None if error.retry_after is None else math.ceil(error.retry_after * 1000),
    )
    headers = [("Content-Type", "application/json")]
    if error.code == "unauthenticated":
        headers.append(("WWW-Authenticate", 'Bearer realm="chat"'))
    if error.retry_after is not None:
        headers.append(("Retry-After", str(math.ceil(error.retry_after))))
    return STATUS.get(error.code, 500), headers, msgspec.json.encode(ErrorAnswer(detail))

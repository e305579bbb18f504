"""What Redis or the way to it says when something is wrong, and what to do about it."""

from __future__ import annotations

import enum

from redis.exceptions import ResponseError


class Away(Exception):
    """No connection, or it has broken: whether what was sent was carried out is unknown."""


class Remedy(enum.Enum):
    """What to do about an error reply, which always means that its command was not carried out."""

    REDIRECT = enum.auto()
    """The slot has moved: ask its new owner."""
    WAIT = enum.auto()
    """Not now, or not there: look for the primary again, then try again."""
    REFUSE = enum.auto()
    """Trying again would not help."""


_TRANSIENT = ("ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOSCRIPT", "READONLY", "TRYAGAIN")
_REMEDIES = {"MOVED": Remedy.REDIRECT, **dict.fromkeys(_TRANSIENT, Remedy.WAIT)}


def remedy_for(error: ResponseError) -> Remedy:
    return _REMEDIES.get(code_of(error), Remedy.REFUSE)


def code_of(error: ResponseError) -> str:
    """The first word of an error reply: safe to log, as the rest may hold what was sent."""
    return error.status_code or str(error).partition(" ")[0][:32]

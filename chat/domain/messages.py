"""Messages and their positions."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, NamedTuple

from .rooms import RoomId
from .users import UserId

MAX_BODY_BYTES = 16_384
"""Of the body as the server stores it (MessagePack)."""
MAX_KEY_CHARACTERS = 64
HISTORY_LIMIT = 200
MAX_MENTIONS = 50
"""In one message; more are not stored, so that one message cannot notify a town."""

_MENTION = re.compile(r"(?<![\w@])@(?:\[([^\[\]\n]{1,32})\]|([\w.\-]{1,32}))")


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A committed message. `seq` counts from 1 in its room without a gap; `ts` is milliseconds UTC.

    `revision` counts from 0 with each edit; a deleted message keeps its row, with an empty body.
    """

    room: RoomId
    seq: int
    ts: int
    user: UserId
    key: str
    body: dict[str, Any]
    revision: int = 0
    deleted: bool = False


class NewMessage(NamedTuple):
    """A message that wants a position. `key` is the client's: a retry carries the same one."""

    room: RoomId
    user: UserId
    key: str
    body: dict[str, Any]
    mentions: tuple[str, ...] = ()
    """Names as written in the text, without the @."""


class Appended(NamedTuple):
    """The answer to an append: the same for every retry of one key, but for `duplicate`."""

    epoch: str
    seq: int
    ts: int
    duplicate: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """Where a reader stands in a room's history."""

    epoch: str
    seq: int


def mentions(text: str) -> tuple[str, ...]:
    """The names that `text` mentions, each once, at most `MAX_MENTIONS`.

    `@bob`, without what ends a sentence; or `@[New Bob]`, for names of several words or with other characters.
    """
    if "@" not in text:
        return ()
    names = (whole.strip() or word.rstrip(".-") for whole, word in _MENTION.findall(text))
    return tuple(dict.fromkeys(filter(None, names)))[:MAX_MENTIONS]

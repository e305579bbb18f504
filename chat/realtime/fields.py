"""Reads the fields of a command; what is missing or garbled is `Invalid`, naming the field."""

from __future__ import annotations

from typing import Any, cast

from ..domain.errors import Invalid
from ..domain.ids import is_id
from ..domain.messages import Position
from ..domain.rooms import RoomId
from .codecs import Command

MAX_SAFE_INTEGER = 2**53 - 1
"""What every JSON reader keeps exactly; the protocol's own numbers stay below."""
MAX_TOKEN_CHARACTERS = 4_096
MAX_EPOCH_CHARACTERS = 64


def command_id(command: Command) -> int:
    """The number that the answer will carry."""
    return integer(command, "id")


def integer(command: Command, field: str, *, minimum: int = 0, maximum: int = MAX_SAFE_INTEGER) -> int:
    """A required whole number within the bounds."""
    value = command.get(field)
    if type(value) is not int or not minimum <= value <= maximum:
        raise Invalid(f"{field} must be a whole number from {minimum} to {maximum}")
    return value


def optional_integer(command: Command, field: str) -> int | None:
    """The same for a field that may be left out or null."""
    return None if command.get(field) is None else integer(command, field)


def text(command: Command, field: str, maximum: int) -> str:
    """Required text of 1 to `maximum` characters."""
    value = command.get(field)
    if type(value) is not str or not 1 <= len(value) <= maximum:
        raise Invalid(f"{field} must be text of 1 to {maximum} characters")
    return value


def room(command: Command) -> RoomId:
    """The room that is meant; whether it exists is not looked at."""
    value = command.get("room")
    if type(value) is not str or not is_id(value):
        raise Invalid("room must be the id of a room")
    return RoomId(value)


def body(command: Command) -> dict[str, Any]:
    """What a message says; its content is the services' to judge."""
    value = command.get("body")
    if type(value) is not dict:
        raise Invalid("body must be a map")
    return cast(dict[str, Any], value)


def since(command: Command) -> Position | None:
    """Where the client stands, if it says so."""
    value = command.get("since")
    if value is None:
        return None
    if type(value) is not dict:
        raise Invalid("since must be a map with epoch and seq")
    try:
        return Position(text(value, "epoch", MAX_EPOCH_CHARACTERS), integer(value, "seq"))
    except Invalid as error:
        raise Invalid(f"since.{error.message}") from None

"""Users and their sessions."""

from __future__ import annotations

import dataclasses
import unicodedata
from typing import NewType

from .errors import Forbidden, Invalid

UserId = NewType("UserId", str)
SessionId = NewType("SessionId", str)

MAX_NAME_CHARACTERS = 32
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_BYTES = 1024
"""argon2 reads all of it, so a limit keeps a login's cost flat."""

_BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Letters, marks and a symbol by category, and nothing to be seen."""
_VARIATION_SELECTORS = dict.fromkeys([*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
"""Invisible by themselves; in a name for the sake of emoji."""


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """An account. `name` is as its owner writes it; two names that fold alike are one."""

    id: UserId
    name: str
    admin: bool = False
    """Whether it may operate the installation. An identity made from an access token does not say so: the
    account does, at every use."""


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """A user as operators see them."""

    user: User
    banned: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """A signed-in user on one device. Times are seconds since the epoch."""

    id: SessionId
    user: UserId
    created: float
    expires: float


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks: proven by an access token that holds until `expires` (seconds since the epoch)."""

    user: User
    session: SessionId
    expires: float


def check_operator(user: User) -> None:
    """Decides whether `user` may operate the installation: see all, ban, remove. Raises: Forbidden."""
    if not user.admin:
        raise Forbidden("this is for administrators")


def fold_name(name: str) -> str:
    """The form under which a name is unique: what reads alike is alike (NFKC, case, spaces, variants of glyphs)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.translate(_VARIATION_SELECTORS).split())


def check_name(name: str, *, what: str = "name", limit: int = MAX_NAME_CHARACTERS) -> str:
    """`name` without outer white space, if people can read and tell it apart.

    Raises: Invalid for an empty or long name, and for control, format, surrogate and private characters
    (zero width, direction overrides), line separators, and more than two combining marks in a row.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not 1 <= len(name) <= limit:
        raise Invalid(f"{what} must have 1 to {limit} characters")
    marks = 0
    for character in name:
        category = unicodedata.category(character)
        if category[0] == "C" or category in ("Zl", "Zp") or character in _BLANKS:
            raise Invalid(f"{what} contains a character that cannot be seen")
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > 2:
            raise Invalid(f"{what} contains too many combining marks")
    return name


def check_password(password: str) -> str:
    """`password` itself, if it is text within the limits. Raises: Invalid."""
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise Invalid(f"password must have at least {MIN_PASSWORD_CHARACTERS} characters")
    if len(password) > MAX_PASSWORD_BYTES or len(_utf8(password)) > MAX_PASSWORD_BYTES:
        raise Invalid(f"password must have at most {MAX_PASSWORD_BYTES} bytes")
    return password


def _utf8(password: str) -> bytes:
    try:
        return password.encode()
    except UnicodeEncodeError:
        raise Invalid("password contains a lone surrogate") from None

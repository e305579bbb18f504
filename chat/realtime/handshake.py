"""The opening handshake as chat judges it: origin, path, subprotocol, credentials. Pure: no I/O, no clock."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

from gateway_core.gateway import Request

from ..domain.errors import Forbidden, Invalid, NotFound, Unauthenticated
from ..origins import OriginPolicy
from .codecs import Codec, negotiate
from .fields import MAX_TOKEN_CHARACTERS

PATH = "/ws"
_MAX_QUERY_FIELDS = 32


class Handshake(NamedTuple):
    """What an acceptable request asks for."""

    codec: Codec
    subprotocol: str | None
    """To be confirmed; None if none was offered."""
    token: str | None
    """An access token, not looked at yet; None if the client will say hello."""


def judge(request: Request, origins: OriginPolicy) -> Handshake:
    """Judges everything that needs no look-up, the origin first.

    The cookie is no credential here, whatever the origin: a WebSocket speaks for whoever shows a token.
    Raises: ChatError.
    """
    _check_origin(request, origins)
    if request.path != PATH:
        raise NotFound(f"the socket is at {PATH}")
    codec = negotiate(request.subprotocols)
    if codec is None:
        raise Invalid("none of the offered subprotocols is known here")
    return Handshake(codec, codec.name if request.subprotocols else None, _token(request))


def _check_origin(request: Request, origins: OriginPolicy) -> None:
    """A request without Origin comes from no web page; one with it must come from a page that we trust."""
    found = [value for name, value in request.headers if name == "origin"]
    if found and (len(found) > 1 or not origins.allows(found[0], request.header("host"))):
        raise Forbidden("this origin may not connect")


def _token(request: Request) -> str | None:
    """The bearer token of the header, else of the query. Never quoted in an error."""
    header = request.header("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("the authorization must be a bearer token")
        return _checked(token.strip())
    try:
        fields = parse_qsl(request.query, keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        raise Invalid("the query cannot be read") from None
    tokens = [value for name, value in fields if name == "access_token"]
    if len(tokens) > 1:
        raise Unauthenticated("more than one access token")
    return _checked(tokens[0]) if tokens else None


def _checked(token: str) -> str:
    if not 1 <= len(token) <= MAX_TOKEN_CHARACTERS:
        raise Unauthenticated("the access token is not valid")
    return token

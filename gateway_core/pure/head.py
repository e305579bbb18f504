"""The head of a request: bytes to `Upgrade`, `PlainHttp` or `BadRequest` (RFC 6455 §4.2.1, RFC 9112)."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Iterable
from http import HTTPStatus

from ..config import GatewayConfig

VERSION = "13"

_MAX_SUBPROTOCOLS = 64

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"/[!-\"$-~]*")
_HOST = re.compile(r"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BEGINNING = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: |\Z)")

Headers = tuple[tuple[str, str], ...]


class BadRequest(Exception):
    """The request is refused; the peer gets `response`."""

    def __init__(self, status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.response = response(status, headers, text.encode())


@dataclasses.dataclass(frozen=True, slots=True)
class PlainHttp:
    """A whole head that does not ask for a WebSocket."""


@dataclasses.dataclass(frozen=True, slots=True)
class Upgrade:
    """A well-formed opening handshake."""

    path: str
    query: str
    headers: Headers
    subprotocols: tuple[str, ...]
    key: str
    size: int
    """Bytes of the head: what follows are the client's first frames."""


def parse_head(data: bytes | bytearray, config: GatewayConfig) -> Upgrade | PlainHttp | None:
    """Reads the head at the front of `data`; None until its end has come.

    Raises: BadRequest, as soon as nothing that may follow can mend it.
    """
    end = data.find(b"\r\n\r\n", 0, config.max_header_bytes)
    if end < 0:
        _check_beginning(data, config)
        return None
    lines = data[:end].decode("latin-1").split("\r\n")
    if len(lines) - 1 > config.max_headers:
        raise BadRequest(431, "too many headers")
    method, target, version = _request_line(lines[0], config)
    headers = tuple(_header(line) for line in lines[1:])
    if "websocket" not in _tokens(headers, "upgrade"):
        return PlainHttp()
    return _upgrade(method, target, version, headers, end + 4)


def response(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """An HTTP answer after which the connection ends."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Refused"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def is_header(name: str, value: str) -> bool:
    """Whether `response` may be given the header: a token that it does not write itself, no control character."""
    own = name.lower() in ("connection", "content-length", "transfer-encoding")
    return bool(_TOKEN.fullmatch(name)) and not own and not _BAD_VALUE.search(value) and value.isascii()


def _check_beginning(data: bytes | bytearray, config: GatewayConfig) -> None:
    if not _BEGINNING.match(data) or _BARE_LF.search(data):
        raise BadRequest(400, "this is no HTTP request")
    line_end = data.find(b"\r\n")
    if (len(data) if line_end < 0 else line_end) > config.max_header_bytes // 2:
        raise BadRequest(414, "the request line is too long")
    if len(data) >= config.max_header_bytes:
        raise BadRequest(431, "the headers are too long")
    if data.count(b"\n") > config.max_headers + 1:
        raise BadRequest(431, "too many headers")


def _request_line(line: str, config: GatewayConfig) -> tuple[str, str, str]:
    if len(line) > config.max_header_bytes // 2:
        raise BadRequest(414, "the request line is too long")
    parts = line.split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(400, "the request line is malformed")
    if not parts[1] or not parts[1].isascii() or not parts[1].isprintable():
        raise BadRequest(400, "the request target is malformed")
    return parts[0], parts[1], parts[2]


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    # A folded line starts with a space, which no token does.
    if not colon or not _TOKEN.fullmatch(name) or _BAD_VALUE.search(value):
        raise BadRequest(400, "a header is malformed")
    return name.lower(), value.strip(" \t")


def _values(headers: Headers, name: str) -> list[str]:
    return [value for key, value in headers if key == name]


def _tokens(headers: Headers, name: str) -> list[str]:
    return [token.strip(" \t").lower() for value in _values(headers, name) for token in value.split(",")]


def _upgrade(method: str, target: str, version: str, headers: Headers, size: int) -> Upgrade:
    if method != "GET" or version != "HTTP/1.1":
        raise BadRequest(400, "a WebSocket is opened with GET and HTTP/1.1")
    if not _TARGET.fullmatch(target):
        raise BadRequest(400, "the request target is malformed")
    hosts = _values(headers, "host")
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise BadRequest(400, "one valid Host header is needed")
    if _values(headers, "transfer-encoding") or any(length != "0" for length in _values(headers, "content-length")):
        raise BadRequest(400, "a WebSocket request has no body")
    once = all(len(_values(headers, name)) == 1 for name in ("upgrade", "connection"))
    if not once or "upgrade" not in _tokens(headers, "connection"):
        raise BadRequest(400, "Upgrade: websocket and Connection: Upgrade are needed, once")
    versions = _values(headers, "sec-websocket-version")
    if versions != [VERSION]:
        raise BadRequest(426, "the version must be 13", [("Sec-WebSocket-Version", VERSION)])
    path, _, query = target.partition("?")
    return Upgrade(path, query, headers, _subprotocols(headers), _key(headers), size)


def _key(headers: Headers) -> str:
    keys = _values(headers, "sec-websocket-key")
    try:
        if len(keys) == 1 and len(keys[0]) == 24 and len(base64.b64decode(keys[0], validate=True)) == 16:
            return keys[0]
    except (binascii.Error, ValueError):
        pass
    raise BadRequest(400, "Sec-WebSocket-Key must be 16 bytes in base64, once")


def _subprotocols(headers: Headers) -> tuple[str, ...]:
    offered = [token.strip(" \t") for value in _values(headers, "sec-websocket-protocol") for token in value.split(",")]
    names = tuple(name for name in offered if name)
    if any(not _TOKEN.fullmatch(name) for name in names) or len(names) > _MAX_SUBPROTOCOLS:
        raise BadRequest(400, "Sec-WebSocket-Protocol is malformed")
    return names

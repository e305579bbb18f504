"""The web page: files that the build has put into the package, read into memory once.

So no request ever turns into a path in the file system. A file whose name holds its hash (below `assets/`) may
be kept for ever; everything else is asked for anew, with its ETag. Beside a file there may be the same one
compressed, as `NAME.br` and `NAME.gz`: who accepts that gets it.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from .page_policy import page_policy

STATIC = Path(__file__).parent / "static"
_CODINGS = {"br": ".br", "gzip": ".gz"}
"""The best first."""
_PAGES = ("/", "/admin")
"""The paths of the page, which shows something else at each."""
_REFUSED = re.compile(r"q=0(\.0*)?$")
_MISSING = b"""\
This node serves chat, but its web page is not part of this installation.

To build it: install Node.js 20 or newer and run `make build` in the source tree, then start the node again.
Everything else works without it: the HTTP API is described at /api/docs, and the WebSocket is at /ws.
"""


class _File(NamedTuple):
    variants: dict[str, bytes]
    """The content by its coding; the empty one is always there."""
    type: str
    digest: str
    lasting: bool


async def _none() -> Iterable[str]:
    return ()


class Site:
    """The files below one directory, by URL path; empty if there is none.

    `sockets` tells where the page may be sent, besides where it came from.
    """

    def __init__(self, directory: Path = STATIC, sockets: Callable[[], Awaitable[Iterable[str]]] = _none) -> None:
        self._sockets = sockets
        self._files = {}
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.name.startswith(".") and path.suffix not in _CODINGS.values():
                name = path.relative_to(directory).as_posix()
                self._files["/" + name] = _read(path, lasting=name.startswith("assets/"))
        if (page := self._files.pop("/index.html", None)) is not None:
            self._files |= dict.fromkeys(_PAGES, page)

    async def respond(self, request: Request) -> Response | None:
        """The file at the request's path, or None if there is none."""
        path = request.url.path
        if path not in self._files:
            return Response(_MISSING, media_type="text/plain") if path in _PAGES else None
        file = self._files[path]
        coding = _coding(file, request.headers.get("accept-encoding", ""))
        policy = page_policy(await self._sockets() if path in _PAGES else ())
        etag = _etag(file, coding, policy)
        headers = {
            "ETag": etag,
            "Cache-Control": "public, max-age=31536000, immutable" if file.lasting else "no-cache",
            "Content-Security-Policy": policy,
        }
        if len(file.variants) > 1:
            headers["Vary"] = "Accept-Encoding"
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        if coding:
            headers["Content-Encoding"] = coding
        return Response(file.variants[coding], headers=headers, media_type=file.type)


def _coding(file: _File, accepted: str) -> str:
    """The best variant that the client accepts (RFC 9110, 12.5.3; of weights only 0 counts)."""
    offers = [offer.replace(" ", "").lower() for offer in accepted.split(",")]
    names = {offer.partition(";")[0] for offer in offers if not _REFUSED.search(offer)}
    return next((coding for coding in _CODINGS if coding in file.variants and coding in names), "")


def _read(path: Path, lasting: bool) -> _File:
    content = path.read_bytes()
    compressed = {coding: Path(f"{path}{suffix}") for coding, suffix in _CODINGS.items()}
    variants = {coding: variant.read_bytes() for coding, variant in compressed.items() if variant.is_file()}
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File({"": content} | variants, kind, _digest(content), lasting)


def _etag(file: _File, coding: str, policy: str) -> str:
    """Of all that a browser keeps: a page that is kept with an old policy could not reach a new node."""
    return f'"{_digest(f"{file.digest} {coding} {policy}".encode())}"'


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]

"""The web page: files that the build has put into the package, read into memory once.

So no request ever turns into a path in the file system. A file whose name holds its hash (below `assets/`) may
be kept for ever; everything else is asked for anew, with its ETag. Beside a file there may be the same one
compressed, as `NAME.br` and `NAME.gz`: who accepts that gets it.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

STATIC = Path(__file__).parent / "static"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
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
    etag: str
    lasting: bool


class Site:
    """The files below one directory, by URL path; empty if there is none."""

    def __init__(self, directory: Path = STATIC) -> None:
        self._files = {}
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.name.startswith(".") and path.suffix not in _CODINGS.values():
                name = path.relative_to(directory).as_posix()
                self._files["/" + name] = _read(path, lasting=name.startswith("assets/"))
        if (page := self._files.pop("/index.html", None)) is not None:
            self._files |= dict.fromkeys(_PAGES, page)

    def respond(self, request: Request) -> Response | None:
        """The file at the request's path, or None if there is none."""
        path = request.url.path
        if path not in self._files:
            return Response(_MISSING, media_type="text/plain") if path in _PAGES else None
        file = self._files[path]
        coding = _coding(file, request.headers.get("accept-encoding", ""))
        etag = f'"{file.etag}{"-" if coding else ""}{coding}"'
        headers = {
            "ETag": etag,
            "Cache-Control": "public, max-age=31536000, immutable" if file.lasting else "no-cache",
            "Content-Security-Policy": PAGE_POLICY,
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
    return _File({"": content} | variants, kind, hashlib.sha256(content).hexdigest()[:32], lasting)

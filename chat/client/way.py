"""Which node to connect to, as the server says."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from ..domain.errors import ChatError, NotFound, Unauthenticated
from .credentials import Credentials
from .errors import ConnectionLost, ProtocolViolation
from .http import HttpApi

_SOCKET = "/ws"
_SCHEMES = {"ws": "http", "wss": "https"}


class Way:
    """Asks before each connection, unless there is but one node, and bears in mind where the last one was."""

    def __init__(self, url: SplitResult, api: HttpApi, credentials: Credentials, region: str) -> None:
        self._url = url
        self._api = api
        self._credentials = credentials
        self._region = region
        self._resume = self._offered = ""
        self._alone = False

    async def find(self) -> SplitResult:
        """The address of a node; the server's own, if it tells none.

        Raises: ConnectionLost if it cannot be asked now; Unauthenticated; ProtocolViolation.
        """
        if self._alone:
            return self._url
        resume, self._resume = self._resume, ""  # if that node cannot be reached, any other will do
        try:
            route = await self._api.route(await self._credentials.token(), self._region, resume)
        except NotFound:
            return self._url
        except Unauthenticated:
            self._credentials.refused()
            raise ConnectionLost("the access token has expired") from None
        except ChatError as error:
            if not error.retryable:
                raise
            raise ConnectionLost(f"asking where to connect: {error}", error.retry_after) from None
        self._offered, self._alone = route.resume, route.alone
        return self._url if route.alone else self._node(route.url)

    def arrived(self) -> None:
        """The node has let us in: the next way begins there."""
        self._resume = self._offered

    def _node(self, url: str) -> SplitResult:
        """A socket's address as that of the server it is of. Raises: ProtocolViolation, for one without TLS as well."""
        try:
            found = urlsplit(url)
            found.port  # noqa: B018 -- raises if it is none
        except ValueError:
            raise ProtocolViolation(f"the server sends us to {url!r}") from None
        scheme = _SCHEMES.get(found.scheme)
        if scheme is None or not found.hostname or (self._url.scheme == "https" and scheme != "https"):
            raise ProtocolViolation(f"the server sends us to {url!r}")
        return found._replace(scheme=scheme, path=found.path.removesuffix(_SOCKET), query="", fragment="")

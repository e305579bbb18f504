"""Which Redis to use, as people write it.

    redis://[[user]:password@]host[:6379][/database]             one server
    redis+sentinel://[…@]host[:26379],host,…/name[/database]     whichever the sentinels call the primary of `name`
    redis+cluster://[…@]host[:6379],host,…                       a cluster, of which some nodes are enough to begin with

With `rediss` in place of `redis` over TLS. What is special in a user or password is percent-encoded. Redis-py's own
URLs name one host, and whatever it does not understand in them it leaves out.
"""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple
from urllib.parse import unquote

SINGLE, SENTINEL, CLUSTER = "", "sentinel", "cluster"
_PORTS = {SINGLE: 6379, SENTINEL: 26_379, CLUSTER: 6379}
_URL = re.compile(
    r"(?P<tls>redis|rediss)(\+(?P<kind>sentinel|cluster))?://((?P<login>[^@/]*)@)?(?P<hosts>[^@/?#]*)(?P<path>[^?#]*)"
)
_HOST = re.compile(r"(\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(:(?P<port>[0-9]{1,5}))?")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class RedisUrl:
    """A Redis installation: `addresses` are of the server, of sentinels, or of nodes of the cluster."""

    kind: str
    addresses: tuple[Address, ...]
    primary_name: str = ""
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    database: int = 0
    tls: bool = False


def parse_redis_url(text: str) -> RedisUrl:
    """Raises: ValueError, without repeating what may be a password."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("expected redis://host, redis+sentinel://host,host/name or redis+cluster://host,host")
    kind = match["kind"] or SINGLE
    addresses = tuple(_address(host, _PORTS[kind]) for host in match["hosts"].split(","))
    if kind == SINGLE and len(addresses) > 1:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    name, database = _path(kind, match["path"])
    user, _, password = (match["login"] or "").partition(":")
    return RedisUrl(kind, addresses, name, unquote(user), unquote(password), database, match["tls"] == "rediss")


def _address(text: str, port: int) -> Address:
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match["port"] or port) < 65_536:
        raise ValueError("a host of the Redis URL is no name or address with an optional port")
    return Address(match["v6"] or match["name"], int(match["port"] or port))


def _path(kind: str, path: str) -> tuple[str, int]:
    parts = path.strip("/").split("/") if path.strip("/") else []
    name = ""
    if kind == SENTINEL:
        if not parts:
            raise ValueError("redis+sentinel:// needs the name of the primary: redis+sentinel://host,host/name")
        name = unquote(parts.pop(0))
    if not parts:
        return name, 0
    if len(parts) > 1 or kind == CLUSTER or not re.fullmatch("[0-9]{1,4}", parts[0]):
        raise ValueError("the path of the Redis URL is no number of a database")
    return name, int(parts[0])

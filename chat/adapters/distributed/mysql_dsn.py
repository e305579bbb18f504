"""Where shards are: `NAME=mysql://user:password@host:port/database[,REPLICA…]`, as the settings give it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT = 3306
_NAME = re.compile(r"([a-z0-9_-]{1,32})=(.*)")


@dataclasses.dataclass(frozen=True, slots=True)
class Dsn:
    """One database on one server. Its text never has the password in it."""

    host: str
    port: int
    database: str
    user: str
    password: str = dataclasses.field(default="", repr=False)
    tls: bool = False
    """Encrypt, and check the server's certificate."""
    ca: str = ""
    """A file with the authorities that may sign it; empty: those of the system."""

    def __str__(self) -> str:
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.database}"

    @classmethod
    def parse(cls, text: str) -> Dsn:
        """Reads `mysql://user:password@host:port/database?tls=true&ca=FILE`; marks in a password as `%2C`.

        Raises: ValueError, whose text does not repeat the password.
        """
        try:
            url = urlsplit(text)
            options = dict(parse_qsl(url.query, strict_parsing=True)) if url.query else {}
            port = url.port or DEFAULT_PORT
        except ValueError:
            raise ValueError(_EXPECTED) from None
        database = unquote(url.path.removeprefix("/"))
        tls = options.pop("tls", ("ca" in options and "true") or "false")
        ca = options.pop("ca", "")
        if url.scheme != "mysql" or not url.hostname or not url.username or not database or options:
            raise ValueError(_EXPECTED)
        if tls not in ("true", "false") or "/" in database or "`" in database:
            raise ValueError(_EXPECTED)
        user, password = unquote(url.username), unquote(url.password or "")
        return cls(url.hostname, port, database, user, password, tls == "true", ca)


_EXPECTED = "expected NAME=mysql://user:password@host:port/database?tls=true&ca=FILE, then replicas after commas"


@dataclasses.dataclass(frozen=True, slots=True)
class ShardDsn:
    """The servers of one shard, all with the same data."""

    name: str
    primary: Dsn
    replicas: tuple[Dsn, ...] = ()


def parse_shards(items: Collection[str]) -> tuple[ShardDsn, ...]:
    """The shards of a setting; what has no name in front is a further replica of the shard before it.

    Raises: ValueError.
    """
    shards: dict[str, list[Dsn]] = {}
    name = ""
    for part in ",".join(items).split(",") if items else ():
        named = _NAME.fullmatch(part.strip())
        if named is not None:
            name = named[1]
            if name in shards:
                raise ValueError(f"shard {name} is given twice")
        if not name:
            raise ValueError(_EXPECTED)
        shards.setdefault(name, []).append(Dsn.parse(named[2] if named else part.strip()))
    return tuple(ShardDsn(name, primary, tuple(replicas)) for name, (primary, *replicas) in shards.items())

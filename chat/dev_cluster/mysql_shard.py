"""One shard: a durable primary, and a replica that follows it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncmy
import asyncmy.errors

from .child import Child, stop
from .mysql_flavour import ADMIN, DATABASE, INIT_FILE, PASSWORD, USER, Flavour
from .ports import Ports, ports

_NOT_YET = (OSError, asyncmy.errors.MySQLError)


class MySqlServer(Child):
    """One server with its data, which a later run may go on with."""

    def __init__(self, name: str, directory: Path, log: Path, flavour: Flavour, port: int, number: int) -> None:
        """`number` is what replication tells servers apart by."""
        super().__init__(name, directory, log=log)
        self.port = port
        self._flavour = flavour
        self._number = number
        self._data = directory / "data"
        self._draft = directory / "data.draft"
        self._temporaries = directory / "tmp"
        self._temporaries.mkdir(exist_ok=True)

    @property
    def dsn(self) -> str:
        """For the nodes."""
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    def initialise(self) -> None:
        """Begins to make the data directory, if there is none yet."""
        if not self._data.exists():
            shutil.rmtree(self._draft, ignore_errors=True)
            self.end_signal = signal.SIGKILL  # a script that would leave its server behind, and half of the data
            self.launch([*self._flavour.initialise, f"--datadir={self._draft}"], self._environment())

    def start(self) -> None:
        """Begins to start it, once its data directory is there. Raises: ClusterFailed if that could not be made."""
        if not self._data.exists():
            if self.wait_for_end():
                self.check()
            self._draft.rename(self._data)
        self.end_signal = signal.SIGTERM
        init_file = self.directory / "init.sql"
        init_file.write_text(INIT_FILE)
        files = {"datadir": self._data, "pid-file": self.directory / "pid", "init-file": init_file}
        options = [f"--{option}={path}" for option, path in files.items()]
        options += [f"--port={self.port}", f"--server-id={self._number}"]
        self.launch([*self._flavour.server, *options], self._environment())

    def until_ready(self) -> None:
        """Returns when it answers. Raises: ClusterFailed."""
        self.wait_until(lambda: self.sql("SELECT 1"), not_yet=_NOT_YET)

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last statement, as an administrator. Raises: OSError, asyncmy's errors."""
        with warnings.catch_warnings(action="ignore"):  # such as that a database exists already
            return asyncio.run(_run(self.port, statements))

    def _environment(self) -> dict[str, str]:
        """One that starts removes what it takes for the leavings of a crash, from a shared folder those of others."""
        return {**os.environ, "TMPDIR": str(self._temporaries)}


class MySqlShard:
    """A primary and its replica."""

    def __init__(self, name: str, directory: Path, logs: Path, flavour: Flavour, ports: Ports) -> None:
        def server(role: str, number: int) -> MySqlServer:
            full = f"shard-{name}-{role}"
            return MySqlServer(full, directory / full, logs / f"{full}.log", flavour, ports.take(), number)

        self.name = name
        self.primary = server("primary", 1)
        self.replica = server("replica", 2)
        self._flavour = flavour

    @property
    def servers(self) -> list[MySqlServer]:
        """The primary first."""
        return [self.primary, self.replica]

    @property
    def setting(self) -> str:
        """As `--shard` takes it."""
        return f"{self.name}={self.primary.dsn},{self.replica.dsn}"

    def launch(self) -> None:
        """Only begins to start both. Raises: ClusterFailed."""
        for server in self.servers:
            server.initialise()
        for server in self.servers:
            server.start()

    def join(self) -> None:
        """Makes the replica follow; returns when it has the primary's database. Raises: ClusterFailed."""
        for server in self.servers:
            server.until_ready()
        self.primary.sql(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        self.replica.sql(*(statement.format(port=self.primary.port) for statement in self._flavour.follow))
        self.replica.wait_until(lambda: self.replica.sql(f"SHOW DATABASES LIKE '{DATABASE}'"), not_yet=_NOT_YET)


@contextlib.contextmanager
def mysql_shard(directory: Path, flavour: Flavour) -> Iterator[MySqlShard]:
    """A shard by itself, for as long as the block lasts. Raises: ClusterFailed."""
    with ports() as held:
        shard = MySqlShard("a", directory, directory, flavour, held)
        try:
            shard.launch()
            shard.join()
            yield shard
        finally:
            stop(shard.servers)


async def _run(port: int, statements: Sequence[str]) -> list[tuple[Any, ...]]:
    connection = await asyncmy.connect(host="127.0.0.1", port=port, user=ADMIN, password=PASSWORD, autocommit=True)
    try:
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
            return list(await cursor.fetchall())
    finally:
        connection.close()

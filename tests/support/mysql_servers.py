"""Private MariaDB servers, one alone or a primary with a replica; and MySQL itself, where there is one.

    with mysql_server() as server:
        ...  # server.dsn("chat"); server.kill(), server.start(), server.pause(), server.resume()

All are on free ports of 127.0.0.1 with a data directory of their own, a copy of one that is made once, and are
gone when the block ends, or when the test process does, however it ends. The functions block, as servers start
before a test rather than within it.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import die_with_parent, free_port

START_SECONDS = 60.0
REPLICATION_PASSWORD = "replication"
_OPTIONS = ("--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M")
FAST = ("--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF", "--sync-binlog=0")
"""For tests that kill nobody: a crash may lose the last second."""
DURABLE = ("--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1")
SEMI_SYNC = (
    "--rpl-semi-sync-slave-enabled=ON",
    "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
    "--rpl-semi-sync-master-timeout=4294967295",
)
"""For pairs whose primary is to `become_semi_synchronous`: what is acknowledged is on both then."""
MYSQL_ROOT = os.environ.get("TEST_MYSQL_ROOT", "")
"""A directory with MySQL's `usr/sbin/mysqld` and the libraries that it needs, as unpacked from packages."""


@dataclasses.dataclass(frozen=True)
class Flavour:
    """What differs between the two servers."""

    user: str
    """With password, as in a URL."""
    server: Callable[[], list[str]]
    options: tuple[str, ...]
    initialise: Callable[[Path], list[str]]
    """The command that makes a data directory."""
    prepare: str = "SELECT 1"
    """Statements for a new server."""


def _mariadb_data(data: Path) -> list[str]:
    options = ["--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]
    return [program("mariadb-install-db"), *options, f"--datadir={data}"]


def _mysqld() -> list[str]:
    if not MYSQL_ROOT:
        pytest.skip("TEST_MYSQL_ROOT does not name a directory with MySQL")
    usr, libraries = f"{MYSQL_ROOT}/usr", f"{MYSQL_ROOT}/usr/lib/x86_64-linux-gnu"
    paths = [f"--basedir={usr}", f"--lc-messages-dir={usr}/share/mysql", f"--plugin-dir={usr}/lib/mysql/plugin"]
    loader = [f"{libraries}/ld-linux-x86-64.so.2", "--library-path", f"{libraries}:{usr}/lib/mysql/private"]
    return [*loader, f"{usr}/sbin/mysqld", "--no-defaults", *paths]


MARIADB = Flavour(
    user="root",
    server=lambda: [program("mariadbd"), *_OPTIONS],
    options=("--skip-name-resolve", "--innodb-log-file-size=32M"),
    initialise=_mariadb_data,
)
MYSQL = Flavour(
    user="chat:chat",  # root may only come by the socket
    server=lambda: [*_mysqld(), *_OPTIONS[1:]],
    options=("--mysqlx=OFF", "--secure-file-priv="),
    initialise=lambda data: [*_mysqld(), "--initialize-insecure", "--user=root", f"--datadir={data}"],
    prepare="CREATE USER chat@'%' IDENTIFIED BY 'chat'; GRANT ALL ON *.* TO chat@'%'",
)


class MySqlProcess:
    """One server; can be killed, stopped, and started again on the same port with the same data."""

    def __init__(self, directory: Path, *options: str, flavour: Flavour = MARIADB) -> None:
        self.directory = directory
        self.port = 0
        self._flavour = flavour
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, database: str) -> str:
        return f"mysql://{self._flavour.user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Returns when it answers."""
        if self.port:
            self.launch()
            self.until_ready()
            return
        for _ in range(5):  # somebody else may take the port before we do
            self.port = free_port()
            self.launch()
            with contextlib.suppress(AssertionError):
                self.until_ready()
                self.sql(self._flavour.prepare)
                return
            self.kill()
        raise AssertionError(f"the server did not start\n{self.log}")

    def launch(self) -> None:
        """Only begins to start it. Not in a thread that ends: the server would end with it."""
        files = {"datadir": "data", "socket": "socket", "pid-file": "pid", "log-error": "log.err"}
        paths = [f"--{option}={self.directory / name}" for option, name in files.items()]
        command = [*self._flavour.server(), f"--port={self.port}", *paths, *self._flavour.options, *self._options]
        own = own_temporaries(self.directory)
        self._process = subprocess.Popen(command, preexec_fn=die_with_parent, stderr=subprocess.DEVNULL, env=own)

    def until_ready(self) -> None:
        """Returns when it answers."""
        self.wait_until(lambda: self.sql("SELECT @@port") == [[str(self.port)]])

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: alive, accepting connections, and mute."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def sql(self, statements: str, database: str = "") -> list[list[str]]:
        """Runs statements with the command line client and returns the rows as texts."""
        socket = f"--socket={self.directory / 'socket'}"
        command = [program("mariadb"), "--no-defaults", socket, "--user=root", "--batch", "--skip-column-names"]
        done = subprocess.run([*command, database], input=statements, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return [line.split("\t") for line in done.stdout.splitlines()]

    def become_semi_synchronous(self) -> None:
        """Lets every commit wait for a replica from now on."""
        self.sql("SET GLOBAL rpl_semi_sync_master_enabled=ON")
        self.wait_until(lambda: self.sql("SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'")[0][1] == "1")

    def become_primary(self) -> None:
        """Ends being a replica, once everything that has come from the primary is applied."""
        self.sql("STOP SLAVE IO_THREAD")
        [status] = self.sql("SHOW SLAVE STATUS")
        received = status[status.index("Slave_Pos") + 1]
        assert self.sql(f"SELECT MASTER_GTID_WAIT('{received}', {START_SECONDS})") == [["0"]]
        self.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0")

    def wait_until(self, condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
        """Polls, as the server tells nobody when it is ready; an error means not yet."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self._process is None or self._process.poll() is None, self.log
            with contextlib.suppress(RuntimeError):
                if condition():
                    return
            time.sleep(0.02)
        raise AssertionError(f"the server is not ready after {seconds} s\n{self.log}")

    @property
    def log(self) -> str:
        return (self.directory / "log.err").read_text(errors="replace")


@contextlib.contextmanager
def mysql_server(*options: str, flavour: Flavour = MARIADB) -> Iterator[MySqlProcess]:
    """One server; without `options` it is durable, and without a binary log."""
    with _directory(flavour) as directory:
        process = MySqlProcess(directory, *(options or ("--skip-log-bin", *DURABLE)), flavour=flavour)
        try:
            process.start()
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def mysql_pair(*options: str) -> Iterator[tuple[MySqlProcess, MySqlProcess]]:
    """A primary and a replica that follows it."""
    with mysql_server(*_replicating(1), *options) as primary, mysql_server(*_replicating(2), *options) as replica:
        primary.sql(
            f"CREATE USER replication@127.0.0.1 IDENTIFIED BY '{REPLICATION_PASSWORD}';"
            "GRANT REPLICATION SLAVE ON *.* TO replication@127.0.0.1"
        )
        # Without master_connect_retry it waits for 60 seconds after its primary was away.
        replica.sql(
            f"CHANGE MASTER TO master_host='127.0.0.1', master_port={primary.port}, master_user='replication',"
            f" master_password='{REPLICATION_PASSWORD}', master_use_gtid=slave_pos, master_connect_retry=1;"
            "START SLAVE; SET GLOBAL read_only=1"
        )
        yield primary, replica


def _replicating(number: int) -> tuple[str, ...]:
    log = ("--log-bin=binlog", "--log-slave-updates", "--binlog-format=ROW")
    return (f"--server-id={number}", "--gtid-domain-id=1", "--gtid-strict-mode=1", *log, *DURABLE)


@functools.cache
def shared_server(flavour: Flavour) -> MySqlProcess:
    """A server that all tests of this process share; for tests that break nothing."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(mysql_server(*FAST, flavour=flavour))


def empty_databases(*names: str, flavour: Flavour = MARIADB) -> dict[str, str]:
    """The DSN of a database of each name on the shared server, with nothing in it but the schema of the last test.

    To keep the tables is what makes it fast: to make them takes a second.
    """
    server = shared_server(flavour)
    for name in names:
        server.sql(f"CREATE DATABASE IF NOT EXISTS {name}")
        query = (
            "SELECT CONCAT('DELETE FROM ', table_name, ';') FROM information_schema.tables"
            f" WHERE table_schema = '{name}' AND table_name NOT IN ('migrations', 'heartbeat')"
        )
        server.sql("\n".join(statement for [statement] in server.sql(query)), name)
    return {name: server.dsn(name) for name in names}


def program(name: str) -> str:
    """The path of a program of the MariaDB server, or the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@contextlib.contextmanager
def _directory(flavour: Flavour) -> Iterator[Path]:
    """A directory with a fresh data directory in it."""
    with tempfile.TemporaryDirectory(prefix="mysql-") as name:
        shutil.copytree(_template(flavour), Path(name) / "data")
        yield Path(name)


@functools.cache
def _template(flavour: Flavour) -> Path:
    """An initialised data directory, made once for all servers of this process."""
    directory = tempfile.TemporaryDirectory(prefix="mysql-template-")
    atexit.register(directory.cleanup)
    data = Path(directory.name) / "data"
    command = flavour.initialise(data)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=own_temporaries(data.parent))
    assert not done.returncode, done.stdout + done.stderr
    return data


def own_temporaries(directory: Path) -> dict[str, str]:
    """The environment in which a server keeps its temporary tables to itself.

    One that starts removes what it takes for the leavings of a crash, from a shared folder those of others, too.
    """
    temporaries = directory / "tmp"
    temporaries.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(temporaries)}

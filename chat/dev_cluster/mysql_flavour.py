"""What differs between MariaDB and MySQL: programs, options, and the words of replication."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from .errors import ProgramMissing
from .programs import find_program, program

USER = DATABASE = "chat"
"""The nodes'; has everything in its database and nothing elsewhere."""
ADMIN = "setup"
PASSWORD = "chat"  # noqa: S105 -- of servers that only this machine can reach
PACKAGE = "mariadb-server"


@dataclasses.dataclass(frozen=True, slots=True)
class Flavour:
    """One of the two servers, as it is installed here."""

    name: str
    server: Sequence[str]
    """The command, up to the options that each server has its own of."""
    initialise: Sequence[str]
    """The command that makes the data directory that `--datadir` names."""
    follow: Sequence[str]
    """The statements that make a replica, for `format` with the primary's port."""


INIT_FILE = f"""\
SET sql_log_bin = 0;
CREATE USER IF NOT EXISTS '{ADMIN}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO '{ADMIN}'@'127.0.0.1';
CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON {DATABASE}.* TO '{USER}'@'127.0.0.1';
"""
"""Carried out by each server at every start, a statement a line; replicas have their own, not their primary's."""
_COMMON = (
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--socket=",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=1",
    "--sync-binlog=1",
    "--log-bin=binlog",
    "--relay-log=relay",
    "--binlog-format=ROW",
    "--binlog-row-image=MINIMAL",
)
"""Durable, as in production: what is acknowledged is on the disk."""


def mariadb() -> Flavour:
    """Raises: ProgramMissing."""
    install = [program("mariadb-install-db", PACKAGE), "--no-defaults", *_run_as_root()]
    return Flavour(
        name="MariaDB",
        server=[
            program("mariadbd", PACKAGE),
            *_COMMON,
            *_run_as_root(),
            "--innodb-log-file-size=32M",
            "--log-slave-updates",
            "--skip-slave-start",
            "--gtid-strict-mode=1",
            "--binlog-annotate-row-events=OFF",  # or each message is in the log twice: as text, too
        ],
        initialise=[*install, "--auth-root-authentication-method=normal", "--skip-test-db"],
        # Without a retry of its own it waits for 60 seconds after its primary was away.
        follow=[
            "CHANGE MASTER TO master_host='127.0.0.1', master_port={port}, "
            f"master_user='{ADMIN}', master_password='{PASSWORD}', master_use_gtid=slave_pos, master_connect_retry=1",
            "START SLAVE",
            "SET GLOBAL read_only = 1",
        ],
    )


def mysql(command: Sequence[str]) -> Flavour:
    """MySQL 8 or newer; `command` starts its server."""
    return Flavour(
        name="MySQL",
        server=[
            *(*command, *_COMMON, *_run_as_root()),
            *("--mysqlx=OFF", "--secure-file-priv=", "--skip-replica-start"),
            *("--gtid-mode=ON", "--enforce-gtid-consistency=ON"),
        ],
        initialise=[*command, "--no-defaults", "--initialize-insecure", *_run_as_root()],
        follow=[
            "CHANGE REPLICATION SOURCE TO source_host='127.0.0.1', source_port={port}, "
            f"source_user='{ADMIN}', source_password='{PASSWORD}', source_auto_position=1, source_connect_retry=1, "
            "get_source_public_key=1",
            "START REPLICA",
            "SET GLOBAL super_read_only = 1",
        ],
    )


def installed() -> Flavour:
    """What this machine has: MariaDB, else MySQL. Raises: ProgramMissing."""
    if find_program("mariadbd"):
        return mariadb()
    mysqld = find_program("mysqld")
    if mysqld is None:
        raise ProgramMissing(f"neither mariadbd nor mysqld is installed; in Debian it is in the package {PACKAGE}")
    return mysql([mysqld])


def _run_as_root() -> list[str]:
    """Both refuse root unless it is meant, as in a container."""
    return ["--user=root"] if os.geteuid() == 0 else []

"""A shard of the development cluster, on each kind of server that there may be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncmy.errors
import pytest

from chat.dev_cluster.errors import ProgramMissing
from chat.dev_cluster.mysql_flavour import Flavour, mariadb, mysql
from chat.dev_cluster.mysql_shard import MySqlShard, mysql_shard
from tests.support.mysql_servers import MYSQL_ROOT

LIBRARIES = f"{MYSQL_ROOT}/usr/lib/x86_64-linux-gnu"
MYSQLD = f"""\
#!/bin/sh
exec {LIBRARIES}/ld-linux-x86-64.so.2 --library-path {LIBRARIES}:{MYSQL_ROOT}/usr/lib/mysql/private \\
    {MYSQL_ROOT}/usr/sbin/mysqld "$@" --basedir={MYSQL_ROOT}/usr \\
    --lc-messages-dir={MYSQL_ROOT}/usr/share/mysql --plugin-dir={MYSQL_ROOT}/usr/lib/mysql/plugin
"""
"""`mysqld` as an installed one would be called."""


def _mariadb(directory: Path) -> Flavour:
    try:
        return mariadb()
    except ProgramMissing as missing:
        pytest.skip(str(missing))


def _mysql(directory: Path) -> Flavour:
    if not MYSQL_ROOT:
        pytest.skip("TEST_MYSQL_ROOT does not name a directory with MySQL")
    script = directory / "mysqld"
    script.write_text(MYSQLD)
    script.chmod(0o755)
    return mysql([str(script)])


@pytest.mark.slow
@pytest.mark.parametrize("flavour", [_mariadb, _mysql])
def test_a_replica_follows_also_after_both_were_started_again(
    tmp_path: Path, flavour: Callable[[Path], Flavour]
) -> None:
    installed = flavour(tmp_path)
    with mysql_shard(tmp_path, installed) as shard:
        shard.primary.sql(
            "CREATE TABLE chat.words (word VARCHAR(9) PRIMARY KEY)", "INSERT INTO chat.words VALUES ('a')"
        )
        _until_words(shard, 1)
    with mysql_shard(tmp_path, installed) as shard:
        shard.primary.sql("INSERT INTO chat.words VALUES ('b')")
        _until_words(shard, 2)
        shard.primary.kill()
        shard.primary.start()
        shard.primary.until_ready()
        shard.primary.sql("INSERT INTO chat.words VALUES ('c')")
        _until_words(shard, 3)


def _until_words(shard: MySqlShard, count: int) -> None:
    query = "SELECT COUNT(*) FROM chat.words"
    shard.replica.wait_until(lambda: shard.replica.sql(query) == [(count,)], not_yet=(asyncmy.errors.MySQLError,))

"""`chat-gateway shards`, over databases with nothing in them but the map."""

from __future__ import annotations

import pytest

from chat.adapters.distributed.schema import MIGRATIONS
from chat.cli.main import main
from tests.support.mysql_servers import MARIADB, empty_databases, shared_server


class Commands:
    """Shards a and b, and c that is not one yet."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        dsns = empty_databases("one", "two", "three")
        self.shards = ["--shard", f"a={dsns['one']}", "--shard", f"b={dsns['two']}"]
        self.third = f"c={dsns['three']}"
        self.all = [*self.shards, "--shard", self.third]
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and complaints."""
        code = main(words)
        return code, *self._capsys.readouterr()

    def counts(self) -> dict[str, tuple[int, int]]:
        """How many buckets of rooms and of users `shards status` says that each shard has."""
        code, output, complaint = self.run("shards", "status", *self.all)
        assert code == 0, complaint
        rows = [line.split("\t") for line in output.splitlines()[1:]]
        return {name: (int(rooms), int(users)) for name, rooms, users, *_ in rows}


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str]) -> Commands:
    commands = Commands(capsys)
    assert commands.run("db", "migrate", *commands.shards)[0] == 0
    return commands


def test_a_new_shard_gets_buckets(commands: Commands) -> None:
    code, output, advice = commands.run("shards", "add", commands.third, *commands.shards)
    assert (code, output) == (0, f"c\t{len(MIGRATIONS)}\n")
    assert "start every node with --shard c" in advice
    assert commands.counts() == {"a": (512, 512), "b": (512, 512), "c": (0, 0)}
    some = ["shards", "move", "--from", "a", "--to", "c", "--buckets", "0-1,7", "--kind", "rooms", *commands.all]
    assert commands.run(*some, "--dry-run")[1] == "".join(f"rooms {number}: a → c\n" for number in (0, 1, 7))
    code, moved, complaint = commands.run(*some)
    assert (code, complaint) == (0, "")
    assert [line.split(": ")[0] for line in moved.splitlines()] == ["rooms 0", "rooms 1", "rooms 7"]
    assert commands.run(*some) == (0, "", ""), "they are not on a any more"
    assert commands.run("shards", "move", "--from", "b", "--to", "c", "--count", "1", *commands.all)[0] == 0
    assert commands.run("shards", "move", "--from", "c", "--to", "b", "--kind", "users", *commands.all)[0] == 0
    assert commands.counts() == {"a": (509, 512), "b": (511, 512), "c": (4, 0)}
    code, plan, _ = commands.run("shards", "move", "--even", "--dry-run", *commands.all)
    assert (code, len(plan.splitlines())) == (0, 341 - 4 + 341)


def test_a_shard_that_is_not_given_is_named(commands: Commands) -> None:
    assert commands.run("shards", "add", commands.third, *commands.shards)[0] == 0
    assert commands.run("shards", "move", "--from", "a", "--to", "c", "--buckets", "5", *commands.all)[0] == 0
    code, _, complaint = commands.run("shards", "status", *commands.shards)
    assert (code, "the map names shard c, which is not given" in complaint) == (1, True)
    code, _, complaint = commands.run("shards", "move", "--from", "a", "--to", "b", *commands.shards)
    assert (code, "shards that are not given: c" in complaint) == (1, True)


def test_a_database_of_another_shard_is_not_added(commands: Commands) -> None:
    wrong = commands.shards[3].replace("b=", "c=")
    code, _, complaint = commands.run("shards", "add", wrong, *commands.shards)
    assert (code, complaint) == (1, "chat-gateway: the database given as shard c is shard b\n")


def test_a_shard_that_does_not_answer_is_shown(commands: Commands) -> None:
    away = "mysql://chat:geheim@127.0.0.1:1/chat"
    code, output, complaint = commands.run("shards", "status", *commands.shards, "--shard", f"x={away}")
    assert (code, output.splitlines()[-1]) == (1, "x\t-\t-\t-\t-\tdoes not answer")
    assert "geheim" not in output + complaint
    code, _, complaint = commands.run("shards", "move", *commands.shards, "--shard", f"x={away}")
    assert (code, "shards that do not answer: x" in complaint) == (1, True)


def test_what_has_begun_is_shown_finished_and_given_up(commands: Commands) -> None:
    assert commands.run("shards", "move", *commands.shards) == (0, "", ""), "there is nothing to go on with"
    begun = "UPDATE one.bucket_map SET stage = 'copying', peer = 'b' WHERE kind = 'rooms' AND bucket = 5"
    shared_server(MARIADB).sql(begun)
    assert "copying 1" in commands.run("shards", "status", *commands.shards)[1]
    assert commands.run("shards", "move", "--dry-run", *commands.shards)[1] == "rooms 5: a → b\n"
    code, output, _ = commands.run("shards", "move", "--cancel", *commands.shards)
    assert (code, output) == (0, "rooms 5: a → b\n")
    assert commands.run("shards", "move", *commands.shards) == (0, "", "")
    shared_server(MARIADB).sql(begun)
    code, output, _ = commands.run("shards", "move", *commands.shards)
    assert (code, [line.split(":")[0] for line in output.splitlines()]) == (0, ["rooms 5"])
    assert "copying" not in commands.run("shards", "status", *commands.shards)[1]


def test_each_promotion_begins_a_new_generation(commands: Commands) -> None:
    server = shared_server(MARIADB)
    code, output, complaint = commands.run("shards", "promote", "a", *commands.shards)
    assert (code, complaint) == (0, "")
    assert output.startswith("a\t1\t")
    assert output.endswith(f":{server.port}\n"), "the server's own name"
    assert commands.run("shards", "promote", "a", *commands.shards)[1].startswith("a\t2\t")
    assert server.sql("SELECT generation FROM one.map_version UNION ALL SELECT generation FROM two.map_version") == [
        ["2"],
        ["0"],
    ]
    server.sql("UPDATE two.map_version SET generation = 7")
    b_as_replica = f"{commands.shards[1]},{commands.shards[3].partition('=')[2]}"
    given = ["--shard", b_as_replica, *commands.shards[2:]]
    assert commands.run("shards", "promote", "a", *given)[1].startswith("a\t8\t"), "a replica knows of more"


def test_only_a_shard_that_can_be_written_to_is_promoted(commands: Commands) -> None:
    server = shared_server(MARIADB)
    code, _, complaint = commands.run("shards", "promote", "c", *commands.shards)
    assert (code, "one of the shards that are given" in complaint) == (1, True)
    code, _, complaint = commands.run("shards", "promote", "c", *commands.all)
    assert (code, "run `chat-gateway db migrate`" in complaint) == (1, True)
    server.sql("SET GLOBAL read_only = 1")
    try:
        code, _, complaint = commands.run("shards", "promote", "a", *commands.shards)
    finally:
        server.sql("SET GLOBAL read_only = 0")
    assert (code, f":{server.port}, which is read-only" in complaint) == (1, True)


def test_moves_that_make_no_sense_are_refused(commands: Commands) -> None:
    for words, reason in [
        (["--from", "a", "--to", "c"], "two of the shards that are given"),
        (["--from", "a", "--to", "a"], "two of the shards that are given"),
        (["--from", "a"], "two of the shards that are given"),
        (["--count", "3"], "between which shards"),
        (["--from", "a", "--to", "b", "--count", "-1"], "must be 1 or more"),
        (["--even", "--from", "a"], "leave out --from and --to"),
    ]:
        code, output, complaint = commands.run("shards", "move", *words, *commands.shards)
        assert (code, output) == (1, "")
        assert reason in complaint


@pytest.mark.parametrize("numbers", ["1024", "3-1", "x", "-5", ""])
def test_buckets_that_do_not_exist_are_refused(numbers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["shards", "move", f"--buckets={numbers}"])
    assert "list of buckets" in capsys.readouterr().err

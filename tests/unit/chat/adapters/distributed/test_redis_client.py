"""Commands to Redis: whatever is cancelled, lost, moved or refused, nobody gets another one's reply."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from chat.adapters.distributed.redis_client import RedisClient, open_redis
from chat.adapters.distributed.redis_command import Command, ScriptCommand
from chat.adapters.distributed.redis_layout import slot_of
from chat.adapters.distributed.redis_scripts import load_script
from chat.adapters.distributed.redis_stream import pack
from chat.domain.errors import Unavailable
from tests.support.processes import free_port
from tests.support.redis_servers import (
    REDIS_KINDS,
    RedisProcess,
    RedisSetup,
    SentinelSetup,
    emptied,
    redis_cluster,
    redis_sentinel,
    redis_server,
)
from tests.support.tcp_proxy import tcp_proxy

DEADLINE_SECONDS = 20
PATIENCE_SECONDS = 60
TAKE = load_script("take", "clock")


@pytest.fixture(params=REDIS_KINDS)
def setup(request: pytest.FixtureRequest) -> RedisSetup:
    return emptied(request.param)


@pytest.fixture
async def redis(setup: RedisSetup) -> AsyncIterator[RedisClient]:
    with trio.fail_after(2 * DEADLINE_SECONDS):
        async with open_redis(setup.url, deadline_seconds=DEADLINE_SECONDS) as redis:
            yield redis


def echo(text: str) -> Command:
    return Command(text, "ECHO", text)


async def is_answered(redis: RedisClient) -> bool:
    return await redis.execute([echo("x")]) == [b"x"]


async def until_answered(redis: RedisClient) -> None:
    """Waits for a server that comes back."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not await is_answered(redis):  # noqa: ASYNC110 -- a server tells nobody that it is back
            await trio.sleep(0.01)


async def until_refused(redis: RedisClient) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while await is_answered(redis):  # noqa: ASYNC110 -- nor that it has gone
            await trio.sleep(0.01)


async def test_each_command_gets_its_reply(redis: RedisClient) -> None:
    words = [f"word {number}" for number in range(500)]
    assert await redis.execute([echo(word) for word in words]) == [word.encode() for word in words]
    assert await redis.execute([]) == []


async def test_each_task_gets_its_replies(redis: RedisClient) -> None:
    async def talk(number: int) -> None:
        for turn in range(20):
            words = [f"{number} {turn} {word}" for word in range(3)]
            assert await redis.execute([echo(word) for word in words]) == [word.encode() for word in words]

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(talk, number)


async def test_a_script_that_a_server_does_not_know_is_sent_whole(redis: RedisClient, setup: RedisSetup) -> None:
    for expected in (b"0", b"1000"):
        for primary in setup.primaries:
            primary.command("SCRIPT", "FLUSH")
        commands = [ScriptCommand(TAKE, [f"key {number}"], 0, "0.001", 1, 1) for number in range(20)]
        assert await redis.execute(commands) == [expected] * 20


async def test_a_refused_command_is_unavailable_alone(redis: RedisClient) -> None:
    bad, good = await redis.execute([Command("k", "SECRETCOMMAND", "k"), Command("k", "SET", "k", "v")])
    assert isinstance(bad, Unavailable)
    assert "SECRET" not in bad.message
    assert good == b"OK"


async def test_a_cancelled_caller_never_leaves_its_reply_to_another(own_redis: RedisProcess) -> None:
    generator = random.Random(1)
    ends = {"answered": 0, "cancelled": 0}

    async def talk(redis: RedisClient, number: int) -> None:
        for turn in itertools.count():
            if turn >= 10 and min(ends.values()) > 20:
                return
            words = [f"{number} {turn} {word}" for word in range(generator.randint(1, 3))]
            with trio.move_on_after(generator.uniform(0, 0.1)) as scope:
                assert await redis.execute([echo(word) for word in words]) == [word.encode() for word in words]
                ends["answered"] += 1
            ends["cancelled"] += scope.cancelled_caught

    async with tcp_proxy(own_redis.port) as proxy:
        proxy.delay_seconds = 0.1
        async with open_redis(f"redis://127.0.0.1:{proxy.port}", deadline_seconds=DEADLINE_SECONDS) as redis:
            with trio.fail_after(PATIENCE_SECONDS):
                await until_answered(redis)
                async with trio.open_nursery() as nursery:
                    for number in range(50):
                        nursery.start_soon(talk, redis, number)
    assert ends["answered"] + ends["cancelled"] >= 500


async def test_connections_that_break_at_any_moment_cross_no_replies(own_redis: RedisProcess) -> None:
    generator = random.Random(2)
    ends = {"answered": 0, "unavailable": 0}

    async def talk(redis: RedisClient, number: int) -> None:
        for turn in range(200):
            command = Command("k", "ECHO", f"{number} {turn}", again=turn % 2 == 0)
            [reply] = await redis.execute([command])
            if isinstance(reply, Unavailable):
                ends["unavailable"] += 1
            else:
                assert reply == f"{number} {turn}".encode()
                ends["answered"] += 1

    async with tcp_proxy(own_redis.port) as proxy, trio.open_nursery() as cutting:
        proxy.delay_seconds = 0.002
        async with open_redis(f"redis://127.0.0.1:{proxy.port}", deadline_seconds=DEADLINE_SECONDS) as redis:

            async def cut() -> None:
                while True:
                    await trio.sleep(generator.uniform(0, 0.05))
                    proxy.cut()

            cutting.start_soon(cut)
            with trio.fail_after(PATIENCE_SECONDS):
                async with trio.open_nursery() as nursery:
                    for number in range(20):
                        nursery.start_soon(talk, redis, number)
        cutting.cancel_scope.cancel()
    assert sum(ends.values()) == 4000
    assert ends["unavailable"] > 0, "the connection broke under commands that are not sent again"


async def test_a_mute_server_costs_one_deadline_and_then_nothing(own_redis: RedisProcess) -> None:
    async with open_redis(own_redis.url, deadline_seconds=0.5) as redis:
        await until_answered(redis)
        own_redis.pause()
        with pytest.raises(Unavailable):
            await redis.ask(echo("x"))
        with trio.fail_after(DEADLINE_SECONDS):  # at a deadline each it would take minutes
            for _ in range(1000):
                with pytest.raises(Unavailable):
                    await redis.ask(echo("x"))
        own_redis.resume()
        await until_answered(redis)


async def test_a_server_that_was_killed_is_found_again(own_redis: RedisProcess) -> None:
    async with open_redis(own_redis.url) as redis:
        for _ in range(3):
            await until_answered(redis)
            own_redis.kill()
            await until_refused(redis)
            own_redis.start()
        await until_answered(redis)


async def test_a_short_break_is_not_felt_by_what_may_be_sent_again(own_redis: RedisProcess) -> None:
    async with open_redis(own_redis.url, deadline_seconds=DEADLINE_SECONDS) as redis:
        for _ in range(5):
            assert await redis.ask(echo("x")) == b"x"
            own_redis.command("CLIENT", "KILL", "TYPE", "normal")


async def test_a_held_up_process_does_not_blame_the_server(own_redis: RedisProcess) -> None:
    async with open_redis(own_redis.url, deadline_seconds=1) as redis, trio.open_nursery() as nursery:
        await until_answered(redis)
        replies: list[bytes] = []

        async def ask() -> None:
            replies.append(await redis.ask(echo("x")))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        time.sleep(2.5)  # noqa: ASYNC251 -- the point
    assert replies == [b"x"]


async def test_with_a_password_only_its_owner_gets_in(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server() as server:
        server.command("CONFIG", "SET", "requirepass", "hunter2")
        host = f"127.0.0.1:{server.port}"
        async with open_redis(f"redis://:hunter2@{host}", deadline_seconds=DEADLINE_SECONDS) as redis:
            assert await redis.ask(echo("x")) == b"x"
        for login in ("", ":hunter3@", "nobody:hunter2@"):
            async with open_redis(f"redis://{login}{host}", deadline_seconds=0.2) as redis:
                with pytest.raises(Unavailable) as refusal:
                    await redis.ask(echo("x"))
                assert "hunter" not in refusal.value.message


async def test_a_user_who_may_not_ask_for_the_role_is_trusted(own_redis: RedisProcess) -> None:
    own_redis.command("ACL", "SETUSER", "guest", "on", ">hunter2", "~*", "&*", "+@all", "-role")
    host = f"127.0.0.1:{own_redis.port}"
    async with open_redis(f"redis://guest:hunter2@{host}", deadline_seconds=DEADLINE_SECONDS) as redis:
        assert await redis.ask(echo("x")) == b"x"


async def test_a_password_that_changes_and_changes_back(own_redis: RedisProcess) -> None:
    async with open_redis(own_redis.url, deadline_seconds=0.5) as redis:
        await until_answered(redis)
        own_redis.command("CONFIG", "SET", "requirepass", "another")
        async with await trio.open_tcp_stream("127.0.0.1", own_redis.port) as administrator:
            await administrator.send_all(pack("AUTH", "another") + pack("CLIENT", "KILL", "TYPE", "normal"))
            await until_refused(redis)
            await administrator.send_all(pack("CONFIG", "SET", "requirepass", ""))
        await until_answered(redis)


async def test_a_full_server_refuses_what_needs_memory_and_answers_the_rest(own_redis: RedisProcess) -> None:
    own_redis.command("SET", "k", "v")
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    async with open_redis(own_redis.url, deadline_seconds=DEADLINE_SECONDS) as redis:
        refused, found = await redis.execute([Command("k", "SET", "k", "w"), Command("k", "GET", "k")])
    assert isinstance(refused, Unavailable)
    assert refused.message == "redis refuses: OOM"
    assert found == b"v"


async def test_a_replica_is_no_place_for_events() -> None:
    sentinel = emptied("sentinel")
    assert isinstance(sentinel, SentinelSetup)
    async with open_redis(sentinel.replica.url, deadline_seconds=0.5) as redis:
        with pytest.raises(Unavailable):  # it would take it, and tell none of those that listen at the primary
            await redis.ask(Command("channel", "PUBLISH", "channel", "x"))


async def test_a_primary_that_was_demoted_is_left_at_once() -> None:
    """Behind one address, as a balancer or a name has it."""
    with redis_server() as old, redis_server() as new:
        async with (
            tcp_proxy(old.port) as proxy,
            open_redis(f"redis://127.0.0.1:{proxy.port}", deadline_seconds=DEADLINE_SECONDS) as redis,
        ):
            await redis.ask(Command("k", "SET", "k", "old"))
            old.command("REPLICAOF", "127.0.0.1", new.port)
            proxy.target_port = new.port  # the connection to the old one lives
            assert await redis.ask(Command("k", "SET", "k", "new")) == b"OK"
        assert new.command("GET", "k") == b"new"


async def test_sentinels_are_asked_with_the_password_or_without() -> None:
    with redis_sentinel() as setup:
        url = setup.url.replace("://", "://:hunter2@")
        setup.primary.command("CONFIG", "SET", "requirepass", "hunter2")
        async with open_redis(url, deadline_seconds=DEADLINE_SECONDS) as redis:
            assert await redis.ask(echo("x")) == b"x"
        for sentinel in setup.sentinels:
            sentinel.command("ACL", "SETUSER", "default", ">hunter2")
        async with open_redis(url, deadline_seconds=DEADLINE_SECONDS) as redis:
            assert await redis.ask(echo("x")) == b"x"


async def test_a_database_is_chosen(own_redis: RedisProcess) -> None:
    async with open_redis(f"{own_redis.url}/3", deadline_seconds=DEADLINE_SECONDS) as redis:
        await redis.ask(Command("k", "SET", "k", "v"))
    assert b"db3:keys=1" in own_redis.command("INFO", "keyspace")


async def test_tls_checks_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = self_signed(tmp_path)
    port = free_port()
    options = ("--tls-port", f"{port}", "--tls-cert-file", certificate, "--tls-key-file", key)
    with redis_server(*options, "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"):
        async with open_redis(f"rediss://127.0.0.1:{port}", deadline_seconds=0.2) as redis:
            with pytest.raises(Unavailable):
                await redis.ask(echo("x"))
        monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, certificate)
        async with open_redis(f"rediss://127.0.0.1:{port}", deadline_seconds=DEADLINE_SECONDS) as redis:
            assert await redis.execute([echo("x" * 100_000)] * 3) == [b"x" * 100_000] * 3


def self_signed(directory: Path) -> tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = f"{directory / 'cert.pem'}", f"{directory / 'key.pem'}"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=redis"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


async def test_a_slot_that_moves_takes_its_commands_along() -> None:
    with redis_cluster() as cluster:
        source, target = cluster.primaries[:2]
        key = next(f"key{number}" for number in range(1000) if cluster.owner(slot_of(f"key{number}")) is source)
        slot = slot_of(key)
        async with open_redis(cluster.url, deadline_seconds=DEADLINE_SECONDS) as redis:
            await redis.ask(Command(key, "SET", key, "old"))
            target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.command("CLUSTER", "MYID"))
            source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", target.command("CLUSTER", "MYID"))
            assert await redis.ask(Command(key, "GET", key)) == b"old"  # still there
            new = f"{{{key}}}:new"
            assert await redis.ask(Command(new, "SET", new, "value")) == b"OK"  # ASK
            assert await redis.ask(ScriptCommand(TAKE, [f"{{{key}}}:rate"], 0, "0.001", 1, 1)) == b"0"  # ASK, NOSCRIPT
            source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
            for primary in cluster.primaries:
                primary.command("CLUSTER", "SETSLOT", slot, "NODE", target.command("CLUSTER", "MYID"))
            assert await redis.execute([Command(each, "GET", each) for each in (key, new)]) == [b"old", b"value"]
            await redis.execute([Command(new, "APPEND", new, "!") for _ in range(100)])
            assert await redis.ask(Command(new, "GET", new)) == b"value" + 100 * b"!"


async def test_many_commands_that_find_their_slot_moved_go_there_together() -> None:
    with redis_cluster() as cluster:
        source, target = cluster.primaries[:2]
        keys = [f"key{number}" for number in range(300)]
        moving = sorted({slot_of(key) for key in keys if cluster.owner(slot_of(key)) is source})[:20]
        async with open_redis(cluster.url, deadline_seconds=DEADLINE_SECONDS) as redis:
            assert await redis.execute([Command(key, "GET", key) for key in keys]) == [None] * 300
            for slot in moving:
                for primary in cluster.primaries:
                    primary.command("CLUSTER", "SETSLOT", slot, "NODE", target.command("CLUSTER", "MYID"))
            assert await redis.execute([Command(key, "SET", key, key) for key in keys]) == [b"OK"] * 300
            found = await redis.execute([Command(key, "GET", key) for key in keys])
            assert found == [key.encode() for key in keys]


@pytest.mark.slow
async def test_a_mute_primary_delays_nobody_at_the_others() -> None:
    with redis_cluster() as cluster:
        victim = cluster.primaries[0]
        keys = [f"key{number}" for number in range(60)]
        lost = {key for key in keys if cluster.owner(slot_of(key)) is victim}
        refused: list[set[str]] = []

        async def ask_all(redis: RedisClient) -> None:
            replies = await redis.execute([echo(key) for key in keys])
            refused.append({key for key, reply in zip(keys, replies, strict=True) if isinstance(reply, Unavailable)})

        async with open_redis(cluster.url, deadline_seconds=5) as redis:
            await until_answered(redis)
            victim.pause()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask_all, redis)
                for _ in range(100):
                    others = [key for key in keys if key not in lost]
                    assert await redis.execute([echo(key) for key in others]) == [key.encode() for key in others]
            assert refused[0] <= lost
            with trio.fail_after(PATIENCE_SECONDS):  # until the victim is replaced
                while refused[-1]:
                    await ask_all(redis)
                    await trio.sleep(0.05)


@pytest.mark.slow
async def test_a_cluster_that_is_somewhere_else_now_is_found_by_its_url() -> None:
    with lonely_cluster() as old, lonely_cluster() as new:
        async with (
            tcp_proxy(old.port) as proxy,
            open_redis(f"redis+cluster://127.0.0.1:{proxy.port}", deadline_seconds=1) as redis,
        ):
            await until_answered(redis)
            old.kill()
            await until_refused(redis)
            proxy.target_port = new.port
            await until_answered(redis)


@contextlib.contextmanager
def lonely_cluster() -> Iterator[RedisProcess]:
    """A cluster of one."""
    with redis_server("--cluster-enabled", "yes", "--cluster-port", f"{free_port()}") as server:
        server.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        server.wait_until(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))
        yield server


class Actor:
    """A server that plays a part: the answers to commands after the first ROLE, the last one for ever."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.commands = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        async for data in stream:
            for word in range(data.count(b"*")):
                if b"ROLE" in data and word == 0:
                    await stream.send_all(b"*1\r\n$6\r\nmaster\r\n")
                    continue
                self.commands += 1
                await stream.send_all(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


async def act(nursery: trio.Nursery, actor: Actor) -> str:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, actor.serve, [listener])
    return f"redis://127.0.0.1:{listener.socket.getsockname()[1]}"


@pytest.mark.parametrize("code", ["LOADING", "READONLY", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "TRYAGAIN"])
async def test_what_passes_is_waited_for_without_a_storm(code: str) -> None:
    async with trio.open_nursery() as nursery:
        actor = Actor(*[f"-{code} come back later\r\n".encode()] * 3, b"+OK\r\n")
        async with open_redis(await act(nursery, actor), deadline_seconds=DEADLINE_SECONDS) as redis:
            assert await redis.ask(Command("k", "SET", "k", "v")) == b"OK"
        assert actor.commands in (4, 5)  # the server, which refuses all while it loads, is asked for a PING first
        actor = Actor(f"-{code} never\r\n".encode())
        async with open_redis(await act(nursery, actor), deadline_seconds=0.3) as redis:
            with pytest.raises(Unavailable):
                await redis.ask(Command("k", "SET", "k", "v"))
        assert actor.commands < 20
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("answer", [b"?what\r\n", b"+OK\r\n+SURPLUS\r\n", b"*-5\r\n", b"$9999999999999\r\n", b":x\r\n"])
async def test_a_server_that_talks_nonsense_is_left(answer: bytes) -> None:
    async with trio.open_nursery() as nursery:
        url = await act(nursery, Actor(answer))
        async with open_redis(url, deadline_seconds=0.3) as redis:
            with trio.fail_after(DEADLINE_SECONDS):
                for _ in range(5):
                    await redis.execute([Command("k", "GET", "k", again=False)])
        nursery.cancel_scope.cancel()


async def test_redirections_in_a_circle_come_to_an_end() -> None:
    async with trio.open_nursery() as nursery:
        actor = Actor(b"")
        url = await act(nursery, actor)
        actor.answers = [f"-MOVED 1 {url.removeprefix('redis://')}\r\n".encode()]
        async with open_redis(url, deadline_seconds=DEADLINE_SECONDS) as redis:
            with pytest.raises(Unavailable):
                await redis.ask(Command("k", "GET", "k"))
        assert actor.commands <= 16
        nursery.cancel_scope.cancel()


def test_the_actor_understands_one_command_a_star() -> None:
    assert pack("SET", "k", "v").count(b"*") == 1

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
import trio
from argon2 import PasswordHasher

from chat.domain.errors import ChatError, Conflict, Invalid, NotFound, RateLimited, Unauthenticated
from chat.domain.users import SessionId, UserId
from chat.ports.rate_limiter import Rate
from chat.services import Limits, Passwords, events
from tests.support.services import CHEAP_HASHER, UNLIMITED, World, open_world

PEER = "192.0.2.1"
PASSWORD = "correct horse"


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[World]:
    limits = dataclasses.replace(
        UNLIMITED, login_per_address=Rate(0.001, 3), login_per_name=Rate(0.001, 5), register_per_address=Rate(0.001, 2)
    )
    async with open_world(tmp_path, limits=limits) as world:
        yield world


async def refused(world: World, name: str, password: str, peer: str = PEER) -> ChatError:
    with pytest.raises(ChatError) as error:
        await world.services.auth.sign_in(name, password, peer)
    return error.value


async def test_who_registers_can_sign_in_and_is_known_by_the_token(world: World) -> None:
    auth = world.services.auth
    user = await auth.register("  Alice ", PASSWORD, PEER)
    signed_in = await auth.sign_in("aLICE", PASSWORD, PEER)
    identity = await auth.verify(signed_in.access_token)
    assert user.name == "Alice"
    assert signed_in.user == identity.user == user
    assert identity.session == signed_in.session.id


@pytest.mark.parametrize("name", ["alice", "ALICE", "Ａlice", " Alice"])
async def test_a_name_that_reads_alike_is_taken(world: World, name: str) -> None:
    await world.services.auth.register("Alice", PASSWORD, PEER)
    with pytest.raises(Conflict):
        await world.services.auth.register(name, PASSWORD, PEER)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("", PASSWORD),
        ("a" * 33, PASSWORD),
        ("a\u200bb", PASSWORD),
        ("a\0", PASSWORD),
        ("\ud800", PASSWORD),
        ("alice", "short"),
        ("alice", "x" * 1025),
        ("alice", "ä" * 600),
        ("alice", "surrogate \ud800"),
    ],
)
async def test_what_cannot_be_an_account_is_refused(world: World, name: str, password: str) -> None:
    with pytest.raises(Invalid):
        await world.services.auth.register(name, password, PEER)
    assert type(await refused(world, name, password)) is Unauthenticated


async def test_b42_a_wrong_name_and_a_wrong_password_cannot_be_told_apart(world: World) -> None:
    await world.services.auth.register("alice", PASSWORD, PEER)
    errors = [await refused(world, "alice", "wrong horse"), await refused(world, "nobody", "wrong horse")]
    assert {(type(error), error.message) for error in errors} == {(Unauthenticated, "wrong name or password")}


async def test_b42_an_unknown_name_costs_as_many_hashes_as_a_known_one(tmp_path: Path) -> None:
    class CountingHasher(PasswordHasher):
        verified: list[str | bytes]

        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
            self.verified.append(hash)
            return super().verify(hash, password)

    hasher = CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
    hasher.verified = []
    async with open_world(tmp_path, passwords=Passwords(hasher)) as world:
        await world.services.auth.register("alice", PASSWORD, PEER)
        await refused(world, "alice", "wrong horse")
        await refused(world, "nobody", "wrong horse")
    known, unknown = hasher.verified
    assert known != unknown
    assert str(known).split("$")[:4] == str(unknown).split("$")[:4]  # the same parameters, so the same cost


async def test_b42_guesses_from_one_address_are_limited_whatever_the_name(limited: World) -> None:
    await limited.services.auth.register("alice", PASSWORD, PEER)
    for number in range(3):
        assert type(await refused(limited, f"name{number}", "wrong horse")) is Unauthenticated
    error = await refused(limited, "alice", PASSWORD)
    assert isinstance(error, RateLimited)
    assert error.retry_after
    assert (await limited.services.auth.sign_in("alice", PASSWORD, "192.0.2.2")).user.name == "alice"


async def test_b42_guesses_at_one_name_are_limited_whatever_the_address_and_spelling(limited: World) -> None:
    for number, name in enumerate(["alice", "ALICE", " alice", "Ａlice", "aLiCe"]):
        assert type(await refused(limited, name, "wrong horse", f"192.0.2.{number}")) is Unauthenticated
    assert type(await refused(limited, "alice", "wrong horse", "192.0.2.99")) is RateLimited
    assert type(await refused(limited, "bob", "wrong horse", "192.0.2.98")) is Unauthenticated


async def test_b41_hops_within_one_ipv6_network_are_one_address(limited: World) -> None:
    for number in range(3):
        await refused(limited, "alice", "wrong horse", f"2001:db8:0:1::{number}")
    assert type(await refused(limited, "bob", "wrong horse", "2001:db8:0:1:ffff::1")) is RateLimited
    assert type(await refused(limited, "bob", "wrong horse", "2001:db8:0:2::1")) is Unauthenticated


async def test_accounts_made_from_one_address_are_limited(limited: World) -> None:
    for number in range(2):
        await limited.services.auth.register(f"name{number}", PASSWORD, PEER)
    with pytest.raises(RateLimited):
        await limited.services.auth.register("name3", PASSWORD, PEER)


async def test_b42_each_sign_in_is_a_new_session_that_nobody_could_choose(world: World) -> None:
    auth = world.services.auth
    await auth.register("alice", PASSWORD, PEER)
    first, second = [await auth.sign_in("alice", PASSWORD, PEER) for _ in range(2)]
    assert first.session.id != second.session.id
    with pytest.raises(Unauthenticated):
        await auth.token_for(SessionId("chosen-by-an-attacker"))


async def test_a_session_gives_fresh_tokens_until_it_is_signed_out(world: World) -> None:
    auth = world.services.auth
    await auth.register("alice", PASSWORD, PEER)
    signed_in = await auth.sign_in("alice", PASSWORD, PEER)
    fresh = await auth.token_for(signed_in.session.id)
    assert (await auth.verify(fresh.access_token)).user == signed_in.user

    await auth.sign_out(signed_in.session.id)
    await auth.sign_out(signed_in.session.id)

    assert world.broker.of(events.SessionRevoked) == [events.SessionRevoked(signed_in.session.id)]
    for token in (signed_in.access_token, fresh.access_token):
        with pytest.raises(Unauthenticated):
            await auth.verify(token)
    with pytest.raises(Unauthenticated):
        await auth.token_for(signed_in.session.id)


@pytest.mark.parametrize("session", ["", "A", "a" * 1000, "'; DROP TABLE sessions", "\0", "\ud800", "nothing"])
async def test_what_is_no_session_gives_no_token_and_no_event(world: World, session: str) -> None:
    with pytest.raises(Unauthenticated):
        await world.services.auth.token_for(SessionId(session))
    await world.services.auth.sign_out(SessionId(session))
    assert world.broker.calls == []


async def test_b34_a_token_for_anothers_session_is_refused(world: World) -> None:
    alice, bob = await world.user("alice"), await world.user("bob")
    token, _ = world.tokens.issue(alice.user, bob.session)
    with pytest.raises(Unauthenticated):
        await world.services.auth.verify(token)


async def test_a_ban_ends_all_sessions_and_keeps_out_until_it_is_lifted(world: World) -> None:
    auth = world.services.auth
    user = await auth.register("alice", PASSWORD, PEER)
    sessions = [await auth.sign_in("alice", PASSWORD, PEER) for _ in range(3)]

    await auth.ban(user.id)

    assert world.broker.of(events.UserBanned) == [events.UserBanned(user.id)]
    for signed_in in sessions:
        with pytest.raises(Unauthenticated):
            await auth.verify(signed_in.access_token)
    assert (await refused(world, "alice", PASSWORD)).message == "this account is banned"
    assert (await refused(world, "alice", "wrong horse")).message == "wrong name or password"

    await auth.unban(user.id)
    assert (await auth.sign_in("alice", PASSWORD, PEER)).user == user


async def test_b39_a_ban_that_comes_while_somebody_signs_in_leaves_no_session(world: World) -> None:
    auth = world.services.auth
    user = await auth.register("alice", PASSWORD, PEER)
    alive: list[str] = []

    async def sign_in() -> None:
        with contextlib.suppress(Unauthenticated):
            alive.append((await auth.sign_in("alice", PASSWORD, PEER)).access_token)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(sign_in)
            nursery.start_soon(auth.ban, user.id)

    for token in alive:
        with pytest.raises(Unauthenticated):
            await auth.verify(token)


@pytest.mark.parametrize("user", ["nobody", "", "\ud800", "A B"])
async def test_nobody_else_can_be_banned_than_a_user(world: World, user: str) -> None:
    with pytest.raises(NotFound):
        await world.services.auth.ban(UserId(user))
    with pytest.raises(NotFound):
        await world.services.auth.unban(UserId(user))
    assert world.broker.calls == []


async def test_a_hash_with_old_parameters_is_renewed_at_the_next_sign_in(tmp_path: Path) -> None:
    old, new = Passwords(CHEAP_HASHER), Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    async with open_world(tmp_path, passwords=new) as world:
        await world.users.create("alice", await old.hash(PASSWORD))
        await world.services.auth.sign_in("alice", PASSWORD, PEER)
        found = await world.users.by_name("alice")
        assert found is not None
        assert not new.is_outdated(found[1])
        assert (await world.services.auth.sign_in("alice", PASSWORD, PEER)).user.name == "alice"


async def test_b33_no_token_password_or_typed_name_reaches_the_log(world: World) -> None:
    with structlog.testing.capture_logs() as logs:
        await world.services.auth.register("alice", PASSWORD, PEER)
        signed_in = await world.services.auth.sign_in("alice", PASSWORD, PEER)
        await refused(world, "my secret by mistake", "wrong horse")
        await world.services.auth.sign_out(signed_in.session.id)
    assert [log["event"] for log in logs] == ["user_registered", "signed_in", "sign_in_refused"]
    for secret in (PASSWORD, "wrong horse", "my secret", signed_in.access_token, signed_in.session.id):
        assert secret not in repr(logs)
    assert signed_in.access_token not in repr(signed_in)


def test_the_defaults_are_limits() -> None:
    for field in dataclasses.fields(Limits):
        value = getattr(Limits(), field.name)
        assert value.per_second > 0 and value.burst >= 1 if isinstance(value, Rate) else value > 0, field.name

"""What every `UserStore` promises."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chat.domain.errors import Conflict, NotFound
from chat.domain.users import Account, User, UserId
from tests.support.stores import SHARDED_STORES, Stores

NOBODY = UserId("nobody")


@pytest.fixture(params=SHARDED_STORES)
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    async with request.param(tmp_path) as stores:
        yield stores


async def test_an_account_is_found_as_it_was_created(stores: Stores) -> None:
    user = await stores.users.create("Änna", "hash")
    assert user.name == "Änna"
    assert re.fullmatch("[a-z0-9_-]{1,32}", user.id)
    assert await stores.users.user(user.id) == user
    assert await stores.users.by_name("Änna") == (user, "hash", False)


@pytest.mark.parametrize("spelling", ["straße", "STRASSE", "Strasse", "ｓｔｒａｓｓｅ"])
async def test_a_name_is_taken_in_every_spelling(stores: Stores, spelling: str) -> None:
    user = await stores.users.create("Straße", "hash")
    with pytest.raises(Conflict):
        await stores.users.create(spelling, "other")
    assert await stores.users.by_name(spelling) == (user, "hash", False)


async def test_of_many_who_want_a_name_one_gets_it(stores: Stores) -> None:
    created: list[User] = []
    refused: list[Conflict] = []

    async def create() -> None:
        try:
            created.append(await stores.users.create("anna", "hash"))
        except Conflict as conflict:
            refused.append(conflict)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(create)
    assert (len(created), len(refused)) == (1, 19)


async def test_nobody_is_found_under_a_name_that_is_free(stores: Stores) -> None:
    assert await stores.users.by_name("nobody") is None


async def test_names_leave_out_those_who_do_not_exist(stores: Stores) -> None:
    users = [await stores.new_user() for _ in range(230)]
    wanted = [*(user.id for user in users), NOBODY, users[0].id]
    assert await stores.users.names(wanted) == {user.id: user.name for user in users}
    assert await stores.users.names([]) == {}


async def test_a_password_can_be_changed(stores: Stores) -> None:
    user = await stores.new_user("anna")
    await stores.users.set_password_hash(user.id, "new hash")
    assert await stores.users.by_name("anna") == (user, "new hash", False)


async def test_a_ban_is_set_and_lifted(stores: Stores) -> None:
    user = await stores.new_user("anna")
    for banned in (True, True, False):
        await stores.users.set_banned(user.id, banned)
        assert await stores.users.by_name("anna") == (user, "hash", banned)


async def test_an_account_that_does_not_exist_is_not_found(stores: Stores) -> None:
    for refused in (
        stores.users.user(NOBODY),
        stores.users.set_password_hash(NOBODY, "hash"),
        stores.users.set_banned(NOBODY, True),
        stores.users.set_admin(NOBODY, True),
        stores.users.search("", NOBODY, 10),
    ):
        with pytest.raises(NotFound):
            await refused


async def test_an_administrator_is_one_until_the_role_is_taken_away(stores: Stores) -> None:
    user = await stores.new_user("anna")
    assert not user.admin
    for admin in (True, True, False):
        await stores.users.set_admin(user.id, admin)
        expected = User(user.id, "anna", admin)
        assert await stores.users.user(user.id) == expected
        assert await stores.users.by_name("anna") == (expected, "hash", False)


async def test_accounts_are_found_by_the_beginning_of_their_name_in_any_spelling(stores: Stores) -> None:
    users = {name: await stores.new_user(name) for name in ("Änna", "änne", "anna", "bob", "B_b", "b%", "Straße")}
    await stores.users.set_banned(users["änne"].id, True)
    await stores.users.set_admin(users["Änna"].id, True)

    async def found(prefix: str) -> list[str]:
        return [account.user.name for account in await stores.users.search(prefix, None, 10)]

    assert await stores.users.search("ÄN", None, 10) == [
        Account(User(users["Änna"].id, "Änna", admin=True), banned=False),
        Account(users["änne"], banned=True),
    ]
    assert await found("STRASS") == ["Straße"]
    assert await found("b%") == ["b%"]
    assert await found("b_") == ["B_b"]
    assert await found("nobody") == []
    assert await found("") == ["anna", "b%", "B_b", "bob", "Straße", "Änna", "änne"]


async def test_accounts_are_read_page_by_page(stores: Stores) -> None:
    users = [await stores.new_user(f"{first}{number:02}") for first in "xy" for number in range(20)]
    seen: list[UserId] = []
    while page := await stores.users.search("x", seen[-1] if seen else None, 7):
        assert len(page) <= 7
        seen += [account.user.id for account in page]
    assert seen == [user.id for user in users[:20]]
    assert await stores.users.search("x", users[-1].id, 7) == []

"""The Python client on a real node: what only the two together can get wrong."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import trio

from chat.client import (
    Client,
    ClientConfig,
    Deleted,
    Edited,
    Event,
    Message,
    PresenceChanged,
    RemovedFromRoom,
    Room,
    SessionEnded,
    Typing,
    open_client,
    register,
)
from chat.domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from tests.support.node_process import Node, node_process

PASSWORD = "correct horse"
SECONDS = 60.0
ROUTED = ClientConfig(route=True)


async def until(room: Room, kind: type[Event]) -> Event:
    """The next event of a kind."""
    with trio.fail_after(SECONDS):
        async for event in room.events():
            if isinstance(event, kind):
                return event
    raise AssertionError("the room is over")


async def accounts(node: Node, *names: str) -> None:
    for name in names:
        await register(node.url, name, PASSWORD)


async def test_everything_that_one_can_do_in_a_room(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node:
        await accounts(node, "ada", "bob")
        with pytest.raises(Conflict):
            await register(node.url, "Ada", PASSWORD)
        async with (
            open_client(node.url, name="ada", password=PASSWORD) as ada,
            open_client(node.url, name="bob", password=PASSWORD, encoding="json", config=ROUTED) as bob,
        ):
            info = await ada.create_room("Lobby")
            assert [room.name for room in await bob.public_rooms()] == ["Lobby"]
            adas, bobs = await ada.join(info.id), await bob.join(info.id)
            await converse(adas, bobs)
            await ada.set_role(info.id, bob.user.id, "moderator")
            assert {member.name: member.role for member in await ada.members(info.id)} == {
                "ada": "owner",
                "bob": "moderator",
            }
            await be_removed(ada, bobs, bob)


async def converse(adas: Room, bobs: Room) -> None:
    published = await adas.publish({"text": "hello", "extra": [1, {"a": None}]}, key="k1")
    heard = await until(bobs, Message)
    assert isinstance(heard, Message)
    assert (heard.name, heard.text, heard.seq, heard.key) == ("ada", "hello", published.seq, "k1")
    assert heard.body["extra"] == [1, {"a": None}]
    again = await adas.publish("hello", key="k1")
    assert again.duplicate
    assert again.seq == published.seq
    with pytest.raises(Forbidden):
        await bobs.edit(published.seq, "not mine")
    await adas.edit(published.seq, "hallo")
    assert await until(bobs, Edited) == Edited(bobs.id, published.seq, 1, {"text": "hallo"})
    await bobs.typing()
    assert isinstance(await until(adas, Typing), Typing)
    await bobs.mark_read(published.seq)
    await adas.delete(published.seq)
    assert await until(bobs, Deleted) == Deleted(bobs.id, published.seq, 2)
    [stored] = (await bobs.history()).messages
    assert stored.deleted
    assert stored.body == {}


async def be_removed(ada: Client, bobs: Room, bob: Client) -> None:
    await ada.set_role(bobs.id, bob.user.id, "banned")
    with pytest.raises(RemovedFromRoom):
        await until(bobs, Message)
    with pytest.raises(NotFound):
        await bobs.publish("from outside")
    with pytest.raises(NotFound):
        await bob.join(bobs.id)


async def test_presence_and_direct_rooms(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node:
        await accounts(node, "ada", "bob")
        async with (
            open_client(node.url, name="ada", password=PASSWORD) as ada,
            open_client(node.url, name="bob", password=PASSWORD) as bob,
        ):
            direct = await ada.direct(bob.user.id)
            assert (await bob.direct(ada.user.id)).id == direct.id
            adas, bobs = await ada.join(direct.id), await bob.join(direct.id)
            seen: set[str] = set()
            while bob.user.id not in seen:
                change = await until(adas, PresenceChanged)
                assert isinstance(change, PresenceChanged)
                seen |= {user.id for user in change.joins}
            assert {user.name for user in (await bobs.online()).users} == {"ada", "bob"}
            assert [room.title for room in await ada.rooms()] == ["bob"]


async def test_signing_out_ends_the_client_and_a_wrong_password_never_begins_one(tmp_path: Path) -> None:
    async def be_signed_out(node: Node) -> None:
        async with httpx.AsyncClient(base_url=node.url) as browser:
            answer = await browser.post("/api/login", json={"name": "ada", "password": PASSWORD})
            token = answer.json()["access_token"]
            async with open_client(node.url, token=token) as client:
                await client.rooms()
                await browser.post("/api/logout", headers={"Authorization": f"Bearer {token}"})
                await trio.sleep(SECONDS)

    async with node_process(tmp_path) as node:
        await accounts(node, "ada")
        with pytest.raises(SessionEnded) as caught:
            await be_signed_out(node)
        assert caught.value.code == 4503
        for wrong in ({"name": "ada", "password": "wrong horse"}, {"token": "no token"}):
            with pytest.raises(Unauthenticated):
                async with open_client(node.url, **wrong):  # type: ignore[arg-type]
                    pytest.fail("signed in")
        assert "no token" not in node.log
        assert PASSWORD not in node.log


async def test_a_token_about_to_expire_is_renewed_with_the_cookie_of_the_session(tmp_path: Path) -> None:
    async with node_process(tmp_path, "--token-seconds", "20") as node:
        await accounts(node, "ada")
        async with open_client(node.url, name="ada", password=PASSWORD) as client:
            assert await client.rooms() == []
        assert node.log.count("path=/api/login") == 1
        assert "path=/api/token" in node.log


async def test_a_thousand_messages_at_once_arrive_in_order_within_the_rates(tmp_path: Path) -> None:
    """More than a connection may send in frames of their own: the client packs them."""
    limits = ("--publish-per-user-per-second", "0", "--publish-per-room-per-second", "0")
    async with node_process(tmp_path, *limits) as node:
        await accounts(node, "ada")
        async with open_client(node.url, name="ada", password=PASSWORD) as client:
            room = await client.join((await client.create_room("r")).id)
            async with trio.open_nursery() as nursery:
                for number in range(1_000):
                    nursery.start_soon(room.publish, {"text": f"{number}", "padding": "x" * 1_000})
                heard: list[Message] = []
                with trio.fail_after(SECONDS):
                    async for message in room:
                        heard.append(message)
                        if len(heard) == 1_000:
                            break
            assert [message.seq for message in heard] == list(range(1, 1_001))
            assert sorted(int(message.text) for message in heard) == list(range(1_000))

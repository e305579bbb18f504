"""Rooms, members, history and unread counts over HTTP."""

from __future__ import annotations

import secrets

import httpx
import pytest

from chat.domain.rooms import RoomId
from chat.services import Post
from tests.unit.chat.http_api.conftest import Api


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def post(api: Api, headers: dict[str, str], room: RoomId, *texts: str) -> None:
    who = await api.identity(headers)
    await api.world.services.messaging.post(who, [Post(room, secrets.token_hex(8), {"text": text}) for text in texts])


async def test_a_room_belongs_to_who_made_it(api: Api) -> None:
    alice = await api.signed_in("Alice")
    room = await api.room(alice)
    [mine] = (await api.client.get("/api/rooms", headers=alice)).json()["rooms"]
    assert mine == {
        "id": room,
        "kind": "public",
        "name": "a room",
        "title": "a room",
        "role": "owner",
        "top_seq": 0,
        "read_seq": 0,
        "unread": 0,
        "mentions": [],
    }


async def test_public_rooms_are_listed_page_by_page(api: Api) -> None:
    alice = await api.signed_in("Alice")
    ids = sorted([await api.room(alice) for _ in range(3)])
    await api.room(alice, "private")
    query = {"public": "true", "limit": "2"}
    first = (await api.client.get("/api/rooms", params=query, headers=alice)).json()["rooms"]
    rest = (await api.client.get("/api/rooms", params=query | {"after": first[-1]["id"]}, headers=alice)).json()[
        "rooms"
    ]
    assert [room["id"] for room in first + rest] == ids
    assert first[0] == {"id": ids[0], "kind": "public", "name": "a room"}


async def test_joining_and_leaving_change_membership(api: Api) -> None:
    alice, bob = await api.signed_in("Alice"), await api.signed_in("Bob")
    room = await api.room(alice)
    answer = await api.client.post(f"/api/rooms/{room}/join", headers=bob)
    assert (answer.status_code, answer.json()["room"]["id"]) == (200, room)
    members = (await api.client.get(f"/api/rooms/{room}/members", headers=bob)).json()["members"]
    assert {member["name"]: member["role"] for member in members} == {"Alice": "owner", "Bob": "member"}
    assert (await api.client.post(f"/api/rooms/{room}/leave", headers=bob)).status_code == 204
    assert (await api.client.get("/api/rooms", headers=bob)).json()["rooms"] == []


async def test_members_are_invited_promoted_banned_and_removed(api: Api) -> None:
    alice, bob = await api.signed_in("Alice"), await api.signed_in("Bob")
    bob_id = (await api.identity(bob)).user.id
    room = await api.room(alice, "private")
    path = f"/api/rooms/{room}/members/{bob_id}"
    assert error_of(await api.client.get(f"/api/rooms/{room}/members", headers=bob)) == (404, "not_found")
    for role in ("member", "moderator", "banned"):
        assert (await api.client.put(path, json={"role": role}, headers=alice)).status_code == 204
        assert await api.world.rooms.role(room, bob_id) == (await api.world.rooms.room(room), role)
    assert error_of(await api.client.get(f"/api/rooms/{room}/members", headers=bob)) == (404, "not_found")
    assert (await api.client.delete(path, headers=alice)).status_code == 204
    assert (await api.world.rooms.role(room, bob_id))[1] is None


async def test_a_member_may_not_change_members(api: Api) -> None:
    alice, bob = await api.signed_in("Alice"), await api.signed_in("Bob")
    room = await api.room(alice)
    await api.client.post(f"/api/rooms/{room}/join", headers=bob)
    path = f"/api/rooms/{room}/members/{(await api.identity(alice)).user.id}"
    assert error_of(await api.client.put(path, json={"role": "banned"}, headers=bob)) == (403, "forbidden")


async def test_the_direct_room_of_two_is_one_room(api: Api) -> None:
    alice, bob = await api.signed_in("Alice"), await api.signed_in("Bob")
    ids = {who: (await api.identity(headers)).user.id for who, headers in (("alice", alice), ("bob", bob))}
    first = (await api.client.post("/api/direct", json={"user": ids["bob"]}, headers=alice)).json()
    second = (await api.client.post("/api/direct", json={"user": ids["alice"]}, headers=bob)).json()
    assert first == second
    assert first["room"]["kind"] == "direct"
    [mine] = (await api.client.get("/api/rooms", headers=alice)).json()["rooms"]
    assert mine["title"] == "Bob"


async def test_history_is_paged_both_ways(api: Api) -> None:
    alice = await api.signed_in("Alice")
    room = await api.room(alice)
    await post(api, alice, room, *"abcde")
    path = f"/api/rooms/{room}/messages"
    newest = (await api.client.get(path, params={"limit": 2}, headers=alice)).json()
    assert ([message["seq"] for message in newest["messages"]], newest["more"]) == ([4, 5], True)
    older = (await api.client.get(path, params={"before": 4, "limit": 9}, headers=alice)).json()
    assert ([message["seq"] for message in older["messages"]], older["more"]) == ([1, 2, 3], False)
    newer = (await api.client.get(path, params={"after": 3}, headers=alice)).json()
    assert [message["body"] for message in newer["messages"]] == [{"text": "d"}, {"text": "e"}]


async def test_a_message_looks_as_it_does_on_the_socket(api: Api) -> None:
    alice = await api.signed_in("Alice")
    who, room = await api.identity(alice), await api.room(alice)
    await post(api, alice, room, "a", "b")
    await api.world.services.messaging.edit(who, room, 1, {"text": "A"})
    await api.world.services.messaging.delete(who, room, 2)
    edited, deleted = (await api.client.get(f"/api/rooms/{room}/messages", headers=alice)).json()["messages"]
    assert set(edited) == {"seq", "ts", "user", "name", "key", "body", "revision"}
    assert (edited["name"], edited["user"], edited["body"]) == ("Alice", who.user.id, {"text": "A"})
    assert deleted["deleted"] is True
    assert deleted["body"] == {}


async def test_unread_messages_are_counted(api: Api) -> None:
    alice, bob = await api.signed_in("Alice"), await api.signed_in("Bob")
    room, quiet = await api.room(alice), await api.room(alice)
    for joined in (room, quiet):
        await api.client.post(f"/api/rooms/{joined}/join", headers=bob)
    await post(api, alice, room, "a", "@bob, look.", "@[Bob] again")

    async def counts() -> list[object]:
        [mine] = [line for line in (await api.client.get("/api/rooms", headers=bob)).json()["rooms"] if line["unread"]]
        answer = (await api.client.get("/api/unread", headers=bob)).json()
        assert answer["rooms"] == {room: answer["total"]}
        assert answer["mentions"] == {room: answer["total_mentions"]}
        return [answer["total"], answer["total_mentions"], mine["mentions"]]

    assert await counts() == [3, 2, [2, 3]]
    await api.world.services.messaging.mark_read(await api.identity(bob), room, 2)
    assert await counts() == [1, 1, [3]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "join"),
        ("POST", "leave"),
        ("GET", "members"),
        ("GET", "messages"),
        ("PUT", "members/somebody"),
        ("DELETE", "members/somebody"),
    ],
)
@pytest.mark.parametrize("room", ["foreign", "none", "UPPER", "a%20b", "%C3%A9", "x" * 40, "..", "%2e%2e%2f"])
async def test_a_room_one_may_not_see_is_not_there(api: Api, method: str, path: str, room: str) -> None:
    alice, bob = await api.signed_in("Alice"), await api.signed_in("Bob")
    if room == "foreign":
        room = await api.room(alice, "private")
    body = {"role": "member"} if method == "PUT" else None
    answer = await api.client.request(method, f"/api/rooms/{room}/{path}", headers=bob, json=body)
    assert error_of(answer) == (404, "not_found")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "ten"},
        {"before": "-1"},
        {"before": "1.5"},
        {"after": str(2**63)},
        {"after": "1" * 5000},
        {"before": "5", "after": "1"},
    ],
)
async def test_a_bad_query_is_refused_and_the_field_named(api: Api, query: dict[str, str]) -> None:
    alice = await api.signed_in("Alice")
    answer = await api.client.get(f"/api/rooms/{await api.room(alice)}/messages", params=query, headers=alice)
    assert error_of(answer) == (400, "invalid")
    assert next(iter(query)) in answer.json()["error"]["message"]

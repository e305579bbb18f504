"""The operators' part of the API: what it answers, and to whom."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from chat.domain.rooms import Role, RoomKind
from chat.domain.users import UserId
from chat.http_api.admin import AdminApi
from chat.ports.node_registry import NodeInfo
from chat.ports.presence_store import PresenceEntry
from tests.support.node_view import FixedNode
from tests.unit.chat.http_api.conftest import Api

ENDPOINTS = AdminApi(FixedNode()).endpoints
JSON = {"Content-Type": "application/json"}
Headers = dict[str, str]


@pytest.fixture
async def admin(api: Api) -> Headers:
    headers = await api.signed_in("Admin")
    await api.world.users.set_admin((await api.identity(headers)).user.id, True)
    return headers


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def path_of(path: str) -> str:
    return path.replace("{room}", "nowhere").replace("{user}", "nobody")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_every_path_is_for_administrators_with_a_token(api: Api, endpoint: Any) -> None:
    path, content = path_of(endpoint.path), b'{"role":"member"}'
    answer = await api.client.request(endpoint.method, path, content=content, headers=JSON)
    assert error_of(answer) == (401, "unauthenticated")
    bob = await api.signed_in("Bob")  # whose browser sends his cookie from here on
    answer = await api.client.request(endpoint.method, path, content=content, headers=JSON)
    assert error_of(answer) == (401, "unauthenticated")
    answer = await api.client.request(endpoint.method, path, content=content, headers=bob | JSON)
    assert error_of(answer) == (403, "forbidden")


async def test_who_is_an_administrator_no_more_is_refused_at_once(api: Api, admin: Headers) -> None:
    assert (await api.client.get("/api/admin/overview", headers=admin)).status_code == 200
    await api.world.users.set_admin((await api.identity(admin)).user.id, False)
    assert error_of(await api.client.get("/api/admin/overview", headers=admin)) == (403, "forbidden")


async def test_the_overview_shows_figures_in_milliseconds_and_all_nodes(api: Api, admin: Headers) -> None:
    api.node.others.append(NodeInfo(node="node-b", region="eu", draining=True))
    answer = (await api.client.get("/api/admin/overview", headers=admin)).json()
    nodes = answer.pop("nodes")
    assert answer == {
        "node": "node-a",
        "version": "1.2.3",
        "uptime_seconds": 12.346,
        "connections": 3,
        "messages": 10,
        "deliveries": 30,
        "bytes_in": 1_000,
        "bytes_out": 2**53,
        "slow_consumers": 1,
        "latency_ms": {"p50": 1.5, "p99": 100.0},
        "commit_ms": None,
        "event_loop_lag_ms": {"p50": 0.0, "p99": 2.5},
    }
    here = {"address": "127.0.0.1:8000", "region": "", "connections": 3, "max_connections": 16_000, "draining": False}
    there = {"address": "", "region": "eu", "connections": 0, "max_connections": 0, "draining": True}
    assert nodes == [{"node": "node-a"} | here, {"node": "node-b"} | there]


async def test_accounts_are_searched_and_paged(api: Api, admin: Headers) -> None:
    ids = [(await api.identity(await api.signed_in(name))).user.id for name in ("Bob", "bobby", "BOB2")]
    api.node.connections[ids[1]] = 2
    lines = [
        {"id": ids[0], "name": "Bob", "admin": False, "banned": False, "connections": 0},
        {"id": ids[2], "name": "BOB2", "admin": False, "banned": False, "connections": 0},
        {"id": ids[1], "name": "bobby", "admin": False, "banned": False, "connections": 2},
    ]
    found = await api.client.get("/api/admin/users", params={"name": "BOB"}, headers=admin)
    assert found.json() == {"users": lines, "more": False}
    found = await api.client.get("/api/admin/users", params={"name": "bob", "limit": 2}, headers=admin)
    assert found.json() == {"users": lines[:2], "more": True}
    found = await api.client.get(f"/api/admin/users?name=bob&limit=2&after={ids[2]}", headers=admin)
    assert found.json() == {"users": lines[2:], "more": False}
    everybody = (await api.client.get("/api/admin/users", headers=admin)).json()["users"]
    assert [line["name"] for line in everybody if line["admin"]] == ["Admin"]


async def test_an_account_is_banned_and_let_in_again(api: Api, admin: Headers) -> None:
    bob = await api.signed_in("Bob")
    user = (await api.identity(bob)).user.id
    answer = await api.client.post(f"/api/admin/users/{user}/ban", json={}, headers=admin)
    assert (answer.status_code, answer.json()) == (200, {})
    assert error_of(await api.client.get("/api/rooms", headers=bob)) == (401, "unauthenticated")
    [line] = (await api.client.get("/api/admin/users?name=bob", headers=admin)).json()["users"]
    assert line["banned"]
    assert (await api.client.post(f"/api/admin/users/{user}/unban", headers=admin)).json() == {}
    credentials = {"name": "Bob", "password": "correct horse"}
    assert (await api.client.post("/api/login", json=credentials)).status_code == 200


async def test_administrators_cannot_ban_themselves(api: Api, admin: Headers) -> None:
    user = (await api.identity(admin)).user.id
    assert error_of(await api.client.post(f"/api/admin/users/{user}/ban", headers=admin)) == (409, "conflict")
    assert (await api.client.get("/api/admin/overview", headers=admin)).status_code == 200


async def test_all_sessions_of_an_account_are_closed(api: Api, admin: Headers) -> None:
    bob = await api.signed_in("Bob")
    user = (await api.identity(bob)).user.id
    assert (await api.client.post(f"/api/admin/users/{user}/close", headers=admin)).json() == {}
    assert error_of(await api.client.get("/api/rooms", headers=bob)) == (401, "unauthenticated")


async def test_rooms_of_others_are_found(api: Api, admin: Headers) -> None:
    bob = await api.signed_in("Bob")
    private = await api.room(bob, "private")
    await api.client.post("/api/direct", json={"user": (await api.identity(admin)).user.id}, headers=bob)
    await api.world.presence.put([PresenceEntry(private, (await api.identity(bob)).user.id, "1")])
    line = {"id": private, "name": "a room", "kind": "private", "online": 1, "seq": 0}
    found = await api.client.get("/api/admin/rooms", params={"name": "A R"}, headers=admin)
    assert found.json() == {"rooms": [line], "more": False}
    assert (await api.client.get("/api/admin/rooms", headers=admin)).json() == {"rooms": [line], "more": False}
    found = await api.client.get("/api/admin/rooms", params={"after": private}, headers=admin)
    assert found.json() == {"rooms": [], "more": False}


async def test_a_member_of_any_room_is_seen_banned_and_kicked(api: Api, admin: Headers) -> None:
    anna, bob = await api.signed_in("Anna"), await api.signed_in("Bob")
    anna_id, bob_id = [(await api.identity(who)).user.id for who in (anna, bob)]
    room = await api.room(anna, "private")
    members, bob_there = f"/api/admin/rooms/{room}/members", f"/api/admin/rooms/{room}/members/{bob_id}"

    async def listed() -> dict[str, str]:
        answer = (await api.client.get(members, headers=admin)).json()
        assert answer["more"] is False
        return {line["user"]["name"]: line["role"] for line in answer["members"]}

    answer = (await api.client.get(members, headers=admin)).json()
    owner = {"user": {"id": anna_id, "name": "Anna"}, "role": "owner", "online": False}
    assert answer == {"members": [owner], "more": False}
    for role in ("member", "moderator", "banned", "owner"):
        changed = await api.client.put(bob_there, json={"role": role}, headers=admin)
        assert (changed.status_code, changed.json()) == (200, {})
        assert await listed() == {"Anna": "owner", "Bob": role}
    for _ in range(2):
        assert (await api.client.delete(bob_there, headers=admin)).json() == {}
        assert await listed() == {"Anna": "owner"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/admin/users/nobody/ban", 404),
        ("POST", "/api/admin/users/nobody/close", 404),
        ("POST", "/api/admin/users/no%20id/ban", 404),
        ("POST", "/api/admin/users/nobody/promote", 404),
        ("GET", "/api/admin/users?limit=0", 400),
        ("GET", "/api/admin/users?limit=201", 400),
        ("GET", "/api/admin/users?limit=many", 400),
        ("GET", "/api/admin/users?after=no%20id", 400),
        ("GET", "/api/admin/users?after=nobody", 404),
        ("GET", f"/api/admin/users?name={'x' * 201}", 400),
        ("GET", "/api/admin/users?name=%00%ff%27%22;%20--%25_", 200),
        ("GET", "/api/admin/rooms?after=nowhere", 404),
        ("GET", "/api/admin/rooms?after=%27%20OR%201=1", 400),
        ("GET", "/api/admin/rooms?name=%f0%9f%98%80", 200),
        ("GET", "/api/admin/rooms/nowhere/members", 404),
        ("GET", "/api/admin/rooms/no%20id/members", 404),
        ("GET", "/api/admin/rooms/nowhere/members?after=%2e%2e", 400),
        ("DELETE", "/api/admin/rooms/nowhere/members/nobody", 404),
        ("PUT", "/api/admin/overview", 405),
    ],
)
async def test_what_is_asked_wrongly_is_refused(api: Api, admin: Headers, method: str, path: str, status: int) -> None:
    answer = await api.client.request(method, path, headers=admin)
    assert answer.status_code == status
    assert status == 200 or set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"role":null}', b'{"role":"admin"}', b'{"role":["member"]}', b"[]", b"\xff", b"[" * 9_999]
)
async def test_a_role_that_is_none_is_refused(api: Api, admin: Headers, content: bytes) -> None:
    room = await api.world.room(RoomKind.PUBLIC, {await api.identity(admin): Role.OWNER})
    path = f"/api/admin/rooms/{room.id}/members/nobody"
    assert error_of(await api.client.put(path, content=content, headers=admin | JSON)) == (400, "invalid")
    assert error_of(await api.client.put(path, json={"role": "member"}, headers=admin)) == (404, "not_found")


async def test_a_direct_room_is_left_alone(api: Api, admin: Headers) -> None:
    identity = await api.identity(admin)
    room = await api.world.rooms.direct(identity.user.id, (await api.world.user("Bob")).user.id)
    path = f"/api/admin/rooms/{room.id}/members/{identity.user.id}"
    assert error_of(await api.client.delete(path, headers=admin)) == (403, "forbidden")
    assert await api.world.rooms.role(room.id, UserId(identity.user.id)) == (room, Role.MEMBER)

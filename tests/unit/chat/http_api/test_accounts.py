"""Registering, signing in, renewing and signing out, with cookies that no other site can use."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from chat.ports.rate_limiter import Rate
from chat.services import Limits
from tests.unit.chat.http_api.conftest import ORIGIN, Api, OpenApi

ALICE = {"name": "Alice", "password": "correct horse"}


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def log_in(api: Api) -> httpx.Response:
    await api.client.post("/api/register", json=ALICE)
    return await api.client.post("/api/login", json=ALICE)


async def test_registering_answers_the_user_and_signs_nobody_in(api: Api) -> None:
    answer = await api.client.post("/api/register", json=ALICE)
    assert answer.status_code == 201
    assert answer.json()["user"]["name"] == "Alice"
    assert not api.client.cookies


async def test_a_name_is_taken_once_however_it_is_spelt(api: Api) -> None:
    await api.client.post("/api/register", json=ALICE)
    assert error_of(await api.client.post("/api/register", json=ALICE | {"name": "ALICE"})) == (409, "conflict")


@pytest.mark.parametrize("change", [{"name": ""}, {"name": "a\u202eb"}, {"password": "short"}, {"name": "x" * 33}])
async def test_a_bad_name_or_password_is_refused(api: Api, change: dict[str, str]) -> None:
    answer = await api.client.post("/api/register", json=ALICE | change)
    assert error_of(answer) == (400, "invalid")
    assert next(iter(change)) in answer.json()["error"]["message"]


async def test_login_answers_a_token_that_works(api: Api) -> None:
    answer = await log_in(api)
    token = answer.json()
    assert (answer.status_code, token["user"]["name"], token["expires_in"] > 60) == (200, "Alice", True)
    headers = {"Authorization": f"bearer {token['access_token']}"}
    assert (await api.client.get("/api/rooms", headers=headers)).json() == {"rooms": []}


async def test_administrators_are_told_that_they_are(api: Api) -> None:
    user = (await log_in(api)).json()["user"]
    assert "admin" not in user
    await api.world.users.set_admin(user["id"], True)
    for answer in (await log_in(api), await api.client.post("/api/token", headers={"Origin": ORIGIN})):
        assert answer.json()["user"] == user | {"admin": True}
    bob = await api.signed_in("Bob")
    assert (await api.client.get("/api/users?name=Alice", headers=bob)).json() == {"user": user}


async def test_a_wrong_password_and_a_wrong_name_get_the_same_answer(api: Api) -> None:
    await log_in(api)
    wrong = [
        await api.client.post("/api/login", json=ALICE | change)
        for change in ({"password": "wrong horse"}, {"name": "Bob"})
    ]
    assert error_of(wrong[0]) == (401, "unauthenticated")
    assert wrong[0].json() == wrong[1].json()
    assert wrong[0].headers["WWW-Authenticate"].startswith("Bearer")


async def test_guessing_passwords_is_slowed_down(open_api: OpenApi) -> None:
    api = await open_api(limits=Limits(login_per_address=Rate(0.1, 3)))
    answers = [await api.client.post("/api/login", json=ALICE) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 10
    error = answers[-1].json()["error"]
    assert (error["code"], error["retryable"], 0 < error["retry_after_ms"] <= 10_000) == ("rate_limited", True, True)


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(api: Api) -> None:
    [(name, cookie)] = SimpleCookie((await log_in(api)).headers["Set-Cookie"]).items()
    assert name == "chat_session"
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Strict", "/api", True)
    assert 86_000 < int(cookie["max-age"]) <= 86_400
    assert not cookie["domain"]


@pytest.mark.parametrize(("secure", "expected"), [(True, True), (False, "")])
async def test_without_https_the_cookie_is_secure_if_it_is_set_so(
    open_api: OpenApi, secure: bool, expected: bool | str
) -> None:
    api = await open_api(base_url="http://chat.test", secure_cookies=secure)
    [cookie] = SimpleCookie((await log_in(api)).headers["Set-Cookie"]).values()
    assert cookie["secure"] == expected


async def test_the_cookie_is_worth_a_fresh_token_to_a_page_of_this_site(api: Api) -> None:
    await log_in(api)
    answer = await api.client.post("/api/token", headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.json()["user"]["name"] == "Alice"
    assert "chat_session" in answer.headers["Set-Cookie"]
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await api.client.get("/api/unread", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://chat.test.evil.net"},
        {"Origin": "https://evilchat.test"},
        {"Origin": "https://chat.test:8443"},
        {"Origin": "https://chat.test."},
    ],
)
@pytest.mark.parametrize("path", ["/api/token", "/api/logout"])
async def test_the_cookie_is_worth_nothing_to_another_page(api: Api, path: str, headers: dict[str, str]) -> None:
    await log_in(api)
    answer = await api.client.post(path, headers=headers)
    assert error_of(answer) == (403, "forbidden")
    assert "Set-Cookie" not in answer.headers
    assert (await api.client.post("/api/token", headers={"Origin": ORIGIN})).status_code == 200


async def test_the_cookie_counts_from_an_origin_of_the_list(open_api: OpenApi) -> None:
    api = await open_api(allowed_origins=("https://app.example.com",))
    await log_in(api)
    answer = await api.client.post("/api/token", headers={"Origin": "https://app.example.com"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_the_cookie_opens_nothing_else(api: Api) -> None:
    await log_in(api)
    for path in ("/api/rooms", "/api/unread"):
        assert error_of(await api.client.get(path, headers={"Origin": ORIGIN})) == (401, "unauthenticated")


@pytest.mark.parametrize("cookie", [None, "unknown", "x" * 5000, '"; drop'])
async def test_without_a_live_session_there_is_no_token(api: Api, cookie: str | None) -> None:
    headers = {"Origin": ORIGIN} | ({"Cookie": f"chat_session={cookie}"} if cookie else {})
    assert error_of(await api.client.post("/api/token", headers=headers)) == (401, "unauthenticated")


@pytest.mark.parametrize("by", ["cookie", "token"])
async def test_logging_out_ends_the_session_for_token_and_cookie(api: Api, by: str) -> None:
    bearer = {"Authorization": f"Bearer {(await log_in(api)).json()['access_token']}"}
    cookie = dict(api.client.cookies)["chat_session"]
    answer = await api.client.post("/api/logout", headers={"Origin": ORIGIN} if by == "cookie" else bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert not api.client.cookies
    assert error_of(await api.client.get("/api/rooms", headers=bearer)) == (401, "unauthenticated")
    old = {"Origin": ORIGIN, "Cookie": f"chat_session={cookie}"}
    assert error_of(await api.client.post("/api/token", headers=old)) == (401, "unauthenticated")


async def test_logging_out_without_being_signed_in_is_refused(api: Api) -> None:
    assert error_of(await api.client.post("/api/logout")) == (401, "unauthenticated")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Bearer " + "a" * 9000])
async def test_what_is_no_token_is_refused_without_being_repeated(api: Api, authorization: str) -> None:
    answer = await api.client.get("/api/rooms", headers={"Authorization": authorization})
    assert error_of(answer) == (401, "unauthenticated")
    assert "aaaa" not in answer.text
    assert "WWW-Authenticate" in answer.headers


async def test_a_token_in_the_query_does_not_count(api: Api) -> None:
    token: Any = (await log_in(api)).json()["access_token"]
    assert error_of(await api.client.get("/api/rooms", params={"access_token": token})) == (401, "unauthenticated")


async def test_a_user_is_found_by_the_whole_name(api: Api) -> None:
    alice, bob = await api.signed_in("Alice"), await api.signed_in("Bob Świątek")
    answer = await api.client.get("/api/users", params={"name": " bob świątek "}, headers=alice)
    assert answer.json() == {"user": {"id": (await api.identity(bob)).user.id, "name": "Bob Świątek"}}
    assert error_of(await api.client.get("/api/users", params={"name": "bob"}, headers=alice)) == (404, "not_found")
    assert error_of(await api.client.get("/api/users", params={"name": ""}, headers=alice)) == (400, "invalid")
    assert error_of(await api.client.get("/api/users", headers=alice)) == (400, "invalid")
    assert error_of(await api.client.get("/api/users?name=Alice")) == (401, "unauthenticated")

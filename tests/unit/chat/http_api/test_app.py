"""What holds for every path: bodies, methods, headers, documents, health, the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
import trio

from chat.domain.errors import Unavailable
from chat.http_api.admin import AdminApi
from chat.http_api.app import ENDPOINTS, create_app
from chat.http_api.health import Phase, Readiness
from chat.http_api.routing import Access
from chat.http_api.settings import HttpSettings
from chat.http_api.site import Site
from tests.support.services import open_world
from tests.unit.chat.http_api.conftest import Api, OpenApi

JSON = {"Content-Type": "application/json"}


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"name"',
        b'{"name": "Alice"}',
        b'{"name": 5, "password": "correct horse"}',
        b'{"name": null, "password": "correct horse"}',
        b'{"name": "\\ud800", "password": "correct horse"}',
        b'{"name": "\xff", "password": "correct horse"}',
        b'\xef\xbb\xbf{"name": "Alice", "password": "correct horse"}',
        b'{"name": "Alice", "password": "correct horse"} x',
        b'{"name": NaN, "password": "correct horse"}',
        b'{"x": ' + b"[" * 60_000,
        b'{"x": ' + b'{"x":' * 10_000,
        b'{"name": "Alice", "x": 1e99999',
    ],
)
async def test_a_body_that_is_not_what_it_must_be_is_refused(api: Api, body: bytes) -> None:
    answer = await api.client.post("/api/register", content=body, headers=JSON)
    assert error_of(answer) == (400, "invalid")
    assert answer.json()["error"]["message"].startswith("body: ")


async def test_the_error_names_the_field(api: Api) -> None:
    answer = await api.client.post("/api/register", json={"name": 5, "password": "correct horse"})
    assert answer.json()["error"] == {
        "code": "invalid",
        "message": "body: name: expected str, got int",
        "retryable": False,
    }


async def test_unknown_fields_are_ignored(api: Api) -> None:
    body = {"name": "Alice", "password": "correct horse", "admin": True, "id": "1", "__proto__": {}}
    assert (await api.client.post("/api/register", json=body)).status_code == 201


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_a_form_of_another_site_is_no_json(api: Api, kind: str | None) -> None:
    body = b'{"name": "Alice", "password": "correct horse"}'
    headers = {"Content-Type": kind} if kind is not None else {}
    assert error_of(await api.client.post("/api/login", content=body, headers=headers)) == (400, "invalid")


async def test_json_may_say_its_charset(api: Api) -> None:
    body = b'{"name": "Alice", "password": "correct horse"}'
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await api.client.post("/api/register", content=body, headers=headers)).status_code == 201


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/api/rooms/", "/metrics", "/admin/", "/debug", "/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "BREW"])
async def test_what_is_not_there_is_404(api: Api, method: str, path: str) -> None:
    assert error_of(await api.client.request(method, path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/rooms", "GET, HEAD, POST"),
        ("GET", "/api/login", "POST"),
        ("OPTIONS", "/api/login", "POST"),
        ("POST", "/api/rooms/x/members/y", "DELETE, PUT"),
        ("POST", "/api/openapi.json", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
    ],
)
async def test_another_method_is_405_and_told_which_there_are(api: Api, method: str, path: str, allowed: str) -> None:
    answer = await api.client.request(method, path)
    assert error_of(answer) == (405, "invalid")
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_every_endpoint_asks_who_is_there_before_anything_else(api: Api, endpoint: object) -> None:
    method, path, access = endpoint.method, endpoint.path, endpoint.access  # type: ignore[attr-defined]
    answer = await api.client.request(method, re.sub(r"\{\w+\}", "x", path), content=b"not json", headers=JSON)
    assert error_of(answer) == ((400, "invalid") if access is Access.OPEN else (401, "unauthenticated"))


@pytest.mark.parametrize(
    "path", ["/api/rooms", "/api/docs", "/api/openapi.json", "/", "/nothing", "/healthz", "/readyz"]
)
async def test_every_answer_carries_the_security_headers(api: Api, path: str) -> None:
    headers = (await api.client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


async def test_a_page_of_an_allowed_origin_may_use_the_api(open_api: OpenApi) -> None:
    api = await open_api(allowed_origins=("https://app.example.com",))
    asked = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = await api.client.options("/api/rooms", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    answer = await api.client.options("/api/rooms", headers=asked | {"Origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_of_another_origin_may_not(api: Api) -> None:
    answer = await api.client.get("/api/rooms", headers={"Origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_the_openapi_document_describes_every_endpoint(api: Api) -> None:
    document = (await api.client.get("/api/openapi.json")).json()
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    endpoints = [*ENDPOINTS, *AdminApi(api.node).endpoints]
    assert described == {(endpoint.method, endpoint.path) for endpoint in endpoints}
    assert all(operation["summary"] for methods in document["paths"].values() for operation in methods.values())
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    create = document["paths"]["/api/rooms"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/NewRoom")
    assert set(create["responses"]) == {"201", "default"}
    [room] = document["paths"]["/api/rooms/{room}/join"]["post"]["parameters"]
    assert (room["name"], room["in"]) == ("room", "path")


async def test_the_page_of_the_api_needs_nothing_from_elsewhere(api: Api) -> None:
    answer = await api.client.get("/api/docs")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "/api/rooms/{room}/messages" in answer.text
    assert "<script" not in answer.text
    assert not re.search(r"(src|href)=\"(?!/)", answer.text)


async def test_health_is_answered_whatever_the_phase(api: Api) -> None:
    for phase in Phase:
        api.readiness.phase = phase
        answer = await api.client.get("/healthz")
        assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize(
    ("phase", "status", "text"),
    [(Phase.STARTING, 503, "starting\n"), (Phase.SERVING, 200, "ok\n"), (Phase.DRAINING, 503, "draining\n")],
)
async def test_traffic_is_welcome_while_the_node_serves(api: Api, phase: Phase, status: int, text: str) -> None:
    api.readiness.phase = phase
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_store_that_does_not_answer_is_not_ready(autojump_clock: trio.testing.MockClock, hangs: bool) -> None:
    async def probe() -> None:
        if hangs:
            await trio.sleep_forever()
        raise Unavailable("the disk is full")

    readiness = Readiness(probe)
    readiness.phase = Phase.SERVING
    assert await readiness.reason() == "the store does not answer"


async def test_asking_for_readiness_costs_the_store_one_read_a_second(autojump_clock: trio.testing.MockClock) -> None:
    reads = []

    async def probe() -> None:
        reads.append(trio.current_time())
        await trio.sleep(0.1)

    readiness = Readiness(probe)
    readiness.phase = Phase.SERVING
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(readiness.reason)
    assert len(reads) == 1
    await trio.sleep(1.5)
    assert await readiness.reason() is None
    assert len(reads) == 2


async def test_without_a_built_page_the_root_says_how_to_build_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, client_of(world.services, Site(tmp_path / "none")) as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "make build" in answer.text


async def test_the_built_page_is_served_and_hashed_files_are_kept(tmp_path: Path) -> None:
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>")
    (static / "assets" / "app-1a2b.js").write_text("start()")
    (static / ".hidden").write_text("x")
    (tmp_path / "token.key").write_text("secret")
    async with open_world(tmp_path / "data") as world, client_of(world.services, Site(static)) as client:
        page = await client.get("/")
        assert (page.text, page.headers["Content-Type"]) == ("<!doctype html>", "text/html; charset=utf-8")
        assert page.headers["Cache-Control"] == "no-cache"
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        again = await client.get("/", headers={"If-None-Match": page.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        script = await client.get("/assets/app-1a2b.js")
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert "immutable" in script.headers["Cache-Control"]
        for path in ("/.hidden", "/../token.key", "/assets/../../token.key", "/%2e%2e/token.key", "//etc/passwd"):
            assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("accepted", "coding", "content"),
    [
        ("gzip, deflate, br, zstd", "br", b"brotli"),
        ("gzip;q=1.0, br; q=0.0", "gzip", b"gzip"),
        ("BR", "br", b"brotli"),
        ("", None, b"start()"),
        ("identity, br;q=0", None, b"start()"),
    ],
)
async def test_who_accepts_a_compressed_file_gets_it(
    tmp_path: Path, accepted: str, coding: str | None, content: bytes
) -> None:
    for name, stored in (("app.js", b"start()"), ("app.js.br", b"brotli"), ("app.js.gz", b"gzip")):
        (tmp_path / name).write_bytes(stored)
    async with open_world(tmp_path / "data") as world, client_of(world.services, Site(tmp_path)) as client:
        asked = client.build_request("GET", "/app.js", headers={"Accept-Encoding": accepted})
        answer = await client.send(asked, stream=True)
        assert b"".join([data async for data in answer.aiter_raw()]) == content
        assert answer.headers.get("Content-Encoding") == coding
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert answer.headers["Content-Type"].startswith("text/javascript")
        known = {"Accept-Encoding": accepted, "If-None-Match": answer.headers["ETag"]}
        assert (await client.get("/app.js", headers=known)).status_code == 304
        assert (await client.get("/app.js.br")).status_code == 404


async def test_the_operators_page_is_the_same_file_and_no_other_path_is_a_page(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    async with open_world(tmp_path / "data") as world, client_of(world.services, Site(tmp_path)) as client:
        page = await client.get("/admin")
        assert (page.status_code, page.text) == (200, "<!doctype html>")
        for path in ("/admin/", "/admin/users", "/room/1", "/index.html"):
            assert error_of(await client.get(path)) == (404, "not_found"), path


async def test_the_page_may_run_nothing_but_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    async with open_world(tmp_path / "data") as world, client_of(world.services, Site(tmp_path)) as client:
        policy = (await client.get("/")).headers["Content-Security-Policy"]
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'"} <= set(policy.split("; "))
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy


def client_of(services: object, site: Site) -> httpx.AsyncClient:
    async def probe() -> None: ...

    app = create_app(services, HttpSettings(), Readiness(probe), site)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://chat.test")

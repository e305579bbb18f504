"""Where the server sends a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from chat.client.credentials import Credentials
from chat.client.errors import ConnectionLost, ProtocolViolation
from chat.client.http import HttpApi, Route
from chat.client.way import Way
from chat.domain.errors import ChatError, Forbidden, NotFound, RateLimited, Unauthenticated


class Server(HttpApi):
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__("http://chat.test")
        self.answers: list[Route | ChatError] = []
        self.asked: list[tuple[str, str, str]] = []

    async def route(self, token: str, region: str, resume: str) -> Route:
        self.asked.append((token, region, resume))
        answer = self.answers.pop(0)
        if isinstance(answer, ChatError):
            raise answer
        return answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server


def way_of(server: Server, url: str = "http://chat.test/below") -> Way:
    return Way(urlsplit(url), server, Credentials(server, token="t"), "eu")


async def test_the_answer_is_the_next_server(server: Server) -> None:
    server.answers = [Route("wss://node-1.test:444/ws", "r"), Route("ws://node-2.test/below/ws", "r")]
    way = way_of(server)
    assert (await way.find()).geturl() == "https://node-1.test:444"
    assert (await way.find()).geturl() == "http://node-2.test/below"


async def test_the_way_back_leads_to_where_it_was_let_in_and_is_tried_once(server: Server) -> None:
    server.answers = [Route("ws://node.test/ws", f"r{number}") for number in range(4)]
    way = way_of(server)
    await way.find()
    await way.find()
    way.arrived()
    await way.find()
    await way.find()
    assert server.asked == [("t", "eu", resume) for resume in ("", "", "r1", "")]


async def test_a_node_that_is_alone_is_not_asked_again(server: Server) -> None:
    server.answers = [Route("ws://what-a-proxy-hides/ws", "r", alone=True)]
    way = way_of(server)
    assert [(await way.find()).geturl() for _ in range(2)] == ["http://chat.test/below"] * 2
    assert len(server.asked) == 1


async def test_a_server_that_knows_no_nodes_is_the_node(server: Server) -> None:
    server.answers = [NotFound("there is nothing at this path")]
    assert (await way_of(server).find()).geturl() == "http://chat.test/below"


@pytest.mark.parametrize(
    "url", ["", "ws://", "http://node.test/ws", "javascript:alert(1)", "ws://node.test:x/ws", "ws://[::1/ws"]
)
async def test_what_is_no_address_of_a_socket_is_refused(server: Server, url: str) -> None:
    server.answers = [Route(url, "r")]
    with pytest.raises(ProtocolViolation):
        await way_of(server).find()


async def test_who_came_by_tls_is_not_led_away_from_it(server: Server) -> None:
    server.answers = [Route("ws://node.test/ws", "r")]
    with pytest.raises(ProtocolViolation):
        await way_of(server, "https://chat.test").find()


async def test_a_refusal_is_tried_again_if_that_can_help(server: Server) -> None:
    server.answers = [RateLimited("slow down", retry_after=7), Forbidden("no"), Unauthenticated("no")]
    with pytest.raises(ConnectionLost) as lost:
        await way_of(server).find()
    assert lost.value.retry_after == 7
    with pytest.raises(Forbidden):
        await way_of(server).find()
    with pytest.raises(Unauthenticated):  # a bare token cannot be replaced
        await way_of(server).find()

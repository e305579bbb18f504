"""The port for metrics and health: who gets what, and what keeps it from opening."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from chat.config import ChatConfig
from chat.http_api.admin_port import create_admin_app, serve_admin_port
from chat.http_api.health import Phase, Readiness
from chat.metrics.exposition import Exposition
from chat.metrics.families import counter
from gateway_core import AddressUnavailable
from tests.support.processes import free_port

SECONDS = 60.0


class Machine:
    """Something that looks after the node."""

    client: httpx.AsyncClient

    def __init__(self) -> None:
        self.readiness = Readiness(trio.lowlevel.checkpoint)
        self.things = 0


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    found = Machine()
    exposition = Exposition([lambda: [counter("things", "Things.", found.things)]])
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            app = create_admin_app(exposition, found.readiness)
            host, port = await nursery.start(serve_admin_port, app, "127.0.0.1", 0)
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=SECONDS) as found.client:
                yield found
            nursery.cancel_scope.cancel()


async def test_every_scrape_is_of_its_moment(machine: Machine) -> None:
    for machine.things in (1, 2):
        answer = await machine.client.get("/metrics")
        assert answer.status_code == 200
        assert f"chat_gateway_things_total {machine.things}.0" in answer.text.splitlines()


async def test_readiness_follows_the_phase_of_the_node(machine: Machine) -> None:
    for phase, status in ((Phase.STARTING, 503), (Phase.SERVING, 200), (Phase.DRAINING, 503)):
        machine.readiness.phase = phase
        assert (await machine.client.get("/readyz")).status_code == status
        assert (await machine.client.get("/healthz")).status_code == 200


async def test_nothing_else_is_there(machine: Machine) -> None:
    assert (await machine.client.get("/")).status_code == 404
    assert (await machine.client.get("/metrics/x")).status_code == 404
    assert (await machine.client.post("/metrics")).status_code == 405


async def test_a_port_that_is_taken_is_named() -> None:
    app = create_admin_app(Exposition([]), Readiness(trio.lowlevel.checkpoint))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=rf"127\.0\.0\.1:{port} \(admin_port\)"):
            await serve_admin_port(app, "127.0.0.1", port)


async def test_a_host_that_is_none_is_named() -> None:
    app = create_admin_app(Exposition([]), Readiness(trio.lowlevel.checkpoint))
    with pytest.raises(AddressUnavailable, match=r"192\.0\.2\.1"):
        await serve_admin_port(app, "192.0.2.1", free_port())


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="admin_port must be between 0 and 65535"):
        ChatConfig(admin_port=port)

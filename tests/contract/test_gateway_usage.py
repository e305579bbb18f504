"""What the caller must not do raises `UsageError` at once, on both backends alike."""

from __future__ import annotations

import pytest
import trio

from gateway_core import AddressUnavailable, UsageError
from gateway_core.gateway import Opened
from tests.support.gateways import Application, Backend, Gateways, open_application
from tests.support.raw_peer import WAIT_SECONDS, request


async def test_a_second_waiter_for_events_is_a_usage_error(gateways: Gateways) -> None:
    async with gateways() as app, trio.open_nursery() as nursery:
        nursery.start_soon(app.gateway.receive_events)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(UsageError):
            await app.gateway.receive_events()
        nursery.cancel_scope.cancel()


async def test_waiting_for_events_after_the_block_is_a_usage_error(gateways: Gateways) -> None:
    async with gateways() as app:
        pass
    with trio.fail_after(WAIT_SECONDS), pytest.raises(UsageError):
        await app.gateway.receive_events()


async def test_who_waits_for_events_when_the_block_ends_gets_a_usage_error(gateways: Gateways) -> None:
    async def wait(app: Application) -> None:
        with pytest.raises(UsageError):
            await app.gateway.receive_events()

    async with trio.open_nursery() as nursery:
        async with gateways() as app:
            nursery.start_soon(wait, app)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.deadline = trio.current_time() + WAIT_SECONDS
    assert not nursery.cancel_scope.cancelled_caught


async def test_after_a_cancelled_waiter_another_may_wait(gateways: Gateways) -> None:
    async with gateways() as app:
        with trio.move_on_after(0):
            await app.gateway.receive_events()
        async with app.knock():
            pass


@pytest.mark.parametrize("position", [-1, 2**64])
async def test_a_position_that_is_no_u64_is_a_usage_error(gateways: Gateways, position: int) -> None:
    async with gateways() as app, app.connect("room"):
        with pytest.raises(UsageError):
            app.gateway.publish("room", {"": "x"}, position=position)


async def test_the_largest_position_is_legal(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("room") as (peer, _):
        app.gateway.publish("room", {"": "x"}, position=2**64 - 1)
        assert await peer.message() == "x"


async def test_a_topic_has_at_most_256_bytes(gateways: Gateways) -> None:
    async with gateways() as app, app.connect("ä" * 128) as (_, connection):
        for command in (app.gateway.subscribe, app.gateway.unsubscribe):
            with pytest.raises(UsageError):
                command(connection, "ä" * 128 + "x")
        with pytest.raises(UsageError):
            app.gateway.publish("x" * 257, {})


async def test_accepting_twice_is_a_usage_error(gateways: Gateways) -> None:
    async with gateways() as app, app.connect() as (_, connection):
        with pytest.raises(UsageError):
            app.gateway.accept(connection)
        with pytest.raises(UsageError):
            app.gateway.reject(connection, 403)


async def test_using_a_connection_before_its_verdict_is_a_usage_error(gateways: Gateways) -> None:
    async with gateways() as app, app.knock() as (_, opened):
        gateway, connection = app.gateway, opened.connection
        with pytest.raises(UsageError):
            gateway.send(connection, "early")
        with pytest.raises(UsageError):
            gateway.subscribe(connection, "room")
        with pytest.raises(UsageError):
            gateway.unsubscribe(connection, "room")
        with pytest.raises(UsageError):
            gateway.close(connection)


async def test_an_address_in_use_is_reported(backend: Backend, gateways: Gateways) -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        with pytest.raises(AddressUnavailable):
            async with open_application(backend, port=taken.getsockname()[1]):
                pass


async def test_gateways_that_share_a_port_are_dealt_the_connections(backend: Backend) -> None:
    async with (
        open_application(backend, share_port=True) as first,
        open_application(backend, share_port=True, port=first.gateway.address[1]) as second,
        trio.open_nursery() as nursery,
    ):
        assert second.gateway.address == first.gateway.address
        served: set[str] = set()

        async def take(name: str, app: Application) -> None:
            while True:
                for event in await app.gateway.receive_events():
                    if isinstance(event, Opened):
                        served.add(name)
                        app.gateway.reject(event.connection, 403)

        nursery.start_soon(take, "first", first)
        nursery.start_soon(take, "second", second)
        with trio.fail_after(WAIT_SECONDS):
            while len(served) < 2:
                async with first.peer() as peer:
                    await peer.send(request())
                    assert (await peer.response()).status == 403
        nursery.cancel_scope.cancel()


async def test_a_port_is_not_shared_with_who_did_not_agree(backend: Backend, gateways: Gateways) -> None:
    async with gateways() as app:
        with pytest.raises(AddressUnavailable):
            async with open_application(backend, share_port=True, port=app.gateway.address[1]):
                pass


async def test_an_address_of_another_machine_is_reported(backend: Backend) -> None:
    with pytest.raises(AddressUnavailable):
        async with open_application(backend, host="192.0.2.1"):
            pass

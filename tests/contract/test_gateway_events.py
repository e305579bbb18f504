"""`receive_events`: batches, order, and that cancelling it loses nothing."""

from __future__ import annotations

import random

import trio
import trio.testing

from gateway_core import Closed, Event, Opened, Received
from tests.support.gateways import Gateways
from tests.support.raw_peer import TEXT, WAIT_SECONDS, RawPeer, frame

COUNT = 2_000
FAST = {"max_messages_per_second": 1e6, "message_burst": 10**6}


async def send_numbers(peer: RawPeer) -> None:
    for number in range(COUNT):
        await peer.send(frame(TEXT, str(number).encode()))


async def test_cancelling_at_any_moment_loses_nothing(gateways: Gateways) -> None:
    randomness = random.Random(1)
    async with gateways(**FAST) as app, app.connect() as (peer, _), trio.open_nursery() as nursery:
        nursery.start_soon(send_numbers, peer)
        received: list[int] = []
        cancelled = 0
        with trio.fail_after(WAIT_SECONDS):
            while len(received) < COUNT:
                with trio.move_on_after(randomness.choice((0, 0, 0.0001, 0.001))) as scope:
                    events = await app.gateway.receive_events()
                    received += [int(event.payload) for event in events if isinstance(event, Received)]
                cancelled += scope.cancelled_caught
        assert received == list(range(COUNT))
        assert cancelled


async def test_a_waiter_cancelled_as_events_come_loses_nothing(gateways: Gateways) -> None:
    """The cancellation and the events race for the waiter: whoever wins, the events are there."""
    async with gateways(**FAST) as app, app.connect() as (peer, _):
        received: list[int] = []

        async def wait(scope: trio.CancelScope) -> None:
            with scope:
                received.extend(
                    int(event.payload) for event in await app.gateway.receive_events() if isinstance(event, Received)
                )

        for number in range(200):
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()
                nursery.start_soon(wait, scope)
                await peer.send(frame(TEXT, str(number).encode()))
                scope.cancel()
        while len(received) < 200:
            received.append(int((await app.next(Received)).payload))
        assert received == list(range(200))


async def test_events_come_in_batches_of_at_most_4096(gateways: Gateways) -> None:
    async with gateways(message_burst=20_000, bytes_burst=10**9) as app, app.connect() as (peer, connection):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send, b"".join(frame(TEXT, b"x") for _ in range(10_000)))
        batches: list[list[Event]] = []
        with trio.fail_after(WAIT_SECONDS):
            while sum(map(len, batches)) < 10_000:
                batches.append(await app.gateway.receive_events())
        assert all(1 <= len(batch) <= 4_096 for batch in batches)
        assert all(
            event.connection == connection for batch in batches for event in batch if isinstance(event, Received)
        )


async def test_waiting_for_events_does_not_burn_the_processor(gateways: Gateways) -> None:
    async with gateways() as app, trio.open_nursery() as nursery:
        got: list[Event] = []

        async def wait() -> None:
            got.extend(await app.gateway.receive_events())

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        nursery.cancel_scope.cancel()


async def test_the_events_of_one_connection_keep_their_order(gateways: Gateways) -> None:
    async with gateways() as app, app.knock() as (peer, opened):
        app.gateway.accept(opened.connection)
        await peer.upgraded()
        await peer.send(*(frame(TEXT, str(number).encode()) for number in range(100)))
        await peer.aclose()
        events: list[Event] = []
        while not (events and isinstance(events[-1], Closed)):
            events.append(await app.next(Event, opened.connection))  # type: ignore[arg-type]
        assert [int(event.payload) for event in events[:-1] if isinstance(event, Received)] == list(range(100))
        assert not any(isinstance(event, Opened) for event in events)

"""What waits for a primary: together, in order, bounded, and for no longer than told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from chat.adapters.distributed import redis_lane
from chat.adapters.distributed.redis_call import Call
from chat.adapters.distributed.redis_command import Command
from chat.adapters.distributed.redis_errors import Away
from chat.adapters.distributed.redis_lane import TICKS, Lane, Part, Queue
from chat.domain.errors import Unavailable

DEADLINE_SECONDS = 0.4
Server = Callable[[Sequence[Command]], Any]


class Setup:
    """A lane to `server`, which gets the commands of each pipeline and gives the replies, or raises."""

    def __init__(self) -> None:
        self.pipelines: list[list[str]] = []
        self.server: Server = lambda commands: [command.key for command in commands]
        self.lane = Lane("a:1", self._send, deadline_seconds=DEADLINE_SECONDS, on_moved=print, on_change=lambda: None)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        await trio.lowlevel.checkpoint()
        self.pipelines.append([command.key for command in commands])
        replies: list[Any] = self.server(commands)
        if replies == ["mute"]:
            await trio.sleep_forever()
        return replies

    async def ask(self, *keys: str, again: bool = True) -> list[Any]:
        call = Call([Command(key, "GET", key, again=again) for key in keys], 0)
        self.lane.put(Part(call, range(len(keys))))
        return await call.replies()

    async def tick(self) -> None:
        while True:
            await trio.sleep(DEADLINE_SECONDS / TICKS)
            self.lane.tick()


@asynccontextmanager
async def opened() -> AsyncIterator[Setup]:
    setup = Setup()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.lane.run)
        nursery.start_soon(setup.tick)
        yield setup
        nursery.cancel_scope.cancel()


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    async with opened() as setup:
        yield setup


def away(_commands: Sequence[Command]) -> list[Any]:
    raise Away("the connection broke")


def mute(_commands: Sequence[Command]) -> list[Any]:
    return ["mute"]


def refusals(replies: Sequence[Any]) -> list[bool]:
    return [isinstance(reply, Unavailable) for reply in replies]


async def test_what_waits_leaves_together_and_in_order(setup: Setup) -> None:
    answers: dict[int, list[Any]] = {}

    async def ask(number: int) -> None:
        answers[number] = await setup.ask(f"{number} a", f"{number} b")

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ask, number)
    assert answers == {number: [f"{number} a", f"{number} b"] for number in range(20)}
    assert len(setup.pipelines) <= 2
    sent = [key for pipeline in setup.pipelines for key in pipeline]
    assert all(sent.index(f"{number} a") + 1 == sent.index(f"{number} b") for number in range(20))


async def test_what_is_woken_by_a_caller_leaves_with_it(setup: Setup) -> None:
    async def follow(start: trio.Event) -> None:
        await start.wait()
        await setup.ask("follower")

    for _ in range(20):
        start = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, start)
            await trio.testing.wait_all_tasks_blocked()
            start.set()
            await setup.ask("leader")
    assert setup.pipelines == [["leader", "follower"]] * 20


async def test_one_call_is_one_pipeline_however_large(setup: Setup) -> None:
    keys = [f"{number}" for number in range(3 * redis_lane._MAX_FLUSH_COMMANDS)]
    assert await setup.ask(*keys) == keys
    assert setup.pipelines == [keys]


async def test_what_nobody_waits_for_any_more_is_not_sent(setup: Setup) -> None:
    with trio.move_on_after(0):
        await setup.ask("given up")
    assert await setup.ask("b") == ["b"]
    assert setup.pipelines == [["b"]]


async def test_a_broken_connection_costs_what_may_not_be_sent_again(setup: Setup) -> None:
    replies: dict[bool, list[Any]] = {}

    async def ask(again: bool) -> None:
        replies[again] = await setup.ask("a", again=again)

    setup.server = away
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, True)
        nursery.start_soon(ask, False)
        await trio.sleep(0.01)
        setup.server = lambda commands: ["value"] * len(commands)
    assert replies[True] == ["value"]
    assert refusals(replies[False]) == [True]


async def test_while_the_server_is_away_all_is_refused_and_one_probe_at_a_time_looks(
    setup: Setup, autojump_clock: trio.testing.MockClock
) -> None:
    setup.server = away
    assert refusals(await setup.ask("a", "b")) == [True, True]
    assert not setup.lane.is_up
    before = trio.current_time()
    for _ in range(1000):
        assert refusals(await setup.ask("a")) == [True]
    assert trio.current_time() == before
    await trio.sleep(60)
    assert 60 < len(setup.pipelines) < 130
    setup.server = lambda commands: ["here"] * len(commands)
    await trio.sleep(1)
    assert setup.lane.is_up
    assert await setup.ask("a") == ["here"]


async def test_a_mute_server_costs_one_deadline_and_then_nothing(
    setup: Setup, autojump_clock: trio.testing.MockClock
) -> None:
    setup.server = mute
    before = trio.current_time()
    assert refusals(await setup.ask("a")) == [True]
    assert trio.current_time() - before <= DEADLINE_SECONDS
    before = trio.current_time()
    assert refusals(await setup.ask("a")) == [True]
    assert trio.current_time() == before


async def test_what_waits_behind_a_mute_pipeline_is_bounded(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_lane, "MAX_WAITING_COMMANDS", 50)
    setup.server = mute
    refused = 0

    async def ask() -> None:
        nonlocal refused
        [reply] = await setup.ask("a")
        refused += "too many" in reply.message

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(0.01)  # that one is under way
        for _ in range(100):
            nursery.start_soon(ask)
    assert refused == 49


async def test_waiting_commands_are_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_lane, "MAX_WAITING_BYTES", 1000)
    queue = Queue(is_up=False)
    calls = [Call([Command("k", "SET", "k", b"x" * 600)], 0) for _ in range(3)]
    for call in calls:
        queue.put(Part(call, [0]))
    assert [call.is_over for call in calls] == [False, False, True]


async def test_where_nobody_owns_it_a_command_waits_for_one_deadline() -> None:
    queue = Queue(is_up=False)
    early, late = Call([Command("k", "GET")], 0), Call([Command("k", "GET")], 0)
    queue.put(Part(early, [0]))
    for _ in range(TICKS):
        assert not early.is_over
        queue.tick()
    queue.put(Part(late, [0]))
    assert early.is_over
    assert late.is_over


async def test_a_closed_lane_gives_back_what_may_be_asked_elsewhere(setup: Setup) -> None:
    setup.server = mute
    calls = [Call([Command("k", "GET", again=again)], 0) for again in (True, False, True, False)]
    for call in calls[:2]:
        setup.lane.put(Part(call, [0]))
    await trio.sleep(0.01)  # under way
    for call in calls[2:]:
        setup.lane.put(Part(call, [0]))
    assert [part.call for part in setup.lane.close()] == [calls[0], calls[2], calls[3]]
    assert refusals(await calls[1].replies()) == [True]


async def test_answers_that_come_too_late_are_for_nobody() -> None:
    call = Call([Command("a", "GET"), Command("b", "GET")], 0)
    call.answer(0, "a")
    call.fail("too late")
    call.answer(1, "b")
    first, second = await call.replies()
    assert first == "a"
    assert isinstance(second, Unavailable)

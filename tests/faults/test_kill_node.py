"""A node that dies under load, again and again: no acknowledged message is lost, and clients go on by themselves."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
import trio

from tests.support.history_checker import History
from tests.support.node_process import Node, node_process
from tests.support.publishers import Crowd, crowd
from tests.support.suffering import NO_RATES, QUICK

ACKED_PER_ROUND = 400
"""Acknowledged messages between two faults: every fault hits clients that had recovered from the last."""


async def run_crowd(directory: Path, faults: list[signal.Signals], *arguments: str) -> tuple[History, Crowd]:
    """Sends one signal after the other to the node that a crowd talks to, each time starting it again."""
    history = History()
    async with trio.open_nursery() as nursery:
        people, port = None, 0
        for fault in [*faults, None]:
            async with node_process(directory, "--port", f"{port}", *NO_RATES, *arguments) as node:
                if people is None:
                    port = node.port
                    people = await nursery.start(talk, node.url, history)
                await people.until_acked(ACKED_PER_ROUND)
                if fault is None:
                    await people.finish()
                else:
                    await trio.sleep(random.uniform(0, 0.5))  # any moment may be the wrong one
                    await break_node(node, fault)
                    history.faults += 1
        nursery.cancel_scope.cancel()
        assert people is not None
        return history, people


async def talk(url: str, history: History, *, task_status: trio.TaskStatus[Crowd]) -> None:
    async with crowd(url, history, QUICK) as people:
        task_status.started(people)
        await trio.sleep_forever()


async def break_node(node: Node, fault: signal.Signals) -> None:
    node.send_signal(fault)
    assert await node.wait() == (-fault if fault is signal.SIGKILL else 0)


def judge(history: History, rounds: int) -> None:
    history.check(min_acked=(rounds + 1) * ACKED_PER_ROUND, min_faults=rounds)


@pytest.mark.slow
async def test_no_acknowledged_message_is_lost_when_a_node_is_killed(tmp_path: Path, fault_rounds: int) -> None:
    history, people = await run_crowd(tmp_path, [signal.SIGKILL] * fault_rounds)
    judge(history, fault_rounds)
    assert len(people.outages) >= fault_rounds, "every kill was felt"


@pytest.mark.slow
async def test_a_planned_restart_loses_nothing_and_sends_clients_away_politely(
    tmp_path: Path, fault_rounds: int
) -> None:
    rounds = max(1, fault_rounds // 4)
    history, people = await run_crowd(tmp_path, [signal.SIGTERM] * rounds, "--shutdown-seconds", "4")
    judge(history, rounds)
    assert sum("4001" in why for why in people.outages) >= rounds

"""`chat-gateway connect` as a person or a script uses it: keys in, text out."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from chat.client import open_client, register
from tests.support.node_process import ROOT, Node, node_process

PASSWORD = "correct horse"
SECONDS = 60.0


class Terminal:
    """A running `connect`."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.output = ""
        self.errors = ""
        self._news = trio.Event()

    async def type(self, text: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(text.encode())

    async def end_input(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    async def until(self, pattern: str) -> None:
        """Returns when something like that was printed, on either stream."""
        with trio.fail_after(SECONDS):
            while not re.search(pattern, self.output + self.errors):
                self._news = trio.Event()
                await self._news.wait()

    async def wait(self) -> int:
        with trio.fail_after(SECONDS):
            return await self.process.wait()

    async def read(self, stream: trio.abc.ReceiveStream, name: str) -> None:
        async for data in stream:
            setattr(self, name, getattr(self, name) + data.decode())
            self._news.set()


@asynccontextmanager
async def terminal(node: Node, *arguments: str, password: str | None = PASSWORD) -> AsyncIterator[Terminal]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("CHAT_PASSWORD", None)
    if password is not None:
        environment["CHAT_PASSWORD"] = password
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "chat.cli", "connect", "--url", node.url, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    running = Terminal(process)
    assert process.stdout is not None
    assert process.stderr is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running.read, process.stdout, "output")
        nursery.start_soon(running.read, process.stderr, "errors")
        try:
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


@asynccontextmanager
async def lobby(directory: Path) -> AsyncIterator[tuple[Node, str]]:
    """A node with Ada and Bob, and the id of a room called Lobby with one message of Bob's."""
    async with node_process(directory) as node:
        for name in ("ada", "bob"):
            await register(node.url, name, PASSWORD)
        async with open_client(node.url, name="bob", password=PASSWORD) as bob:
            info = await bob.create_room("Lobby")
            await (await bob.join(info.id)).publish("welcome \x1b[31m\x07stranger")
        yield node, info.id


async def test_two_people_chat_in_a_room_found_by_its_name(tmp_path: Path) -> None:
    async with (
        lobby(tmp_path) as (node, room),
        terminal(node, "lobby", "--name", "ada") as ada,
        terminal(node, room, "--name", "bob") as bob,
    ):
        await ada.until("You are in Lobby")
        await ada.until(r"\d\d:\d\d bob: welcome \[31mstranger\n")
        await bob.until("connected")
        await ada.type("hello\n//slash\n")
        await bob.until(r"ada: hello\n(.*\n)*\d\d:\d\d ada: /slash\n")  # who came may be told in between
        await bob.type("hi\n/who\n/help\n/nonsense\n")
        await ada.until("bob: hi")
        await bob.until("there is no command /nonsense")
        await bob.until(r"\d online")
        await bob.until("who is online")
        await bob.type("/quit\n")
        assert await bob.wait() == 0
        await ada.end_input()
        assert await ada.wait() == 0
        assert "\x1b" not in ada.output


async def test_the_first_to_come_makes_account_and_room(tmp_path: Path) -> None:
    async with node_process(tmp_path) as node:
        for name in ("ada", "bob"):
            async with terminal(node, "Lobby", "--create", "--register", "--name", name) as newcomer:
                await newcomer.until("You are in Lobby")
                await newcomer.type("I am here\n")
                await newcomer.end_input()
                assert await newcomer.wait() == 0
                assert newcomer.output.count("I am here") == (1 if name == "ada" else 2)


async def test_a_pipe_is_sent_to_its_end(tmp_path: Path) -> None:
    async with lobby(tmp_path) as (node, room), terminal(node, room, "--name", "ada") as ada:
        await ada.type("".join(f"line {number}\n" for number in range(20)))
        await ada.end_input()
        assert await ada.wait() == 0
        assert [line[11:] for line in ada.output.splitlines() if "line" in line] == [
            f"line {number}" for number in range(20)
        ]


async def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    async with lobby(tmp_path) as (node, room):
        cases: list[tuple[list[str], str | None, int, str]] = [
            (["no such room", "--name", "ada"], PASSWORD, 1, "no room with the id or name no such room"),
            ([room, "--name", "ada"], "wrong password", 1, "password"),
            ([room, "--name", "ada"], None, 1, "CHAT_PASSWORD"),
            ([room, "--url", "ftp://x"], PASSWORD, 2, "ftp://x"),
            ([room, "--name", "ada", "--register"], PASSWORD, 1, "taken"),
        ]
        for arguments, password, code, words in cases:
            async with terminal(node, *arguments, password=password) as failing:
                assert await failing.wait() == code
                await failing.until(words)
                assert failing.errors.splitlines()[-1].startswith("chat-gateway: ")
                assert "Traceback" not in failing.errors


async def test_a_restart_of_the_node_is_told_and_survived(tmp_path: Path) -> None:
    async with lobby(tmp_path) as (node, room), terminal(node, room, "--name", "ada") as ada:
        await ada.until("You are in")
        await node.kill()
        await ada.until("not connected")
        await ada.type("typed while it was away\n")
        async with node_process(tmp_path, "--port", str(node.port)):
            await ada.until("ada: typed while it was away")
            await ada.type("/quit\n")
            assert await ada.wait() == 0
            assert ada.errors.count("not connected") == 1


async def test_quit_does_not_wait_for_a_node_that_stays_away(tmp_path: Path) -> None:
    async with lobby(tmp_path) as (node, room), terminal(node, room, "--name", "ada") as ada:
        await ada.until("You are in")
        await node.kill()
        await ada.until("not connected")
        await ada.type("never\n/quit\n")
        assert await ada.wait() == 1
        await ada.until("1 of your lines were not sent")


async def test_an_interrupt_ends_it_without_a_trace(tmp_path: Path) -> None:
    async with lobby(tmp_path) as (node, room), terminal(node, room, "--name", "ada") as ada:
        await ada.until("You are in")
        ada.process.send_signal(signal.SIGINT)
        assert await ada.wait() == 130
        assert "Traceback" not in ada.errors


async def test_a_terminal_asks_for_the_password_and_does_not_show_it(tmp_path: Path) -> None:
    async with lobby(tmp_path) as (node, room):
        master, slave = pty.openpty()
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "chat.cli", "connect", "--url", node.url, "--name", "ada", room],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={
                key: value for key, value in {**os.environ, "PYTHONPATH": str(ROOT)}.items() if key != "CHAT_PASSWORD"
            },
        )
        os.close(slave)
        shown = ""
        answers = {"Password of ada:": f"{PASSWORD}\n", "You are in": "from a terminal\n", "ada: from a": "\x04"}
        try:
            with trio.fail_after(SECONDS):
                while answers:
                    await trio.lowlevel.wait_readable(master)
                    shown += os.read(master, 4_096).decode()
                    for prompt in [prompt for prompt in answers if prompt in shown]:
                        os.write(master, answers.pop(prompt).encode())
                assert await process.wait() == 0
        finally:
            if process.poll() is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            os.close(master)
        assert PASSWORD not in shown

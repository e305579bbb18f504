"""How workers are kept: each test brings a program of its own in place of a node."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from chat.cli import workers
from chat.cli.workers import Supervisor
from chat.config import ChatConfig

SECONDS = 60.0
HEAD = """
import pathlib, sys, time
starts = pathlib.Path(sys.argv[1]) / sys.argv[sys.argv.index("--node") + 1]
with starts.open("a") as file:
    file.write(" ".join(sys.argv[2:]) + "\\n")
def listen():
    print("chat-gateway listening on http://127.0.0.1:1", flush=True)
is_first = len(starts.read_text().splitlines()) == 1
"""
Opener = Callable[..., Supervisor]


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """One whose workers run `HEAD`, then a text."""
    monkeypatch.setattr(workers, "_FIRST_PAUSE_SECONDS", 0.01)

    def opened(program: str, **settings: object) -> Supervisor:
        config = ChatConfig(workers=2, node="w", shards=("a=x",), redis="redis://x", **settings)  # type: ignore[arg-type]
        return Supervisor(config, [sys.executable, "-S", "-c", HEAD + program, str(tmp_path)], 7)

    return opened


def starts(directory: Path) -> dict[str, list[str]]:
    """The flags of each start of each worker."""
    return {path.name: path.read_text().splitlines() for path in sorted(directory.iterdir())}


async def test_if_the_first_does_not_come_up_the_others_are_not_tried(supervisor: Opener, tmp_path: Path) -> None:
    with trio.fail_after(SECONDS):
        assert await supervisor("sys.exit(2)").run() == 2
    assert {name: len(lines) for name, lines in starts(tmp_path).items()} == {"w-0": 1}


async def test_each_has_a_name_and_a_port_for_metrics_of_its_own(supervisor: Opener, tmp_path: Path) -> None:
    program = "listen()\nwhile not (starts.parent / 'w-1').exists(): time.sleep(0.01)\nsys.exit(3)"
    with trio.fail_after(SECONDS):
        assert await supervisor(program, admin_port=9100).run() == 3
    common = "--workers 1 --share-port --port 7"
    assert {name: lines[0] for name, lines in starts(tmp_path).items()} == {
        "w-0": f"{common} --node w-0 --admin-port 9100",
        "w-1": f"{common} --node w-1 --admin-port 9101",
    }


async def test_when_none_is_left_and_starting_one_keeps_failing_it_is_given_up(
    supervisor: Opener, tmp_path: Path
) -> None:
    with trio.fail_after(SECONDS):
        assert await supervisor("listen() if is_first else sys.exit(3)").run() == 3
    assert max(len(lines) for lines in starts(tmp_path).values()) >= 5


async def test_while_one_serves_the_other_is_tried_for_ever(
    supervisor: Opener, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = "if starts.name == 'w-0': listen(); sys.stdin.read(); sys.exit(7)\nelse: sys.exit(3)"
    codes: list[int] = []
    kept = supervisor(program)

    async def run() -> None:
        codes.append(await kept.run())

    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            while len(starts(tmp_path).get("w-1", ())) < 7:  # noqa: ASYNC110 -- a file tells nobody
                await trio.sleep(0.05)
            assert kept.serves
            os.kill(os.getpid(), signal.SIGTERM)
    assert codes == [1], "the program did not end well"
    assert "chat-gateway listening on http://127.0.0.1:1" in capfd.readouterr().out.splitlines()

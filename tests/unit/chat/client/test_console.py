"""Lines in, harmless text out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from chat.client.console import MAX_LINE_CHARACTERS, printable, read_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢 👩‍👩‍👧", "plain ä 漢 👩‍👩‍👧"),
        ("\x1b[2J\x1b]0;title\x07gone", "[2J]0;titlegone"),
        ("\x9b31mred", "31mred"),
        ("a\rb\x08c\x7f\x00", "abc"),
        ("first\n12:00 bob: not me\r\nend", "first ↵ 12:00 bob: not me ↵ end"),
        ("tab\tbed", "tab bed"),
        ("left\u202eright\u2066", "leftright"),
        ("line\u2028para\u2029", "linepara"),
        ("half \ud83d", "half "),
    ],
)
def test_text_of_others_cannot_command_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_whatever_is_printed_is_one_line_without_controls(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    shown.encode()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):  # closed by the test
            os.close(end)


async def lines_of(descriptor: int) -> list[str]:
    with trio.fail_after(20):
        async with aclosing(read_lines(descriptor)) as lines:
            return [line async for line in lines]


async def test_lines_come_out_of_a_pipe_however_they_were_written(pipe: tuple[int, int]) -> None:
    for piece in (b"on", b"e\r\ntw", "ö\n".encode()[:1], "ö\n".encode()[1:], b"\n\xff\nlast"):
        os.write(pipe[1], piece)
    os.close(pipe[1])
    assert await lines_of(pipe[0]) == ["one", "twö", "", "\ufffd", "last"]


async def test_waiting_for_a_line_lets_others_run_and_can_be_cancelled(pipe: tuple[int, int]) -> None:
    with trio.move_on_after(0.05) as scope:
        await lines_of(pipe[0])
    assert scope.cancelled_caught


async def test_a_line_without_end_is_cut(pipe: tuple[int, int]) -> None:
    total = 3 * MAX_LINE_CHARACTERS

    async def write() -> None:
        await trio.to_thread.run_sync(os.write, pipe[1], b"x" * total)
        os.close(pipe[1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        lines = await lines_of(pipe[0])
    assert sum(map(len, lines)) == total
    assert max(map(len, lines)) <= MAX_LINE_CHARACTERS + 4_096


async def test_a_file_is_read_like_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text("one\ntwo\n")
    with path.open() as file:
        assert await lines_of(file.fileno()) == ["one", "two"]

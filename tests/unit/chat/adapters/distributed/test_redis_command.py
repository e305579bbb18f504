"""The words of a command."""

from __future__ import annotations

import pytest

from chat.adapters.distributed.redis_command import Command, ScriptCommand
from chat.adapters.distributed.redis_scripts import load_script
from chat.adapters.distributed.redis_stream import pack


def test_words_are_bytes_whatever_is_in_them() -> None:
    command = Command("k", "SET", "kä", b"a\r\n$1", 7, 0.1)
    assert command.words == ("SET", "kä".encode(), b"a\r\n$1", b"7", b"0.1")
    assert command.size == 3 + 3 + 5 + 1 + 3
    assert pack("SET", "k", b"a\r\n$1", 7) == b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\n$1\r\n$1\r\n7\r\n"


def test_what_cannot_be_encoded_is_the_fault_of_its_caller() -> None:
    with pytest.raises(UnicodeEncodeError):
        Command("k", "SET", "k", "\ud800")


def test_a_script_is_named_by_its_hash_and_goes_along() -> None:
    script = load_script("take", "clock")
    command = ScriptCommand(script, ["a{x}", "b{x}"], 1)
    assert command.words == ("EVALSHA", script.sha.encode(), b"2", b"a{x}", b"b{x}", b"1")
    assert (command.key, command.script) == ("a{x}", script)

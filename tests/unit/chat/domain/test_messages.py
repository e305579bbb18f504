from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chat.domain.ids import is_id
from chat.domain.messages import MAX_BODY_BYTES, MAX_MENTIONS, mentions

VECTORS = Path(__file__).parents[3] / "vectors" / "mentions.json"


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text(encoding="utf-8")), ids=lambda vector: vector["text"])
def test_mentions_are_what_the_vectors_say(vector: dict[str, Any]) -> None:
    assert list(mentions(vector["text"])) == vector["names"]


def test_b43_a_message_mentions_so_many_and_no_more() -> None:
    assert len(mentions(" ".join(f"@name{number}" for number in range(1000)))) == MAX_MENTIONS


@pytest.mark.parametrize("piece", ["@", "a@", "@a", "@.-", "@[", "@[a", "\ud800"])
def test_no_text_takes_long_to_search(piece: str) -> None:
    """A search that backtracks would take minutes here."""
    assert len(mentions(piece * (MAX_BODY_BYTES // len(piece)))) <= 1


@pytest.mark.parametrize("text", ["a", "0", "_-", "a" * 32])
def test_an_id_is_short_lower_case_ascii(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "A", "a" * 33, "a b", "a\n", "ä", "١", "\0", "a/b", "a:b", "{a}", "\ud800"])
def test_b46_whatever_else_is_none(text: str) -> None:
    assert not is_id(text)

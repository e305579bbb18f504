"""The token key is made once, for its owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chat.token_key import load, load_or_make


def test_it_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    secret = load_or_make(tmp_path)
    assert len(secret) >= 64
    assert load_or_make(tmp_path) == secret
    assert stat.S_IMODE((tmp_path / "token.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token.key"]


def test_two_directories_have_two_keys(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load_or_make(tmp_path / "a") != load_or_make(tmp_path / "b")


def test_what_a_crash_left_half_written_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "token.new").write_bytes(b"half")
    assert len(load_or_make(tmp_path)) >= 64


@pytest.mark.parametrize("content", [b"", b"short\n"])
def test_a_damaged_key_is_refused_and_not_replaced_silently(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token.key").write_bytes(content)
    with pytest.raises(ValueError, match=r"token.key is damaged"):
        load_or_make(tmp_path)


def test_nodes_that_share_a_database_only_read_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^token_key: .* secrets"):
        load(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert load_or_make(tmp_path) == load(tmp_path)

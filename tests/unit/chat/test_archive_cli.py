"""`chat-gateway archive`, as far as it goes without a database."""

from __future__ import annotations

import sys

import pytest

from chat.cli.archive import _age
from chat.cli.main import main

SHARDS = ["--shard", "a=mysql://root@127.0.0.1:1/one"]
OLD = ["--older-than", "90d", "--once"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", *OLD, "--archive", "x"], "shards: at least one --shard is needed"),
        (["run", *OLD, *SHARDS], "archive: a directory or s3://bucket/prefix is needed"),
        (["verify", *SHARDS, "--archive", "gs://x"], "archive: it must be a directory or s3://bucket/prefix"),
        (["verify", *SHARDS, "--archive", "s3://"], "archive: s3:// needs the name of a bucket behind it"),
    ],
)
def test_what_is_missing_is_said_in_a_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["archive", *arguments]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"chat-gateway: {complaint}"


def test_a_library_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["archive", "verify", *SHARDS, "--archive", "x"]) == 1
    assert "pip install 'chat-gateway[archive]'" in capsys.readouterr().err


def test_only_what_is_in_shards_can_be_archived(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--archive", "x"]) == 1
    assert "archive: only what is in shards can be archived" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90d", 7_776_000), ("36h", 129_600), ("5m", 300), ("0.5s", 0.5)])
def test_an_age_has_a_unit(text: str, seconds: float) -> None:
    assert _age(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "0d", "1w", "1d2h", "infd"])
def test_an_age_without_one_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["archive", "run", *SHARDS, "--archive", "x", f"--older-than={text}"])
    assert ended.value.code == 2
    assert "it must be as 90d, 36h, 5m or 10s" in capsys.readouterr().err

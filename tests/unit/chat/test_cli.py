"""The command line, without a node: what it refuses, shows and administers."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import trio

from chat.bootstrap import open_ports
from chat.cli import main
from chat.config import ChatConfig

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))


def exit_code(*arguments: str) -> int:
    """Of `main`, whether it returns or exits."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serve", "--port", "many"], "setting port (from --port): expected a whole number"),
        (["serve", "--port=-1"], "setting port (from --port): expected a whole number from 0"),
        (["serve", "--port", "70000"], "setting port (from --port): port must be between 0 and 65535"),
        (["serve", "--backend", "rust"], "setting backend (from --backend): expected one of auto, native, pure"),
        (["serve", "--allowed-origin", "*"], "setting allowed_origins (from --allowed-origin): "),
        (["serve", "--config", "none.toml"], "configuration file none.toml: No such file or directory"),
        (["serve", "--prot", "8000"], "unrecognized arguments: --prot"),
        (["serve", "--por", "8000"], "unrecognized arguments: --por"),
        (["server"], "invalid choice: 'server'"),
        (["user", "create"], "the following arguments are required: NAME"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(capsys: Capture, arguments: list[str], named: str) -> None:
    assert exit_code(*arguments) == 2
    output, errors = capsys.readouterr()
    [line] = errors.splitlines()
    assert line.startswith("chat-gateway: ")
    assert named in line
    assert output == ""


def test_a_wrong_variable_is_one_line_and_exit_code_2(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_GATEWAY_PROT", "8000")
    assert exit_code("serve") == 2
    assert capsys.readouterr().err == (
        "chat-gateway: environment: there is no setting CHAT_GATEWAY_PROT; did you mean CHAT_GATEWAY_PORT?\n"
    )


def test_the_version_is_shown(capsys: Capture) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.startswith("chat-gateway 0")


def test_help_explains_every_flag(capsys: Capture) -> None:
    assert exit_code("serve", "--help") == 0
    text = capsys.readouterr().out
    assert "--max-connections" in text
    assert "--no-compression" in text
    assert "rates of chat" in text


@pytest.mark.parametrize("command", ["serve", "config", "connect", "user", "room"])
def test_every_command_explains_itself(capsys: Capture, command: str) -> None:
    assert exit_code(command, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: chat-gateway {command} ")


def test_the_settings_in_effect_are_shown_without_secrets_and_can_be_read_back(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "0123456789" * 4
    monkeypatch.setenv("CHAT_GATEWAY_TOKEN_KEY", secret)
    assert exit_code("config", "--port", "9000", "--allowed-origin", "https://a.example") == 0
    shown = capsys.readouterr().out
    assert secret not in shown
    assert "port = 9000  # --port" in shown
    assert 'token_key = "***"  # CHAT_GATEWAY_TOKEN_KEY' in shown
    assert 'allowed_origins = ["https://a.example"]' in shown
    monkeypatch.delenv("CHAT_GATEWAY_TOKEN_KEY")
    (tmp_path / "node.toml").write_text(shown.replace('"***"', f'"{secret}"'))
    assert exit_code("config", "--config", "node.toml") == 0
    assert "port = 9000  # port in node.toml" in capsys.readouterr().out


@pytest.mark.usefixtures("password")
def test_an_account_is_made_and_banned_while_the_node_is_down(capsys: Capture) -> None:
    assert exit_code("user", "create", "Alice", "--data-dir", "data") == 0
    user = capsys.readouterr().out.strip()
    assert exit_code("user", "ban", "alice", "--data-dir", "data") == 0
    assert trio.run(account, "Alice") == (user, True)
    assert exit_code("user", "unban", "alice", "--data-dir", "data") == 0
    assert trio.run(account, "Alice") == (user, False)


@pytest.mark.usefixtures("password")
def test_an_account_is_made_an_administrator_and_back(capsys: Capture) -> None:
    assert exit_code("user", "create", "Alice") == 0
    for command, admin in (("promote", True), ("promote", True), ("demote", False)):
        assert exit_code("user", command, "alice") == 0
        assert trio.run(is_admin, "Alice") is admin


def test_a_new_password_replaces_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = []
    for command, password in (("create", "correct horse"), ("passwd", "battery staple")):
        monkeypatch.setattr("sys.stdin", io.StringIO(password))
        assert exit_code("user", command, "Alice") == 0
        hashes.append(trio.run(password_hash, "Alice"))
    assert hashes[0] != hashes[1]


@pytest.mark.usefixtures("password")
def test_rooms_are_made_and_listed_and_roles_given(capsys: Capture) -> None:
    assert exit_code("user", "create", "Alice") == 0
    assert exit_code("room", "create", "Tea room", "--owner", "Alice") == 0
    room = capsys.readouterr().out.split()[-1]
    assert exit_code("room", "list") == 0
    assert capsys.readouterr().out == f"{room}\tpublic\tTea room\n"
    assert exit_code("room", "role", room, "Alice", "none") == 0
    assert exit_code("room", "list", "--user", "Alice") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["user", "ban", "nobody"], "there is no user nobody"),
        (["user", "promote", "nobody"], "there is no user nobody"),
        (["user", "create", "x" * 50], "name must have 1 to 32 characters"),
        (["room", "create", "Tea room", "--owner", "nobody"], "there is no user nobody"),
    ],
)
@pytest.mark.usefixtures("password")
def test_what_cannot_be_done_is_one_line_and_exit_code_1(capsys: Capture, arguments: list[str], complaint: str) -> None:
    assert exit_code(*arguments) == 1
    assert capsys.readouterr().err == f"chat-gateway: {complaint}\n"


async def account(name: str) -> tuple[str, bool]:
    async with open_ports(ChatConfig(data_dir=Path("data"))) as ports:
        found = await ports.users.by_name(name)
    assert found is not None
    return found[0].id, found[2]


async def is_admin(name: str) -> bool:
    async with open_ports(ChatConfig(data_dir=Path("data"))) as ports:
        found = await ports.users.by_name(name)
    assert found is not None
    return found[0].admin


async def password_hash(name: str) -> str:
    async with open_ports(ChatConfig(data_dir=Path("data"))) as ports:
        found = await ports.users.by_name(name)
    assert found is not None
    return found[1]

"""Logs hold no secret and no control character, whoever writes them."""

from __future__ import annotations

import io
import json
import logging
import warnings
from typing import Any

import pytest
import structlog

from chat.logging import configure_logging, sanitize

JWT = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"
SECRETS = [JWT, "s3cr3t-value"]


@pytest.fixture
def logged() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("json", "info", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_of_ours_and_one_of_a_library_look_alike(logged: io.StringIO) -> None:
    structlog.get_logger("chat.node").info("serving", port=8000)
    logging.getLogger("some.library").warning("it is %s", "late")
    ours, theirs = lines(logged)
    assert (ours["event"], ours["logger"], ours["level"], ours["port"]) == ("serving", "chat.node", "info", 8000)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("it is late", "some.library", "warning")
    assert set(theirs) == set(ours) - {"port"}


def test_what_is_below_the_level_is_not_logged(logged: io.StringIO) -> None:
    structlog.get_logger("chat").debug("detail")
    logging.getLogger("chat").debug("detail")
    assert logged.getvalue() == ""


@pytest.mark.parametrize(
    "key", ["token", "access_token", "Authorization", "cookie", "Set-Cookie", "password", "new_password", "secret"]
)
def test_a_secret_is_known_by_its_key(key: str) -> None:
    assert sanitize(None, "info", {key: "s3cr3t-value"}) == {key: "***"}
    assert sanitize(None, "info", {"headers": {key: "s3cr3t-value"}}) == {"headers": {key: "***"}}
    assert sanitize(None, "info", {"all": [{key: ("s3cr3t-value",)}]}) == {"all": [{key: "***"}]}


@pytest.mark.parametrize(
    "text",
    [
        JWT,
        f"GET /ws?access_token={JWT} HTTP/1.1",
        "GET /ws?a=1&access_token=s3cr3t-value&b=2",
        "Authorization: Bearer s3cr3t-value",
        "cookie: a=b; chat_session=s3cr3t-value; c=d",
        f"ValueError({JWT!r})",
    ],
)
def test_a_secret_is_known_by_its_looks(logged: io.StringIO, text: str) -> None:
    structlog.get_logger().info(text, path=text, inner=[text], error=ValueError(text))
    logging.getLogger("library").warning("got %s", text)
    logging.getLogger("library").warning(text)
    assert len(lines(logged)) == 3
    assert not [secret for secret in SECRETS if secret in logged.getvalue()]


def test_a_stack_trace_is_masked_too(logged: io.StringIO) -> None:
    try:
        raise ValueError(f"cannot read {JWT}")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed")
    ours, theirs = lines(logged)
    assert "ValueError: cannot read ***" in ours["exception"]
    assert "ValueError: cannot read ***" in theirs["exception"]
    assert JWT not in logged.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_peer_cannot_forge_a_line_or_drive_a_terminal(form: Any) -> None:
    stream = io.StringIO()
    configure_logging(form, "info", stream)
    structlog.get_logger().info("request", path="/\r\n\x1b[2Jfake\x9b31m\u202etxt\u2028", **{"k\n": 1})
    [line] = stream.getvalue().splitlines()
    assert not [character for character in line if ord(character) < 32 or 127 <= ord(character) < 160]
    assert "\u202e" not in line
    assert "\\x1b[2Jfake" in line.replace("\\\\", "\\")


def test_a_value_from_outside_cannot_fill_the_disk() -> None:
    assert len(sanitize(None, "info", {"path": "a" * 1_000_000})["path"]) < 3_000


def test_warnings_are_logged(logged: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("take care", stacklevel=1)
    assert "take care" in lines(logged)[0]["event"]

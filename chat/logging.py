"""Logs on stderr: for people or as JSON, with nothing in them that opens a door.

Whatever is logged, by us or by a library, goes through one chain: secrets are masked by the name of their key
and by their looks, and control characters are escaped, so that no peer can forge a line or drive a terminal.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog

MASK = "***"
_SECRET_KEY = re.compile(r"token|authorization|cookie|password|secret|credential", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"  # a JWT
    r"|(?i:(?<=bearer )[\w.~+/=-]+)"
    r"|(?i:(?<=access_token=)[^&\s\"']+)"
    r"|(?i:(?<=chat_session=)[\w-]+)"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MAX_CHARACTERS = 2_000
"""Of one value that came from outside; a stack trace may be longer."""

EventDict = MutableMapping[str, Any]


def configure_logging(
    form: Literal["console", "json"] = "console", level: str = "info", stream: TextIO | None = None
) -> None:
    """Sends the logs of structlog and of the standard library to `stream` (stderr), from `level` up."""
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                sanitize,
                _renderer(form, handler.stream),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def sanitize(logger: Any, method: str, event: EventDict) -> EventDict:
    """Masks secrets and escapes control characters, however deep they sit."""
    trace = event.pop("exception", None)
    clean: EventDict = {_escape(key): _clean(key, value) for key, value in event.items()}
    if trace is not None:
        clean["exception"] = "\n".join(_escape(_mask(line)) for line in str(trace).splitlines())
    return clean


def _clean(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {_escape(str(inner)): _clean(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item) for item in value]
    text = _escape(_mask(str(value)))
    return text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…"


def _mask(text: str) -> str:
    return _SECRET_TEXT.sub(MASK, text)


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _shared() -> list[Any]:
    """What structlog's own records and those of the standard library both go through."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _renderer(form: str, stream: TextIO) -> Any:
    if form == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)

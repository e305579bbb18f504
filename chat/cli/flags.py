"""Settings as flags, and the configuration that they, the environment and the file make together."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection
from typing import Any, NoReturn

from ..config import ChatConfig
from ..settings import FILE_VARIABLE, Setting, load, settings_of

SECTIONS = {
    (): "node",
    ("gateway",): "gateway: sockets and frames",
    ("limits",): "rates of chat",
    ("realtime",): "sessions and rooms",
    ("http",): "HTTP",
}
"""Where a setting is declared, and what that part is about."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        """Exit code 2."""
        self.exit(2, f"chat-gateway: {message}\n")


def add_settings(parser: argparse.ArgumentParser, only: Collection[str] | None = None) -> None:
    """Adds a flag for every setting, or for those named in `only`; a flag that is not given leaves no trace.

    Secrets have none: everybody on the machine can read command lines.
    """
    parser.add_argument("--config", metavar="FILE", help=f"a TOML file with settings (or {FILE_VARIABLE})")
    groups: dict[tuple[str, ...], Any] = {}
    for setting in settings_of(ChatConfig).values():
        if not setting.secret and (only is None or setting.name in only):
            section = setting.path[:1] if len(setting.path) > 1 else ()
            if section not in groups:
                groups[section] = parser.add_argument_group(SECTIONS[section])
            _add(groups[section], setting)


def load_config(arguments: argparse.Namespace) -> tuple[ChatConfig, dict[str, str]]:
    """The configuration, and where each setting in it was set. Raises: ConfigError."""
    given = vars(arguments)
    flags = {name: given[name] for name in settings_of(ChatConfig) if name in given}
    return load(ChatConfig, flags, os.environ, arguments.config)


def _add(group: Any, setting: Setting) -> None:
    text = setting.doc.replace("%", "%%") or setting.expected
    default = setting.shown_default
    options: dict[str, Any] = {
        "dest": setting.name,
        "default": argparse.SUPPRESS,
        "help": f"{text} [{default}]" if default else text,
    }
    if setting.type is bool:
        options["action"] = argparse.BooleanOptionalAction
    else:
        options["metavar"] = "X"
    if isinstance(setting.default, tuple):
        options |= {"action": "append", "metavar": "X"}
    group.add_argument(setting.flag, **options)


def complain(message: object) -> None:
    """One line on stderr."""
    print(f"chat-gateway: {message}", file=sys.stderr)

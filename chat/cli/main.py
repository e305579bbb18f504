"""The parser of the command line, and what each command calls."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence

from ..config import ChatConfig
from ..settings import ConfigError, settings_of, show
from ..version import version
from . import admin, archive, database, dev_cluster, serve, shards, workers
from .flags import Parser, add_settings, complain, load_config


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 done, 1 it failed, 2 it was asked for wrongly."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser().parse_args(words, argparse.Namespace(words=words))
    try:
        return int(arguments.run(arguments))
    except ConfigError as error:
        complain(error)
        return 2


def _parser() -> Parser:
    parser = Parser(
        prog="chat-gateway", description="Real-time chat: a node, its accounts and rooms, a terminal client."
    )
    parser.add_argument("--version", action="version", version=f"chat-gateway {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serving = commands.add_parser(
        "serve",
        help="run a node",
        usage="%(prog)s [--config FILE] [--SETTING VALUE ...]",
        description="Runs a node until SIGTERM or SIGINT.",
    )
    add_settings(serving)
    serving.set_defaults(run=_serve)

    showing = commands.add_parser(
        "config", help="show the settings in effect", usage=serving.usage, description=_show_config.__doc__
    )
    add_settings(showing)
    showing.set_defaults(run=_show_config)

    admin.add_commands(commands)
    archive.add_commands(commands)
    database.add_commands(commands)
    dev_cluster.add_commands(commands)
    shards.add_commands(commands)
    if importlib.util.find_spec("chat.client.terminal"):
        _add_connect(commands)
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    config, _ = load_config(arguments)
    return workers.run(config, arguments.words) if config.workers > 1 else serve.run(config)


def _show_config(arguments: argparse.Namespace) -> int:
    """Prints the settings in effect as a configuration file, with where each one comes from; no secrets."""
    config, sources = load_config(arguments)
    for setting in settings_of(ChatConfig).values():
        value: object = config
        for name in setting.path:
            value = getattr(value, name)
        shown = '"***"' if setting.secret and value else show(value)
        print(f"{setting.name} = {shown}  # {sources.get(setting.name, 'default')}")
    return 0


def _add_connect(commands: argparse._SubParsersAction[Parser]) -> None:
    from ..client import terminal

    parser = commands.add_parser("connect", help="chat in a terminal", description="Joins a room of a running node.")
    terminal.add_arguments(parser)
    parser.set_defaults(run=terminal.main)

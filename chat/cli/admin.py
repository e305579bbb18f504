"""`chat-gateway user` and `chat-gateway room`: administration of the data, without a node."""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import secrets
import sys
import time
from collections.abc import Awaitable, Callable

import trio

from ..adapters.distributed.errors import ShardsUnusable
from ..adapters.embedded.errors import DatabaseUnusable
from ..bootstrap import Ports, open_ports, open_services
from ..domain.errors import ChatError, NotFound
from ..domain.rooms import Role, RoomId, RoomKind
from ..domain.users import Identity, SessionId, User, check_password
from ..logging import configure_logging
from ..services import Passwords, Services
from ..services.tokens import MIN_SECRET_BYTES
from .flags import Parser, add_settings, complain, load_config

_WHEN = "A node that keeps its data in a directory must not be running; those that share shards may be."
Command = Callable[[argparse.Namespace, Ports, Services], Awaitable[None]]


async def create_user(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Makes an account; the password is asked for, or read from standard input."""
    user = await services.auth.register(arguments.name, _password(), "127.0.0.1")
    print(user.id)


async def set_password(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Sets a new password and ends all sessions of the user."""
    user = await _user(ports, arguments.name)
    await ports.users.set_password_hash(user.id, await Passwords().hash(check_password(_password())))
    await services.auth.sign_out_user(user.id)


async def ban_user(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Ends all sessions of the user and lets them sign in no more."""
    await services.auth.ban((await _user(ports, arguments.name)).id)


async def unban_user(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Lets a banned user sign in again."""
    await services.auth.unban((await _user(ports, arguments.name)).id)


async def promote_user(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Makes the user an administrator, who may see and end everything."""
    await ports.users.set_admin((await _user(ports, arguments.name)).id, True)


async def demote_user(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Takes the administrator's role away."""
    await ports.users.set_admin((await _user(ports, arguments.name)).id, False)


async def create_room(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Makes a room and prints its id."""
    owner = await _user(ports, arguments.owner)
    identity = Identity(owner, SessionId("administration"), time.time() + 60)
    print((await services.rooms.create(identity, arguments.name, RoomKind(arguments.kind))).id)


async def list_rooms(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Lists the public rooms, or those of one user: id, kind and name."""
    if arguments.user:
        rooms = [room for room, *_ in await ports.rooms.rooms_of((await _user(ports, arguments.user)).id)]
    else:
        rooms = []
        while page := await ports.rooms.public_rooms(rooms[-1].id if rooms else None, 500):
            rooms += page
    for room in rooms:
        print(f"{room.id}\t{room.kind}\t{room.name}")


async def set_role(arguments: argparse.Namespace, ports: Ports, services: Services) -> None:
    """Gives a user a role in a room, or takes it away."""
    role = None if arguments.role == "none" else Role(arguments.role)
    room = await ports.rooms.room(RoomId(arguments.room))
    await ports.rooms.set_role(room.id, (await _user(ports, arguments.user)).id, role)


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Adds `user` and `room` with what belongs to them."""
    users = commands.add_parser("user", help="accounts").add_subparsers(required=True, metavar="COMMAND")
    for name, command in (
        ("create", create_user),
        ("passwd", set_password),
        ("ban", ban_user),
        ("unban", unban_user),
        ("promote", promote_user),
        ("demote", demote_user),
    ):
        _add(users, name, command).add_argument("name", metavar="NAME")

    rooms = commands.add_parser("room", help="rooms").add_subparsers(required=True, metavar="COMMAND")
    creating = _add(rooms, "create", create_room)
    creating.add_argument("name", metavar="NAME")
    creating.add_argument("--owner", required=True, metavar="USER")
    creating.add_argument("--kind", choices=["public", "private"], default="public")
    _add(rooms, "list", list_rooms).add_argument("--user", metavar="USER", help="the rooms of this user")
    granting = _add(rooms, "role", set_role)
    granting.add_argument("room", metavar="ROOM", help="the room's id")
    granting.add_argument("user", metavar="USER")
    granting.add_argument("role", choices=[*Role, "none"])


def _add(commands: argparse._SubParsersAction[Parser], name: str, command: Command) -> Parser:
    summary = str(command.__doc__)
    parser = commands.add_parser(name, help=summary, description=f"{summary} {_WHEN}")
    add_settings(parser, only={"data_dir", "redis", "shards"})
    parser.set_defaults(run=lambda arguments: _run(command, arguments))
    return parser


def _run(command: Command, arguments: argparse.Namespace) -> int:
    config, _ = load_config(arguments)
    configure_logging(config.log_format, "warning")

    keyed = dataclasses.replace(config, token_key=secrets.token_urlsafe(MIN_SECRET_BYTES))

    async def with_ports() -> None:
        async with open_ports(config) as ports:
            # No command issues a token, so none needs the key of the nodes.
            await command(arguments, ports, open_services(keyed, ports))

    try:
        trio.run(with_ports)
    except (ChatError, DatabaseUnusable, ShardsUnusable, OSError, ValueError) as error:
        complain(error)
        return 1
    return 0


async def _user(ports: Ports, name: str) -> User:
    found = await ports.users.by_name(name)
    if found is None:
        raise NotFound(f"there is no user {name}")
    return found[0]


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        raise ValueError("the two passwords differ")
    return password

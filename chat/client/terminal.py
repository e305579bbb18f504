"""`chat-gateway connect ROOM`: a small chat in a terminal, or at the end of a pipe.

Messages go to standard output; what is said about the connection goes to standard error.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from contextlib import aclosing
from urllib.parse import urlsplit

import trio

from ..domain.errors import ChatError, NotFound
from .calls import Signal
from .client import Client, State, open_client, register
from .console import printable, read_lines
from .errors import ClientError
from .events import Deleted, Edited, Event, Message, Missed, PresenceChanged, RoomInfo, Unrecovered
from .room import Room

PASSWORD_VARIABLE = "CHAT_PASSWORD"  # noqa: S105 (the name of it)
HISTORY = 20
"""Messages shown on entry."""
MAX_PAGES = 50
"""Of public rooms, when one is looked for by its name."""
MAX_NAMES = 1_000
"""Names kept of people who come and go."""
LINES_AHEAD = 64
"""Typed lines that wait to be sent; then the keyboard waits."""
FLUSH_SECONDS = 5.0
"""After /quit, for what was typed before and is not sent yet."""
ECHO_SECONDS = 5.0
"""At the end, for one's own last message to come back."""
HELP = """\
/who    who is online
/quit   leave (or Ctrl-D)
/help   this list
Anything else is sent; //… sends a line that begins with a slash."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `connect`."""
    parser.add_argument("room", metavar="ROOM", help="id or name of a room")
    parser.add_argument("--url", type=_url, default="http://127.0.0.1:8000", help="where the node is [%(default)s]")
    parser.add_argument("--name", help="of your account [the name of your login here]")
    parser.add_argument("--register", action="store_true", help="make the account first")
    parser.add_argument("--create", action="store_true", help="make a public room of that name if there is none")
    parser.epilog = f"The password is asked for, or taken from the environment variable {PASSWORD_VARIABLE}."


def main(arguments: argparse.Namespace) -> int:
    """Runs until the input ends. 0: everything that was typed is stored; 1: not so, said on standard error."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    try:
        name = arguments.name or getpass.getuser()
        return trio.run(_chat, arguments, name, _password(name))
    except BaseException as error:
        return _exit_code(error)


async def _chat(arguments: argparse.Namespace, name: str, password: str) -> int:
    if arguments.register:
        await register(arguments.url, name, password)
    screen = Screen()
    async with open_client(arguments.url, name=name, password=password, on_state=screen.show_state) as client:
        room, title = await find_room(client, arguments.room, create=arguments.create)
        screen.say(f"You are in {printable(title)}. /help lists the commands.")
        conversation = Conversation(client, room, screen)
        return await conversation.run(sys.stdin.fileno())


async def find_room(client: Client, wanted: str, *, create: bool = False) -> tuple[Room, str]:
    """Joins the room with that id, or else the one with that name: one's own first, then a public one.

    Raises: NotFound, also if several have the name; with `create` a room that is missing is made instead.
    """
    try:
        return await client.join(wanted), wanted
    except ChatError as error:
        if error.code not in ("not_found", "invalid"):
            raise
    found = [room for room in await client.rooms() if wanted.casefold() in _names(room)]
    if not found:
        found = await _public_rooms(client, wanted)
    if not found and create:
        found = [await client.create_room(wanted)]
    if not found:
        raise NotFound(f"there is no room with the id or name {wanted}")
    if len(found) > 1:
        raise NotFound(f"several rooms are called {wanted}; take an id: {', '.join(room.id for room in found)}")
    return await client.join(found[0].id), found[0].title or found[0].name


async def _public_rooms(client: Client, wanted: str) -> list[RoomInfo]:
    found: list[RoomInfo] = []
    last = None
    for _ in range(MAX_PAGES):
        page = await client.public_rooms(after=last)
        found += [room for room in page if wanted.casefold() in _names(room)]
        if not page:
            break
        last = page[-1].id
    return found


def _names(room: RoomInfo) -> set[str]:
    return {name.casefold() for name in (room.name, room.title) if name}


class Screen:
    """Prints. It blocks when the terminal does: then nobody could read anyhow."""

    def __init__(self) -> None:
        self._offline = False

    def say(self, text: str) -> None:
        """Something about the chat."""
        print(f"-- {text}", file=sys.stderr)

    def show(self, text: str) -> None:
        """Something of the chat; `text` is safe to print."""
        print(text)

    def show_state(self, state: State, why: str) -> None:
        """The connection, in words; a failure is told once, not at each try."""
        if state is State.ONLINE:
            self.say("connected")
            self._offline = False
        elif state is State.OFFLINE and not self._offline:
            self.say(f"not connected ({printable(why)}); trying again")
            self._offline = True


class Conversation:
    """One room in a terminal."""

    def __init__(self, client: Client, room: Room, screen: Screen) -> None:
        self._client = client
        self._room = room
        self._screen = screen
        self._names = {client.user.id: client.user.name}
        self._shown = 0
        self._news = Signal()
        self._unsent = 0

    async def run(self, keyboard: int) -> int:
        """Shows and sends until the input ends; 0 if everything was sent."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            last = await self._type(keyboard)
            with trio.move_on_after(ECHO_SECONDS):
                while self._shown < last:
                    await self._news.wait()
            nursery.cancel_scope.cancel()
        if self._unsent:
            self._screen.say(f"{self._unsent} of your lines were not sent")
        return 1 if self._unsent else 0

    async def _listen(self) -> None:
        entered = self._room.position
        if entered is not None:
            for message in (await self._room.history(before=entered.seq + 1, limit=HISTORY)).messages:
                self._show(message)
        async for event in self._room.events():
            self._show(event)
            self._news.set()

    async def _type(self, keyboard: int) -> int:
        """Sends what is typed; returns the number of the last message that was stored."""
        last = 0
        send, receive = trio.open_memory_channel[str](LINES_AHEAD)

        async def work() -> None:
            nonlocal last
            async for line in receive:
                last = max(last, await self._enter(line))
                self._unsent -= 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            async with send, aclosing(read_lines(keyboard)) as lines:
                async for line in lines:
                    if line.strip() == "/quit":
                        nursery.cancel_scope.deadline = trio.current_time() + FLUSH_SECONDS
                        break
                    if line.strip():
                        self._unsent += 1
                        await send.send(line)
        return last

    async def _enter(self, line: str) -> int:
        """Carries out one line: the number of the message that it became, or 0."""
        if line.startswith("/") and not line.startswith("//"):
            await self._command(line.strip())
            return 0
        try:
            return (await self._room.publish(line.removeprefix("/"))).seq
        except ChatError as error:
            self._screen.say(f"not sent: {printable(error.message)}")
            self._unsent += 1
            return 0

    async def _command(self, command: str) -> None:
        match command:
            case "/help":
                self._screen.say(HELP.replace("\n", "\n-- "))
            case "/who":
                online = await self._room.online()
                names = ", ".join(printable(user.name) for user in online.users)
                self._screen.show(f"{online.online} online{': ' + names if names else ''}")
            case _:
                self._screen.say(f"there is no command {printable(command)}; /help lists them")

    def _show(self, event: Event) -> None:
        match event:
            case Message():
                self._remember(event.user, event.name)
                self._shown = event.seq
                self._screen.show(_line(event))
            case Edited():
                self._screen.show(f"      * message {event.seq} now says: {printable(str(event.body.get('text', '')))}")
            case Deleted():
                self._screen.show(f"      * message {event.seq} was deleted")
            case PresenceChanged():
                self._show_presence(event)
            case Missed():
                self._screen.say(f"{event.last - event.first + 1} messages are not in the history any more")
            case Unrecovered() if event.history_changed:
                self._screen.say("the history was restored from a backup; what is above may be gone")

    def _show_presence(self, event: PresenceChanged) -> None:
        for user in event.joins:
            self._remember(user.id, user.name)
            self._screen.show(f"      * {printable(user.name)} is here")
        for user_id in event.leaves:
            if user_id in self._names:
                self._screen.show(f"      * {printable(self._names[user_id])} has left")

    def _remember(self, user: str, name: str) -> None:
        if len(self._names) >= MAX_NAMES:
            del self._names[next(iter(self._names))]
        self._names[user] = name


def _line(message: Message) -> str:
    text = "(deleted)" if message.deleted else printable(message.text)
    return f"{message.time.astimezone():%H:%M} {printable(message.name or message.user)}: {text}"


def _password(name: str) -> str:
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is not None:
        return password
    if not sys.stdin.isatty():
        raise ClientError(f"standard input is no terminal: put the password into {PASSWORD_VARIABLE}")
    return getpass.getpass(f"Password of {name}: ")


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not http://… or https://…")
    return text


def _exit_code(error: BaseException) -> int:
    """Says what ended the program, if that is nobody's bug."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    match error:
        case ChatError() | ClientError():
            print(f"chat-gateway: {printable(str(error))}", file=sys.stderr)
            return 1
        case KeyboardInterrupt() | EOFError():
            return 130
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushed once more at the exit
            return 1
    raise error

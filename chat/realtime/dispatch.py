"""Commands to services: in order for each connection, one task while there is work, none while there is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
import trio

from gateway_core.gateway import CloseCode, Gateway

from ..domain.errors import ChatError, Invalid, RateLimited, Unauthenticated, UnknownOp
from ..domain.messages import HISTORY_LIMIT, Appended
from ..domain.users import Identity
from ..metrics.meters import RealtimeMeter
from ..services import Post, Services
from . import fields, pushes
from .answers import Answers
from .arrivals import Arrivals
from .authentication import Authentication
from .codecs import Command
from .config import RealtimeConfig
from .joins import Joins
from .publishing import Publishing, post_of
from .pushes import WireMap
from .room_feed import Spawn
from .session import Session

DEFAULT_HISTORY = 50
"""Messages in a page if the client does not say how many."""
_MAX_OP_CHARACTERS = 32
_log = structlog.get_logger(__name__)

_AtOnce = Callable[[Session, Command], WireMap]
_Waiting = Callable[[Session, Identity, Command], Awaitable[WireMap]]
_Sending = Callable[[Session, Identity, Command, Answers], Awaitable[None]]


class Dispatcher:
    """Works off the queues of sessions. A refused command is answered; nothing a client sends raises."""

    def __init__(
        self,
        gateway: Gateway,
        services: Services,
        authentication: Authentication,
        joins: Joins,
        config: RealtimeConfig,
        spawn: Spawn,
        meter: RealtimeMeter,
    ) -> None:
        """`spawn` runs a task that outlives the caller."""
        self._gateway = gateway
        self._messaging = services.messaging
        self._presence = services.presence
        self._names = services.names
        self._authentication = authentication
        self._joins = joins
        self._config = config
        self._spawn = spawn
        self._meter = meter
        self._arrivals = Arrivals(services.rooms, joins, self._spawn_batch, self._proceed)
        self._publishing = Publishing(gateway, services.posting, self._spawn_batch, self._proceed, meter)
        self._at_once: dict[str, _AtOnce] = {"ping": _ping, "leave": joins.leave}
        self._sending: dict[str, _Sending] = {"join": joins.join, "history": self._history}
        self._waiting: dict[str, _Waiting] = {
            "refresh": authentication.refresh,
            "edit": self._edit,
            "delete": self._delete,
            "read": self._read,
            "typing": self._typing,
            "presence": self._online,
        }
        self._ops = frozenset({"hello", *self._at_once, *self._sending, *self._waiting})

    def refuse(self, session: Session, commands: Sequence[Command]) -> None:
        """Answers commands that there was no room for; a client that goes on like this is closed."""
        if session.refused > self._config.max_refusals:
            session.closed = True
            self._gateway.close(session.connection, CloseCode.POLICY_VIOLATION, "too many commands")
            return
        answers = Answers(self._gateway, session)
        error = RateLimited("too many commands are waiting", retry_after=1.0)
        for command in commands:
            answers.add(pushes.refusal(_id_of(command), error))
        answers.flush()

    def begin(self, session: Session) -> None:
        """Starts on what is queued, unless something is under way; messages that are posted wait for `flush`."""
        commands = session.commands
        if commands and not session.busy:
            session.busy = True
            if self._publishing.take(session, commands) or self._arrivals.take(session, commands):
                session.take()
            else:
                self._spawn(partial(self._work, session))

    def flush(self) -> None:
        """Ends a turn: carries out together what `begin` has collected in it."""
        self._publishing.flush()
        self._arrivals.flush()

    def _spawn_batch(self, batch: Callable[[], Awaitable[None]]) -> None:
        """Runs what was collected. What its sessions go on with is collected again, and ends a turn likewise."""

        async def run() -> None:
            await batch()
            self.flush()

        self._spawn(run)

    def _proceed(self, session: Session, left: Sequence[Command] = ()) -> None:
        """Something that was under way has ended, but for the commands that are `left` of it."""
        if left and not session.closed:
            self._spawn(partial(self._work, session, left))
            return
        session.busy = False
        if not session.closed:
            self.begin(session)

    async def _work(self, session: Session, first: Sequence[Command] = ()) -> None:
        """Carries out `first`, then what is queued, until nothing is. One at a time for each session."""
        try:
            await self._carry_out(session, first)
            while session.commands and not session.closed:
                await self._carry_out(session, session.take())
        except Exception:
            _log.exception("session_failed", connection=session.connection)
            session.closed = True
            self._gateway.close(session.connection, CloseCode.INTERNAL_ERROR, "internal error")
        finally:
            session.busy = False

    async def _carry_out(self, session: Session, commands: Sequence[Command]) -> None:
        """Commands in their order. What is ready goes out before anything waits."""
        answers = Answers(self._gateway, session)
        position = 0
        while position < len(commands) and not session.closed:
            following = position + 1
            if commands[position].get("op") == "publish":
                while following < len(commands) and commands[following].get("op") == "publish":
                    following += 1
                await self._publish(session, commands[position:following], answers)
            else:
                await self._answer(session, commands[position], answers)
            position = following
        answers.flush()

    async def _answer(self, session: Session, command: Command, answers: Answers) -> None:
        """Carries out one command and adds its answer."""
        number = None
        try:
            number = fields.command_id(command)
            op = fields.text(command, "op", _MAX_OP_CHARACTERS)
            self._meter.commands[op if op in self._ops else "unknown"] += 1
            if (at_once := self._at_once.get(op)) is not None:
                answers.add(pushes.answer(number, at_once(session, command)))
                return
            answers.flush()
            if op == "hello":
                answers.add(pushes.answer(number, await self._authentication.hello(session, command)))
            elif (sending := self._sending.get(op)) is not None:
                await sending(session, _speaker(session), command, answers)
            elif (waiting := self._waiting.get(op)) is not None:
                answers.add(pushes.answer(number, await waiting(session, _speaker(session), command)))
            else:
                raise UnknownOp("there is no such op")
        except ChatError as error:
            answers.add(pushes.refusal(number, error))
        except Exception:
            _log.exception("command_failed", connection=session.connection)
            answers.add(pushes.refusal(number, ChatError("internal error")))

    async def _publish(self, session: Session, commands: Sequence[Command], answers: Answers) -> None:
        """Posts consecutive messages in one call; each gets its own answer, in their order."""
        self._meter.commands["publish"] += len(commands)
        wanted = [_post_of(command) for command in commands]
        posts = [post for _, post in wanted if isinstance(post, Post)]
        answers.flush()
        if posts:
            self._meter.posting(posts[-1].key, len(posts), trio.current_time())
        stored = iter(await self._post(session, posts) if posts else ())
        outcomes = [next(stored) if isinstance(post, Post) else post for _, post in wanted]
        self._meter.answered(outcomes)
        for (number, _), outcome in zip(wanted, outcomes, strict=True):
            answers.add(pushes.outcome(number, outcome))

    async def _post(self, session: Session, posts: list[Post]) -> Sequence[Appended | ChatError]:
        try:
            return await self._messaging.post(_speaker(session), posts, session.rooms)
        except ChatError as error:
            return [error] * len(posts)
        except Exception:
            _log.exception("post_failed", connection=session.connection)
            return [ChatError("internal error")] * len(posts)

    async def _history(self, session: Session, who: Identity, command: Command, answers: Answers) -> None:
        """A page that is as long as asked, or shorter with `more` set so that it stays within its bytes."""
        number = fields.command_id(command)
        before = fields.optional_integer(command, "before")
        after = fields.optional_integer(command, "after")
        if before is not None and after is not None:
            raise Invalid("before and after exclude each other")
        limit = DEFAULT_HISTORY
        if command.get("limit") is not None:
            limit = fields.integer(command, "limit", minimum=1, maximum=HISTORY_LIMIT)
        room = fields.room(command)
        messages, more, epoch = await self._messaging.history(who, room, before=before, after=after, limit=limit)
        names = await self._names.of(list({message.user for message in messages})) if messages else {}
        page = [pushes.message(message, names.get(message.user, "")) for message in messages]
        while True:
            frame = session.codec.encode(pushes.answer(number, {"epoch": epoch, "messages": page, "more": more}))
            if len(frame) <= self._config.max_answer_bytes or len(page) <= 1:
                break
            half = len(page) // 2
            page, more = (page[:half] if after is not None else page[-half:]), True
        answers.add_frame(frame)

    async def _edit(self, session: Session, who: Identity, command: Command) -> WireMap:
        room, seq, body = fields.room(command), fields.integer(command, "seq", minimum=1), fields.body(command)
        return pushes.revision(await self._messaging.edit(who, room, seq, body))

    async def _delete(self, session: Session, who: Identity, command: Command) -> WireMap:
        room, seq = fields.room(command), fields.integer(command, "seq", minimum=1)
        return pushes.revision(await self._messaging.delete(who, room, seq))

    async def _read(self, session: Session, who: Identity, command: Command) -> WireMap:
        room, seq = fields.room(command), fields.integer(command, "seq")
        return {"seq": await self._messaging.mark_read(who, room, seq)}

    async def _typing(self, session: Session, who: Identity, command: Command) -> WireMap:
        await self._messaging.typing(who, fields.room(command))
        return {}

    async def _online(self, session: Session, who: Identity, command: Command) -> WireMap:
        online, users = await self._presence.online(who, fields.room(command))
        return {"online": online, "users": [{"id": user, "name": name} for user, name in users]}


def _ping(session: Session, command: Command) -> WireMap:
    """For clients that cannot see WebSocket pings."""
    return {}


def _speaker(session: Session) -> Identity:
    if session.identity is None:
        raise Unauthenticated("say hello first")
    return session.identity


def _id_of(command: Command) -> int | None:
    try:
        return fields.command_id(command)
    except ChatError:
        return None


def _post_of(command: Command) -> tuple[int | None, Post | ChatError]:
    """The id of a `publish` command, and what it wants to post or why it cannot."""
    number = None
    try:
        number = fields.command_id(command)
        return number, post_of(command)
    except ChatError as error:
        return number, error

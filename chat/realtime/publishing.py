"""Messages that sessions publish: what arrives in one turn of the loop is posted in one call.

A task, a transaction's wait and an announcement for each message would cost more than the message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
import trio

from gateway_core.gateway import Gateway

from ..domain.errors import ChatError, Invalid
from ..domain.messages import Appended
from ..domain.rooms import RoomId
from ..metrics.meters import RealtimeMeter
from ..services import Post, Posting, Submission
from . import fields, pushes
from .answers import Answers
from .codecs import Command
from .session import Session

MAX_BATCH = 256
"""Posts in one call, but for a frame that holds more: some 10 ms of work between which others get their turn."""
_log = structlog.get_logger(__name__)


def post_of(command: Command) -> Post:
    """What a `publish` command wants to post; `Posting` judges key and body. Raises: Invalid."""
    return Post(fields.room(command), command.get("key"), command.get("body"))


class _Batch:
    """Submissions of one lane, and by session the commands that they answer."""

    __slots__ = ("frames", "submissions")

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.frames: list[tuple[Session, list[int]]] = []


class Publishing:
    """Collects with `take`, posts with `flush`. A lane of the store that is slow delays no other."""

    def __init__(
        self,
        gateway: Gateway,
        posting: Posting,
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
        proceed: Callable[[Session], None],
        meter: RealtimeMeter,
    ) -> None:
        """`proceed` is called for a session whose messages are answered, to go on with what it has queued.

        `spawn` runs a task and ends a turn behind it.
        """
        self._gateway = gateway
        self._posting = posting
        self._spawn = spawn
        self._proceed = proceed
        self._meter = meter
        self._collected: dict[str, _Batch] = {}

    def take(self, session: Session, commands: Sequence[Command]) -> bool:
        """Takes over `commands`, if they do nothing but post to joined rooms of one lane; else nothing happens.

        The session must stay busy until `proceed` is called for it.
        """
        if commands[0].get("op") != "publish":
            return False
        try:
            submissions = [_submission(session, command) for command in commands]
            numbers = [fields.command_id(command) for command in commands]
        except Invalid:
            return False
        lane = self._posting.lane(submissions[0].post.room)
        if any(self._posting.lane(wanted.post.room) != lane for wanted in submissions[1:]):
            return False
        batch = self._collected.get(lane)
        if batch is None:
            batch = self._collected[lane] = _Batch()
        self._meter.commands["publish"] += len(submissions)
        batch.submissions += submissions
        batch.frames.append((session, numbers))
        if len(batch.submissions) >= MAX_BATCH:
            self.flush()
        return True

    def flush(self) -> None:
        """Begins to post what was collected."""
        collected, self._collected = self._collected, {}
        for batch in collected.values():
            self._meter.posting(batch.submissions[-1].post.key, len(batch.submissions), trio.current_time())
            self._spawn(partial(self._post, batch))

    async def _post(self, batch: _Batch) -> None:
        outcomes: Sequence[Appended | ChatError]
        try:
            outcomes = await self._posting.post(batch.submissions)
        except Exception:
            _log.exception("post_failed", posts=len(batch.submissions))
            outcomes = [ChatError("internal error")] * len(batch.submissions)
        self._meter.answered(outcomes)
        following = iter(outcomes)
        for session, numbers in batch.frames:
            answers = Answers(self._gateway, session)
            for number in numbers:
                answers.add(pushes.outcome(number, next(following)))
            answers.flush()
            self._proceed(session)


def _submission(session: Session, command: Command) -> Submission:
    """Raises: Invalid, also for a command that is right but has to be looked at more closely."""
    room = command.get("room")
    if type(room) is not str or session.identity is None or command.get("op") != "publish":
        raise Invalid("not a post to a room")
    role = session.rooms.get(RoomId(room))
    if role is None:
        raise Invalid("not a joined room")
    return Submission(session.identity, Post(RoomId(room), command.get("key"), command.get("body")), role)

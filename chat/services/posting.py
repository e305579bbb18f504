"""Posting: many people's messages through the checks, into the store and to the fleet, in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import trio

from ..domain.errors import ChatError, Invalid
from ..domain.messages import Appended, NewMessage, mentions
from ..domain.rooms import Operation, Role, RoomId, RoomKind, check
from ..domain.users import Identity, UserId
from ..ports.message_store import MessageStore
from ..ports.rate_limiter import Rate
from . import events
from .announcer import Announcer
from .limits import Limits, Throttle, too_many
from .rooms import Rooms
from .validation import check_body, check_key


class Post(NamedTuple):
    """What a client wants to say; nothing in `body` can set sender, seq or time. `key` names it for retries.

    `key` and `body` may be anything: `Posting` refuses what they must not be.
    """

    room: RoomId
    key: Any
    body: Any


class Submission(NamedTuple):
    """A post and who wants it. `role` is what the caller knows of their role in the room; None: look it up."""

    who: Identity
    post: Post
    role: Role | None = None


class Posting:
    """Takes batches: a transaction, an announcement and a task cost more than the message they are for."""

    def __init__(
        self, messages: MessageStore, *, rooms: Rooms, throttle: Throttle, limits: Limits, announcer: Announcer
    ) -> None:
        self._messages = messages
        self._rooms = rooms
        self._throttle = throttle
        self._limits = limits
        self._announcer = announcer

    def lane(self, room: RoomId) -> str:
        """See `MessageStore.lane`: what is posted together should be of one."""
        return self._messages.lane(room)

    async def post(self, submissions: Sequence[Submission]) -> list[Appended | ChatError]:
        """Commits `submissions` in their order, tells the fleet, and returns one answer for each.

        An answer may be Invalid (body or key), NotFound, Forbidden, RateLimited (per user and room, one unit
        each) or Unavailable. Cancelling never leaves a committed message unannounced. Raises: no ChatError.
        """
        answers = [_malformed(submission.post) for submission in submissions]
        await self._refuse_excess(answers, submissions, _user_bucket, self._limits.publish_per_user)
        await self._refuse_strangers(answers, submissions)
        await self._refuse_excess(answers, submissions, _room_bucket, self._limits.publish_per_room)
        accepted = [wanted for wanted, refusal in zip(submissions, answers, strict=True) if refusal is None]
        stored = iter(await self._store(accepted))
        return [refusal or next(stored) for refusal in answers]

    async def _refuse_excess(
        self,
        answers: list[ChatError | None],
        submissions: Sequence[Submission],
        bucket_of: Callable[[Submission], str],
        rate: Rate,
    ) -> None:
        """Charges each post that is not refused yet to its bucket; the first ones of a bucket get what is there."""
        if rate.per_second <= 0:
            return
        charged: dict[str, list[int]] = {}
        for index, submission in enumerate(submissions):
            if answers[index] is None:
                charged.setdefault(bucket_of(submission), []).append(index)
        wanted = {bucket: len(indices) for bucket, indices in charged.items()}
        granted = await self._throttle.take_up_to_each(wanted, rate)
        for indices, (count, wait) in zip(charged.values(), granted, strict=True):
            for index in indices[count:]:
                answers[index] = too_many(wait)

    async def _refuse_strangers(self, answers: list[ChatError | None], submissions: Sequence[Submission]) -> None:
        """Asks the ACL, and the store for a role that is not known: once for each user and room."""
        known: dict[tuple[UserId, RoomId], ChatError | None] = {}
        for index, (who, post, role) in enumerate(submissions):
            if answers[index] is not None:
                continue
            if role is not None:
                answers[index] = None if role in _POSTERS else _refusal(role)
                continue
            asked = who.user.id, post.room
            if asked not in known:
                known[asked] = await self._refusal_of_stranger(*asked)
            answers[index] = known[asked]

    async def _refusal_of_stranger(self, user: UserId, room: RoomId) -> ChatError | None:
        try:
            await self._rooms.authorize(user, room, Operation.PUBLISH)
        except ChatError as error:
            return error
        return None

    async def _store(self, accepted: Sequence[Submission]) -> list[Appended | ChatError]:
        """Commits and announces, shielded so that both happen or neither."""
        if not accepted:
            return []
        new = [
            NewMessage(post.room, who.user.id, post.key, post.body, mentions(post.body["text"]))
            for who, post, _ in accepted
        ]
        with trio.CancelScope(shield=True):
            try:
                stored = await self._messages.append(new)
            except ChatError as error:
                return [error] * len(accepted)
            await self._announcer.announce(*_announcements(accepted, stored))
        return stored


def _malformed(post: Post) -> ChatError | None:
    try:
        check_key(post.key)
        check_body(post.body)
    except Invalid as error:
        return error
    return None


def _user_bucket(submission: Submission) -> str:
    return f"publish:user:{submission.who.user.id}"


def _room_bucket(submission: Submission) -> str:
    return f"publish:room:{submission.post.room}"


def _refusal(role: Role) -> ChatError | None:
    """What the ACL has against it: to those with a role the kind of the room makes no difference."""
    try:
        check(Operation.PUBLISH, RoomKind.PRIVATE, role)
    except ChatError as error:
        return error
    return None


_POSTERS = frozenset(role for role in Role if _refusal(role) is None)


def _announcements(
    submissions: Sequence[Submission], stored: Sequence[Appended | ChatError]
) -> list[events.Posted | events.Reached]:
    """An event for each post that has a place."""
    return [
        _announcement(submission, at)
        for submission, at in zip(submissions, stored, strict=True)
        if isinstance(at, Appended)
    ]


def _announcement(submission: Submission, at: Appended) -> events.Posted | events.Reached:
    """Of a retry only the position is told, as the first try may have been committed without being told.

    Not its body: the message may have been changed since, and a client may send another one with the same key.
    """
    who, post, _ = submission
    if at.duplicate:
        return events.Reached(post.room, at.epoch, at.seq)
    return events.Posted(post.room, at.epoch, at.seq, at.ts, who.user.id, who.user.name, post.key, post.body)

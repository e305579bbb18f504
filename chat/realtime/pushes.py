"""The maps that go to clients: messages, answers and pushes, in one place."""

from __future__ import annotations

from typing import Any

from ..domain.errors import ChatError
from ..domain.messages import Appended, Message
from ..services import events

WireMap = dict[str, Any]


def answer(re: int | None, ok: WireMap) -> WireMap:
    """The answer to a command that was carried out."""
    return {"re": re, "ok": ok}


def refusal(re: int | None, refused: ChatError) -> WireMap:
    """The answer to a command that was not; `re` is null if the command had no readable id."""
    told: WireMap = {"code": refused.code, "message": refused.message, "retryable": refused.retryable}
    if refused.retry_after is not None:
        told["retry_after_ms"] = max(1, round(refused.retry_after * 1000))
    return {"re": re, "err": told}


def receipt(appended: Appended) -> WireMap:
    """What the sender of a message is told once it is committed."""
    told: WireMap = {"epoch": appended.epoch, "seq": appended.seq, "ts": appended.ts}
    if appended.duplicate:
        told["duplicate"] = True
    return told


def outcome(re: int | None, posted: Appended | ChatError) -> WireMap:
    """The answer to a `publish`."""
    return answer(re, receipt(posted)) if isinstance(posted, Appended) else refusal(re, posted)


def revision(changed: Message) -> WireMap:
    """What the one who edited or deleted a message is told."""
    return {"seq": changed.seq, "revision": changed.revision}


def message(stored: Message, name: str) -> WireMap:
    """A message as history and pushes show it."""
    shown: WireMap = {
        "seq": stored.seq,
        "ts": stored.ts,
        "user": stored.user,
        "name": name,
        "key": stored.key,
        "body": stored.body,
    }
    if stored.revision:
        shown["revision"] = stored.revision
    if stored.deleted:
        shown["deleted"] = True
    return shown


def message_push(room: str, epoch: str, shown: WireMap) -> WireMap:
    """The push of a message."""
    return {"push": "message", "room": room, "epoch": epoch, **shown}


def posted(event: events.Posted) -> WireMap:
    """The push of a message that has just been committed."""
    return {
        "push": "message",
        "room": event.room,
        "epoch": event.epoch,
        "seq": event.seq,
        "ts": event.ts,
        "user": event.user,
        "name": event.name,
        "key": event.key,
        "body": event.body,
    }


def edited(event: events.Edited) -> WireMap:
    """A message has a new body."""
    return {
        "push": "edited",
        "room": event.room,
        "epoch": event.epoch,
        "seq": event.seq,
        "revision": event.revision,
        "user": event.user,
        "body": event.body,
    }


def deleted(event: events.Deleted) -> WireMap:
    """A message was emptied."""
    return {
        "push": "deleted",
        "room": event.room,
        "epoch": event.epoch,
        "seq": event.seq,
        "revision": event.revision,
        "user": event.user,
    }


def presence(event: events.PresenceChanged) -> WireMap:
    """Who came and who went since the last push."""
    joins = [{"id": user, "name": name} for user, name in event.joins]
    return {"push": "presence", "room": event.room, "joins": joins, "leaves": event.leaves, "online": event.online}


def typing(event: events.Typing) -> WireMap:
    """Somebody is writing."""
    return {"push": "typing", "room": event.room, "user": event.user, "name": event.name}


def read(event: events.MarkRaised) -> WireMap:
    """Somebody has read up to `seq`."""
    return {"push": "read", "room": event.room, "user": event.user, "seq": event.seq}


def member(room: str, user: str, role: str | None) -> WireMap:
    """Somebody has another role; null: is no member (any more)."""
    return {"push": "member", "room": room, "user": user, "role": role}


def removed(room: str, reason: str) -> WireMap:
    """To the user who is no member any more: nothing more will come from this room."""
    return {"push": "removed", "room": room, "reason": reason}


def room(event: events.RoomsChanged, role: str | None) -> WireMap:
    """To one user: a room came into their list, or left it, or their role in it changed."""
    return {
        "push": "room",
        "room": event.room,
        "kind": event.kind,
        "name": event.name,
        "title": event.title,
        "role": role,
    }


def gap(room: str, epoch: str, first: int, last: int) -> WireMap:
    """The messages `first` to `last` were not sent, or not all of them: page them from the history."""
    return {"push": "gap", "room": room, "epoch": epoch, "from": first, "to": last}


def bye(reason: str, reconnect_after_ms: int) -> WireMap:
    """The node is about to close the connection."""
    return {"push": "bye", "reason": reason, "reconnect_after_ms": reconnect_after_ms}

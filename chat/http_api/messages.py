"""History and unread counts; messages are posted on a socket."""

from __future__ import annotations

from .routing import Call, Endpoint
from .views import MessagesAnswer, MessagesQuery, MessageView, UnreadAnswer


async def history(call: Call, query: MessagesQuery) -> MessagesAnswer:
    """Answers a page of messages, oldest first."""
    found, more, epoch = await call.services.messaging.history(
        call.identity, call.room, before=query.before, after=query.after, limit=query.limit
    )
    names = await call.services.names.of(list({message.user for message in found}))
    return MessagesAnswer([MessageView.of(message, names.get(message.user, "")) for message in found], more, epoch)


async def unread(call: Call) -> UnreadAnswer:
    """Counts unread messages."""
    mine = await call.services.rooms.mine(call.identity)
    rooms = {str(line.room.id): line.unread for line in mine if line.unread}
    mentions = {str(line.room.id): len(line.mentions) for line in mine if line.mentions}
    return UnreadAnswer(rooms, sum(rooms.values()), mentions, sum(mentions.values()))


ENDPOINTS = [
    Endpoint("GET", "/api/rooms/{room}/messages", history),
    Endpoint("GET", "/api/unread", unread),
]

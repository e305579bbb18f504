"""The Python client, on trio.

    async with open_client("http://127.0.0.1:8000", name="ada", password="…") as client:
        room = await client.join(room_id)
        await room.publish("hello")
        async for message in room:
            print(message.name, message.text)

`docs/client.md` is its manual.
"""

from .client import Client, State, open_client, register
from .config import ClientConfig
from .errors import (
    ClientClosed,
    ClientError,
    ConnectionLost,
    HandshakeRefused,
    ProtocolViolation,
    RemovedFromRoom,
    SessionEnded,
)
from .events import (
    Deleted,
    Edited,
    Event,
    Member,
    MemberChanged,
    Message,
    Missed,
    Online,
    Page,
    Position,
    PresenceChanged,
    Published,
    ReadMark,
    RoomChanged,
    RoomInfo,
    Typing,
    Unrecovered,
    User,
)
from .room import Room

__all__ = [
    "Client",
    "ClientClosed",
    "ClientConfig",
    "ClientError",
    "ConnectionLost",
    "Deleted",
    "Edited",
    "Event",
    "HandshakeRefused",
    "Member",
    "MemberChanged",
    "Message",
    "Missed",
    "Online",
    "Page",
    "Position",
    "PresenceChanged",
    "ProtocolViolation",
    "Published",
    "ReadMark",
    "RemovedFromRoom",
    "Room",
    "RoomChanged",
    "RoomInfo",
    "SessionEnded",
    "State",
    "Typing",
    "Unrecovered",
    "User",
    "open_client",
    "register",
]

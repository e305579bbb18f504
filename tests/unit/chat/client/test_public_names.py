"""What `chat.client` offers; adding to it is a decision, removing from it breaks somebody."""

from __future__ import annotations

import chat.client

NAMES = """
    Client ClientClosed ClientConfig ClientError ConnectionLost Deleted Edited Event HandshakeRefused Member
    MemberChanged Message Missed Online Page Position PresenceChanged ProtocolViolation Published ReadMark
    RemovedFromRoom Room RoomChanged RoomInfo SessionEnded State Typing Unrecovered User open_client register
"""


def test_the_public_names_are_these() -> None:
    assert chat.client.__all__ == NAMES.split()
    assert all(hasattr(chat.client, name) for name in chat.client.__all__)

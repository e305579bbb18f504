"""Connections as chat sessions: codecs, commands, room feeds.

codecs/            a client protocol each: frames ⇄ maps of one data model
realtime.py        the two loops: what the gateway reports, what the fleet tells
handshake.py       who may connect            authentication.py   who they are, and until when
session.py         one connection's state     dispatch.py         its commands, in order → services
joins.py           join, resume, leave        answers.py          its answers, batched
feeds.py           rooms that this node hears  room_feed.py       one room's order and gaps
subscriptions.py   the broker's channels      recent.py           what a brief absence missed
fields.py          commands, read strictly    pushes.py           the maps that go out
"""

from .config import RealtimeConfig
from .realtime import Realtime

__all__ = ["Realtime", "RealtimeConfig"]

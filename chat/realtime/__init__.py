"""Connections as chat sessions: codecs, commands, room feeds.

realtime.py        the two loops: what the gateway reports, what the fleet tells
admission.py       who may connect
handshake.py       what a handshake asks for
authentication.py  whom a connection speaks for, and until when
session.py         one connection's state, and where to find it
dispatch.py        its commands, in their order, to the services
publishing.py      its messages, together with everybody else's
joins.py           join, resume, leave, removal
answers.py         what goes back to it, batched
feeds.py           the rooms that this node listens to
room_feed.py       one room's order and gaps
backlog.py         what its subscribers were sent last, and the way further back
recent.py          messages at hand, bounded
subscriptions.py   the broker's channels
recheck.py         who may still be here, after events were lost
fence.py           what a node does first that was frozen
fields.py          commands, read strictly
pushes.py          the maps that go out
codecs/            frames to maps and back, a file for each client protocol
"""

from .config import RealtimeConfig
from .realtime import Realtime

__all__ = ["Realtime", "RealtimeConfig"]

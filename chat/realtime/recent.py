"""The newest messages of a room, as delivered: what a client that was away briefly has missed."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable

from gateway_core.gateway import Payload

from ..services import events
from .codecs import Codec
from .pushes import WireMap


class Delivered:
    """One message push and its encodings, each made when it is first needed. `size` is an estimate in bytes."""

    __slots__ = ("_frames", "added", "push", "seq", "size")

    def __init__(self, seq: int, push: WireMap, size: int, added: float) -> None:
        self.seq = seq
        self.push = push
        self.size = size
        self.added = added
        self._frames: dict[str, Payload] = {}

    def frame(self, codec: Codec) -> Payload:
        """The push as `codec` writes it: encoded once, whoever asks."""
        frame = self._frames.get(codec.name)
        if frame is None:
            frame = self._frames[codec.name] = codec.encode(self.push)
        return frame

    def change(self, event: events.Edited | events.Deleted) -> None:
        """Follows an edit or a deletion, so that nobody resumes into an old revision."""
        if event.revision <= self.push.get("revision", 0):
            return
        body = event.body if isinstance(event, events.Edited) else {}
        self.push = {**self.push, "body": body, "revision": event.revision}
        if isinstance(event, events.Deleted):
            self.push["deleted"] = True
        self._frames = {}


class Recent:
    """A gapless run of messages up to the newest. Bounded in number, bytes and age.

    Holds at least `max_bytes` before it drops what is oldest, so whoever misses more than that is known
    to miss too much.
    """

    __slots__ = ("_max_bytes", "_max_messages", "_messages", "_seconds", "bytes")

    def __init__(self, max_messages: int, max_bytes: int, seconds: float) -> None:
        self._messages: deque[Delivered] = deque()
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._seconds = seconds
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def oldest(self) -> int | None:
        """The lowest seq at hand."""
        return self._messages[0].seq if self._messages else None

    @property
    def full(self) -> bool:
        """Whether there is no room for older messages."""
        return len(self._messages) >= self._max_messages or self.bytes >= self._max_bytes

    def append(self, delivered: Delivered) -> None:
        """Adds the newest message."""
        self._messages.append(delivered)
        self.bytes += delivered.size
        self.shrink(delivered.added)

    def prepend(self, older: Iterable[Delivered]) -> None:
        """Adds messages from `oldest` - 1 downward, newest first, as far as there is room."""
        for delivered in older:
            if self.full:
                break
            self._messages.appendleft(delivered)
            self.bytes += delivered.size

    def shrink(self, now: float) -> None:
        """Drops from the old end what is too much or too old."""
        while messages := self._messages:
            first = messages[0]
            spare = len(messages) > self._max_messages or self.bytes - first.size >= self._max_bytes
            if not spare and now - first.added < self._seconds:
                break
            messages.popleft()
            self.bytes -= first.size

    def clear(self) -> None:
        """Forgets everything: the history has another epoch."""
        self._messages.clear()
        self.bytes = 0

    def after(self, seq: int) -> list[Delivered] | None:
        """The messages above `seq`; None if they do not reach back to it."""
        if not self._messages or seq + 1 < self._messages[0].seq:
            return None
        return list(itertools.islice(self._messages, seq + 1 - self._messages[0].seq, None))

    def change(self, event: events.Edited | events.Deleted) -> None:
        """Follows an edit or a deletion of a message that is at hand."""
        if self._messages and (index := event.seq - self._messages[0].seq) >= 0 and index < len(self._messages):
            self._messages[index].change(event)

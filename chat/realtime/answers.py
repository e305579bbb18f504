"""The way out for one connection's own answers."""

from __future__ import annotations

from gateway_core.gateway import Gateway, Payload

from .codecs import MAX_BATCH
from .pushes import WireMap
from .session import Session

FRAME_BYTES = 65_536
"""A batch that has reached this size goes out; a single item may be longer."""


class Answers:
    """Collects answers that are ready together, and sends them as one frame."""

    __slots__ = ("_bytes", "_frames", "_gateway", "_session")

    def __init__(self, gateway: Gateway, session: Session) -> None:
        self._gateway = gateway
        self._session = session
        self._frames: list[Payload] = []
        self._bytes = 0

    def add(self, answer: WireMap) -> None:
        """Encodes `answer`; it goes out with the next `flush`, or now if the frame is full."""
        self.add_frame(self._session.codec.encode(answer))

    def add_frame(self, frame: Payload) -> None:
        """The same for a map that is encoded already."""
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) >= MAX_BATCH or self._bytes >= FRAME_BYTES:
            self.flush()

    def flush(self) -> None:
        """Sends what is collected, if anything is."""
        frames = self._frames
        if frames:
            self._gateway.send(
                self._session.connection, frames[0] if len(frames) == 1 else self._session.codec.join(frames)
            )
            self._frames = []
            self._bytes = 0

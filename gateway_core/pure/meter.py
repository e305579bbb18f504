"""The limits of an open connection, judged on frame headers before trio-websocket sees the bytes.

trio-websocket bounds a message in characters and after the fact, and tells nothing of frames. The meter follows
the frame headers (RFC 6455 §5.2) only as far as counting needs; whether they are legal is for trio-websocket to say.
"""

from __future__ import annotations

from ..config import GatewayConfig
from ..gateway import CloseCode

_CLOSE = 0x8


class TokenBucket:
    """`rate` tokens a second, at most `burst` saved."""

    __slots__ = ("_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = now

    def take(self, tokens: float, now: float) -> bool:
        """Takes `tokens` if they are there."""
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if tokens > self._tokens:
            return False
        self._tokens -= tokens
        return True


class Violation(Exception):
    """A limit is passed: the connection closes with `code` and `reason`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.allowed = 0
        """How many of the bytes fed last came before the frame that passed it."""


class Meter:
    """Follows the frames of one connection."""

    __slots__ = (
        "_bytes",
        "_config",
        "_empty_fragments",
        "_frames",
        "_header",
        "_in_close",
        "_message_bytes",
        "_payload_left",
        "message_started",
        "peer_closed",
    )

    def __init__(self, config: GatewayConfig, now: float) -> None:
        self._config = config
        self._frames = TokenBucket(config.max_messages_per_second, config.message_burst, now)
        self._bytes = TokenBucket(config.max_bytes_per_second, config.bytes_burst, now)
        self._header = bytearray()
        self._payload_left = 0
        self._in_close = False
        self._message_bytes = 0
        self._empty_fragments = 0
        self.message_started: float | None = None
        """When the first fragment of the unfinished message came; None if there is none."""
        self.peer_closed = False
        """Whether a whole Close frame has come."""

    def feed(self, data: bytes, now: float) -> Violation | None:
        """Counts what was received."""
        if not self._bytes.take(len(data), now):
            return Violation(CloseCode.POLICY_VIOLATION, "too many bytes per second")
        try:
            self._scan(data, now)
        except Violation as violation:
            return violation
        return None

    def _scan(self, data: bytes, now: float) -> None:
        at = frame_start = 0
        while at < len(data) and not self.peer_closed:
            if self._payload_left:
                step = min(self._payload_left, len(data) - at)
                self._payload_left -= step
                at += step
            else:
                self._header.append(data[at])
                at += 1
                if len(self._header) < _header_size(self._header):
                    continue
                try:
                    self._frame(self._header[0], _payload_size(self._header), now)
                except Violation as violation:
                    violation.allowed = frame_start
                    raise
                self._header.clear()
            if not self._payload_left and not self._header:
                frame_start = at
            self.peer_closed = self._in_close and not self._payload_left

    def _frame(self, first: int, size: int, now: float) -> None:
        if not self._frames.take(1, now):
            raise Violation(CloseCode.POLICY_VIOLATION, "too many messages per second")
        opcode, fin = first & 0x0F, bool(first & 0x80)
        self._payload_left = size
        if opcode & 0x8:
            self._in_close = opcode == _CLOSE
        else:
            self._fragment(fin, size, now)

    def _fragment(self, fin: bool, size: int, now: float) -> None:
        self._message_bytes += size
        if self._message_bytes > self._config.max_message_bytes:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, "the message is too big")
        self._empty_fragments += size == 0
        if self._empty_fragments > self._config.max_empty_fragments:
            raise Violation(CloseCode.POLICY_VIOLATION, "too many empty fragments")
        if self.message_started is None:
            self.message_started = now
        if fin:
            self._message_bytes = self._empty_fragments = 0
            self.message_started = None


def _header_size(header: bytearray) -> int:
    if len(header) < 2:
        return 2
    mask = 4 if header[1] & 0x80 else 0
    return 2 + {126: 2, 127: 8}.get(header[1] & 0x7F, 0) + mask


def _payload_size(header: bytearray) -> int:
    size = header[1] & 0x7F
    if size == 126:
        return int.from_bytes(header[2:4], "big")
    if size == 127:
        return int.from_bytes(header[2:10], "big")
    return size

"""One peer that asked for a WebSocket, from its request to its `Closed`."""

from __future__ import annotations

import contextlib
import enum

import trio

from ..gateway import CloseCode, Closed, ConnectionId
from .conversation import Conversation
from .head import Upgrade, response
from .outbox import Message, Outbox
from .shared import Shared
from .stream import read_to_end

_MAX_EARLY_BYTES = 65_536


class State(enum.Enum):
    """Where a connection stands."""

    HANDSHAKE = "waits for the verdict"
    OPEN = "open"
    CLOSING = "closing: commands have no effect, and nothing received is reported"


class Connection:
    """Commands change the state at once; the task in `run` carries out what that means for the socket."""

    def __init__(
        self,
        shared: Shared,
        identity: ConnectionId,
        peer: str,
        socket: trio.SocketStream,
        request: Upgrade,
        early: bytes,
    ) -> None:
        self.identity = identity
        self.peer = peer
        self.socket = socket
        self.request = request
        self.early = bytearray(early)
        """What came behind the request before the verdict."""
        self.state = State.HANDSHAKE
        self.subprotocol: str | None = None
        self.encoding = ""
        self.topics: set[str] = set()
        self.outbox = Outbox(shared.config.soft_outbox_bytes)
        self.end: tuple[int, str] | None = None
        """Close code and reason, once one side has begun to close."""
        self.failed = False
        """Whether the peer broke a rule, so that its answer to our Close frame does not matter."""
        self.closing_since = 0.0
        self.talk = trio.CancelScope()
        """Ends the conversation, and leaves the closing handshake."""
        self.reported = False
        self._shared = shared
        self._refusal = b""
        self._decided = trio.Event()
        self._life = trio.CancelScope()
        self._conversation: Conversation | None = None

    def accept(self, subprotocol: str | None, encoding: str) -> None:
        self.state = State.OPEN
        self.subprotocol = subprotocol
        self.encoding = encoding
        self._decided.set()

    def reject(self, refusal: bytes) -> None:
        self.state = State.CLOSING
        self._refusal = refusal
        self._decided.set()

    def send(self, message: Message) -> bool:
        """Queues a message; closes with 4008, and returns False, if the outbox would pass its hard limit."""
        if self.outbox.bytes + message.size > self._shared.config.max_outbox_bytes:
            self.fail(CloseCode.SLOW_CONSUMER, "the outbox is full")
            return False
        self.outbox.push(message)
        self._shared.counters.messages_out += 1
        return True

    def close(self, code: int, reason: str) -> None:
        """Closes after what is queued."""
        self.begin_end(code, reason)
        self.outbox.close()

    def fail(self, code: int, reason: str) -> None:
        """Closes without what is queued: the peer broke a rule."""
        if self.reported or self.failed:
            return
        self.begin_end(code, reason)
        self.failed = True
        self._shared.counters.slow_consumers += code == CloseCode.SLOW_CONSUMER
        self.talk.cancel()

    def begin_end(self, code: int, reason: str) -> None:
        """From now on commands have no effect; `Closed` will say `code` and `reason`."""
        self.state = State.CLOSING
        self.end = code, reason
        self.closing_since = trio.current_time()
        self._shared.topics.unsubscribe_all(self)

    def cut(self) -> None:
        """Ends everything at once."""
        self._life.cancel()

    def check(self, now: float) -> None:
        """Acts on the deadlines that have passed; called every now and then."""
        if self._conversation is None or self.reported:
            return
        if self.state is State.OPEN:
            self._conversation.check(now)
        elif now - self.closing_since >= self._shared.config.slow_consumer_seconds:
            self.talk.cancel()

    async def run(self) -> None:
        """Lives the connection's life; reports exactly one `Closed`, however it ends."""
        try:
            with self._life:
                await self._await_verdict()
                if self.state is State.OPEN or self.end is not None:
                    self._conversation = Conversation(self, self._shared)
                    await self._conversation.run()
                else:
                    await self._refuse()
        finally:
            self.report(clean=False)

    def report(self, *, clean: bool) -> None:
        """Tells the application of the end; a second time is nothing."""
        if self.reported:
            return
        self.reported = True
        self.state = State.CLOSING
        self._shared.remove(self)
        code, reason = self.end or (CloseCode.ABNORMAL, "")
        self._shared.events.put(Closed(self.identity, code, reason, clean))

    async def _await_verdict(self) -> None:
        self._shared.handshakes += 1
        try:
            with trio.move_on_after(self._shared.config.handshake_seconds):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._receive_early)
                    await self._decided.wait()
                    nursery.cancel_scope.cancel()
        finally:
            self._shared.handshakes -= 1

    async def _receive_early(self) -> None:
        """Keeps what comes before the verdict, and notices a peer that leaves."""
        with contextlib.suppress(trio.BrokenResourceError):
            while data := await self.socket.receive_some(_MAX_EARLY_BYTES):
                self.early += data
                if len(self.early) > _MAX_EARLY_BYTES:
                    await trio.sleep_forever()
        self._life.cancel()

    async def _refuse(self) -> None:
        self.state = State.CLOSING
        self._shared.counters.refused += 1
        answer = self._refusal or response(503, (), b"no verdict in time")
        with trio.move_on_after(self._shared.config.close_seconds), contextlib.suppress(trio.BrokenResourceError):
            await self.socket.send_all(answer)
            self.report(clean=False)
            await read_to_end(self.socket)

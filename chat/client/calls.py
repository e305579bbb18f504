"""Commands and their answers: the outbox with tasks waiting at it."""

from __future__ import annotations

from typing import Any

import trio

from ..domain.errors import ChatError, Invalid
from .backoff import full_jitter
from .codec import Codec
from .errors import ClientClosed, ProtocolViolation, refusal
from .outbox import Answer, Outbox, Request

MAX_PAUSE_SECONDS = 300.0
"""The longest pause that a server may wish for before a command is repeated."""

MAX_COMMAND_BYTES = 65_536
"""What a server takes by default; `hello` tells what this one takes."""
_ENVELOPE_BYTES = 64
"""For the id and the name of the operation."""
MAX_EXTRA_SECONDS = 4.0
"""What is added to such a pause at most: a bucket that refills slowly has several places then."""


class Signal:
    """Wakes the one task that waits, now or when it next does."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = trio.Event()


class Calls:
    """Sends commands for whoever calls, repeats them while the server says that trying again helps."""

    def __init__(self, max_waiting: int, codec: Codec) -> None:
        self.max_command_bytes = MAX_COMMAND_BYTES
        """As the server of the present connection says."""
        self._codec = codec
        self._outbox = Outbox()
        self._slots = trio.Semaphore(max_waiting)
        self._changed = Signal()
        self._closed: ClientClosed | None = None

    async def ask(self, op: str, fields: dict[str, Any], lane: str | None = None) -> dict[str, Any]:
        """The answer's map, however many connections it takes.

        Waits while `max_waiting` others wait. Cancelling withdraws a command that was not sent; one that was may be
        carried out. Raises: ChatError if the server refuses it for good; ClientClosed.
        """
        async with self._slots:
            return await self._ask(op, fields, lane, survives=True)

    async def ask_once(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The same over the present connection; the caller's task must end with it."""
        return await self._ask(op, fields, None, survives=False)

    def start(self, request: Request, delay: float = 0.0) -> None:
        """Sends without waiting, after `delay` seconds.

        Raises: ClientClosed; Invalid for what cannot be encoded or is too long for a frame, which ends a connection.
        """
        if self._closed:
            raise self._closed
        size = len(self._codec.encode(request.fields)) + _ENVELOPE_BYTES
        if size > self.max_command_bytes:
            raise Invalid(f"{request.op} takes {size} bytes on the wire, at most {self.max_command_bytes} are allowed")
        self._outbox.add(request, trio.current_time() + delay if delay else 0.0)
        self._changed.set()

    async def _ask(self, op: str, fields: dict[str, Any], lane: str | None, survives: bool) -> dict[str, Any]:
        reply = _Reply()
        request = Request(op, fields, reply.resolve, lane, survives)
        self.start(request)
        try:
            await reply.event.wait()
        finally:
            self._outbox.withdraw(request)
        if isinstance(reply.answer, Exception):
            raise reply.answer
        return _map(reply.answer)

    async def wait_ready(self) -> list[Request]:
        """Commands to send now, at least one. One waiter."""
        while not (ready := self._outbox.poll(trio.current_time())):
            next_time = self._outbox.next_time()
            with trio.CancelScope(deadline=float("inf") if next_time is None else next_time):
                await self._changed.wait()
        return ready

    def answered(self, answer: dict[str, Any]) -> None:
        """Takes an answer from the server. Raises: ProtocolViolation."""
        request = self._outbox.answered(answer.get("re"))
        self._changed.set()
        if request is None:
            return
        if "ok" in answer:
            request.resolve(_map(answer["ok"]))
            return
        error = refusal(answer.get("err"))
        if error.retryable:
            self._outbox.retry(request, trio.current_time() + _pause(error, request.attempts))
        else:
            request.resolve(error)

    def disconnected(self) -> None:
        """No answer comes over that connection any more."""
        self._outbox.disconnected()

    def close(self, cause: Exception | None) -> ClientClosed:
        """Everybody who waits gets the returned error, and whoever comes later; the first `cause` counts."""
        if self._closed is None:
            self._closed = ClientClosed(f"the client failed: {cause}" if cause else "the client is closed")
            self._closed.__cause__ = cause
            for request in self._outbox.drain():
                request.resolve(self._closed)
        return self._closed


class _Reply:
    """An answer that a task waits for."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.answer: Answer = None

    def resolve(self, answer: Answer) -> None:
        self.answer = answer
        self.event.set()


def _pause(error: ChatError, attempts: int) -> float:
    """What the server asks for and a little more, so that many who were refused together come back apart."""
    if error.retry_after is None:
        return full_jitter(attempts)
    return min(error.retry_after, MAX_PAUSE_SECONDS) + full_jitter(attempts, cap=MAX_EXTRA_SECONDS)


def _map(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolViolation("an answer of the server is not a map")
    return value

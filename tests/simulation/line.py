"""A client's connection, one after the other: commands out, answers and pushes in."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import cbor2
import msgspec
import trio

from chat.domain.users import Identity
from chat.realtime.codecs import CODECS
from gateway_core.gateway import CloseCode

from .clock import sleep
from .gateway import Socket
from .node import TOKENS, Node
from .trace import Trace

ANSWER_SECONDS = 4.0
"""Without an answer for so long a client gives the connection up, or sends a message again."""
_FINAL = (CloseCode.BANNED, CloseCode.SESSION_REVOKED, CloseCode.UNAUTHENTICATED)
_DELAYS = (0.0, 0.0, 0.01, 0.05)

Answer = Callable[[Mapping[str, Any] | None, Mapping[str, Any] | None], None]
"""Called with what is in `ok`, or with what is in `err`."""


class Speaker(Protocol):
    """Whoever speaks over a line."""

    def greeted(self) -> None:
        """A node has accepted this user."""

    def told(self, push: Mapping[str, Any]) -> None:
        """Something was pushed."""

    def offline(self) -> None:
        """The connection has gone, and with it what was asked."""


@dataclasses.dataclass(slots=True)
class _Asked:
    at: float
    answer: Answer


class Line:
    """Connects to any node, and again when that has ended, until the user is signed out for good."""

    def __init__(
        self, name: str, who: Identity, speaker: Speaker, *, nodes: list[Node], trace: Trace, chance: random.Random
    ) -> None:
        self.is_greeted = False
        """Whether it can be spoken over."""
        self.is_out = False
        """Banned, or the session was ended."""
        self.reads_after = 0.0
        """Until then nothing is read of what arrives."""
        self._name = name
        self._who = who
        self._speaker = speaker
        self._nodes = nodes
        self._trace = trace
        self._chance = chance
        self._codec = CODECS[chance.choice(("chat.v1.json", "chat.v1.cbor"))]
        self._socket: Socket | None = None
        self._ids = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._tries = 0

    async def run(self) -> None:
        """Returns when the user is signed out."""
        while not self.is_out:
            await sleep(round(self._chance.uniform(0, min(2.0, 0.1 * 2**self._tries)), 2))
            self._tries += 1
            socket = await self._connect()
            if socket is not None:
                await self._converse(socket)

    def ask(self, op: str, answer: Answer, **fields: Any) -> None:
        """Sends a command. `answer` is not called if the connection ends first."""
        if self._socket is not None:
            number = next(self._ids)
            self._asked[number] = _Asked(trio.current_time(), answer)
            self._socket.send(self._codec.encode({"id": number, "op": op, **fields}))

    def hang_up(self) -> None:
        """Gives the connection up, with or without a word."""
        if self._socket is not None:
            self._trace.note(self._name, "gives its connection up")
            self._socket.hang_up() if self._chance.random() < 0.5 else self._socket.vanish()
            self._offline()

    def give_up_if_mute(self) -> None:
        """If an answer has not come for too long."""
        now = trio.current_time()
        if now > self.reads_after and any(now - asked.at > ANSWER_SECONDS for asked in self._asked.values()):
            self.hang_up()

    async def _connect(self) -> Socket | None:
        process = self._chance.choice(self._nodes).up
        if process is None:
            return None
        token = TOKENS.issue(self._who.user, self._who.session)[0]
        with_hello = self._chance.random() < 0.3
        headers = [] if with_hello else [("authorization", f"Bearer {token}")]
        socket = process.gateway.connect(headers, self._codec.name)
        with trio.move_on_after(ANSWER_SECONDS):
            await socket.decided()
        if socket.encoding is None or socket.close_code is not None:
            self.is_out = socket.status == 401
            socket.vanish()
            return None
        self._trace.note(self._name, "connected to", process.life.name)
        self._socket = socket
        if with_hello:
            self.ask("hello", self._answer_to_hello, token=token)
        else:
            self._answer_to_hello({}, None)
        return socket

    def _answer_to_hello(self, ok: Mapping[str, Any] | None, err: Mapping[str, Any] | None) -> None:
        if ok is None:
            self.is_out = err is not None and err["code"] == "unauthenticated"
            self.hang_up()
        else:
            self.is_greeted = True
            self._speaker.greeted()

    async def _converse(self, socket: Socket) -> None:
        """Reads until the connection ends, or was given up."""
        while frames := await socket.receive():
            late = max(self._chance.choice(_DELAYS), self.reads_after - trio.current_time())
            if late > 0:
                await sleep(late)
            if socket is not self._socket:
                return
            for frame in frames:
                value = cbor2.loads(frame) if isinstance(frame, bytes) else msgspec.json.decode(frame)
                for item in value if isinstance(value, list) else [value]:
                    self._take(item)
        if socket is self._socket:
            self._trace.note(self._name, "closed with", socket.close_code)
            self.is_out = self.is_out or socket.close_code in _FINAL
            self._offline()

    def _take(self, item: Mapping[str, Any]) -> None:
        if "push" in item:
            self._speaker.told(item)
            return
        self._tries = 0
        asked = self._asked.pop(item["re"], None)
        if asked is not None:
            asked.answer(item.get("ok"), item.get("err"))

    def _offline(self) -> None:
        self._socket = None
        self.is_greeted = False
        self._asked.clear()
        self._speaker.offline()

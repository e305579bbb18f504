"""A client: it speaks the protocol frame by frame, and copes with everything as docs/protocol.md §9 says."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any

import cbor2
import msgspec
import trio

from chat.domain.rooms import RoomId
from chat.domain.users import Identity
from chat.realtime.codecs import CODECS
from gateway_core.gateway import CloseCode
from tests.support.history_checker import History, Row

from .clock import sleep
from .gateway import Socket
from .node import TOKENS, Node
from .place import Place
from .trace import Trace

ANSWER_SECONDS = 4.0
"""Without an answer for so long a client gives the connection up, or sends a message again."""
_FINAL = (CloseCode.BANNED, CloseCode.SESSION_REVOKED, CloseCode.UNAUTHENTICATED)
_DELAYS = (0.0, 0.0, 0.01, 0.05)

Answer = Callable[[Mapping[str, Any] | None, Mapping[str, Any] | None], None]
"""Called with what is in `ok`, or with what is in `err`."""


@dataclasses.dataclass(slots=True)
class Draft:
    """A message that is not acknowledged yet."""

    room: RoomId
    key: str
    text: str
    sent: float | None = None
    """When it was last sent on the connection that is open."""


@dataclasses.dataclass(slots=True)
class _Asked:
    at: float
    answer: Answer


class Client:
    """One device of one user."""

    def __init__(
        self,
        name: str,
        who: Identity,
        rooms: list[RoomId],
        *,
        nodes: list[Node],
        history: History,
        trace: Trace,
        chance: random.Random,
    ) -> None:
        self.name = name
        self.user = who.user.id
        self.places = {room: Place(room) for room in rooms}
        self.outbox: dict[str, Draft] = {}
        self.socket: Socket | None = None
        self.is_out = False
        """Signed out for good: banned, or the session was ended."""
        self.reads_after = 0.0
        """Until then it reads nothing that it is sent."""
        self.hushed = False
        """Says nothing new."""
        self._who = who
        self._nodes = nodes
        self._history = history
        self._trace = trace
        self._chance = chance
        self._codec = CODECS[chance.choice(("chat.v1.json", "chat.v1.cbor"))]
        self._ids = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._drafts = itertools.count(1)
        self._tries = 0
        self._is_greeted = False

    # Being connected

    async def run(self) -> None:
        """Connects again and again, until it is signed out."""
        while not self.is_out:
            await sleep(self._pause())
            self._tries += 1
            socket = await self._connect()
            if socket is not None:
                await self._converse(socket)

    def _pause(self) -> float:
        return round(self._chance.uniform(0, min(2.0, 0.1 * 2**self._tries)), 2)

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
        self._trace.note(self.name, "connected to", process.life.name)
        self.socket = socket
        if with_hello:
            self._ask("hello", self._greeted, token=token)
        else:
            self._greeted({}, None)
        return socket

    def _greeted(self, ok: Mapping[str, Any] | None, err: Mapping[str, Any] | None) -> None:
        if ok is None:
            self.is_out = err is not None and err["code"] == "unauthenticated"
            self.leave_node()
            return
        self._is_greeted = True
        for place in self.places.values():
            self._join(place)

    async def _converse(self, socket: Socket) -> None:
        while True:
            frames = await socket.receive()
            if not frames:
                break
            late = max(self._chance.choice(_DELAYS), self.reads_after - trio.current_time())
            if late > 0:
                await sleep(late)
            if socket is not self.socket:
                break
            for frame in frames:
                value = cbor2.loads(frame) if isinstance(frame, bytes) else msgspec.json.decode(frame)
                for item in value if isinstance(value, list) else [value]:
                    self._take(item)
        if socket is self.socket:
            self._trace.note(self.name, "closed with", socket.close_code)
            self.is_out = self.is_out or socket.close_code in _FINAL
            self._offline()

    def leave_node(self) -> None:
        """Gives the connection up, without a word."""
        if self.socket is not None:
            self._trace.note(self.name, "gives its connection up")
            self.socket.hang_up() if self._chance.random() < 0.5 else self.socket.vanish()
            self._offline()

    def _offline(self) -> None:
        self.socket = None
        self._is_greeted = False
        self._asked.clear()
        for place in self.places.values():
            place.offline()
        for draft in self.outbox.values():
            draft.sent = None

    # Doing things

    async def act(self) -> None:
        """Says something now and then, goes, comes, scrolls back, and looks after what has no answer."""
        while not self.is_out:
            await sleep(round(self._chance.uniform(0.1, 1.0), 2))
            self._look_after()
            if not self.hushed:
                self._have_an_idea()

    def _look_after(self) -> None:
        now = trio.current_time()
        if any(now - asked.at > ANSWER_SECONDS for asked in self._asked.values()) and now > self.reads_after:
            self.leave_node()
        for place in self.places.values():
            if self._is_greeted and place.stream is None and not place.asked:
                self._join(place)
            elif place.is_behind:
                self._page(place)
        self._send_outbox()

    def _have_an_idea(self) -> None:
        luck = self._chance.random()
        if luck < 0.45:
            count = self._chance.choice((1, 1, 1, 1, 2, 6))
            self._say(self._chance.choice(list(self.places)), count)
        elif luck < 0.49:
            self.leave_node()
        elif luck < 0.52:
            self._leave(self._chance.choice(list(self.places.values())))
        elif luck < 0.58:
            self._scroll_back(self._chance.choice(list(self.places.values())))

    def _say(self, room: RoomId, count: int) -> None:
        for _ in range(count):
            key = f"{self.name}-{next(self._drafts)}"
            text = f"{key} {'x' * self._chance.choice((0, 20, 200))}"
            self.outbox[key] = Draft(room, key, text)
            self._history.sends(room, self.user, key, text)
            self._trace.note(self.name, "says", key, "in", room)
        self._send_outbox()

    def _send_outbox(self) -> None:
        """In its order, what was not sent on this connection or has waited too long."""
        now = trio.current_time()
        for draft in list(self.outbox.values()):
            if self.socket is not None and (draft.sent is None or now - draft.sent > ANSWER_SECONDS):
                draft.sent = now
                body = {"text": draft.text}
                self._ask("publish", self._published(draft), room=draft.room, key=draft.key, body=body)

    def _published(self, draft: Draft) -> Answer:
        def answer(ok: Mapping[str, Any] | None, err: Mapping[str, Any] | None) -> None:
            if ok is not None:
                self.outbox.pop(draft.key, None)
                self._history.acknowledged(draft.room, self.user, draft.key, ok["seq"])
                self._trace.note(self.name, "acknowledged", draft.key, "as", draft.room, ok["seq"])
            elif err is not None and err["retryable"]:
                draft.sent = trio.current_time() - ANSWER_SECONDS / 2
            else:
                self.outbox.pop(draft.key, None)

        return answer

    def _join(self, place: Place) -> None:
        asked = trio.current_time()
        since = {"epoch": place.epoch, "seq": place.last} if place.epoch else None

        def answer(ok: Mapping[str, Any] | None, err: Mapping[str, Any] | None) -> None:
            place.asked = False
            if ok is None:
                return
            self._history.paged(place.room, self.user, asked, ())
            place.stream = self._history.receiver(self.name, place.room, ok["seq"], self.user)
            place.stream.stayed = False
            self._trace.note(self.name, "joined", place.room, "at", ok["seq"], "top", ok["top"], ok["recovered"])
            if place.reader is None:
                place.last = place.top = ok["seq"]
                place.reader = self._history.receiver(f"{self.name} (person)", place.room, ok["seq"])
            place.epoch = ok["epoch"]
            place.top = max(place.top, ok["top"])
            if not ok["recovered"] and place.is_behind:
                self._page(place)

        place.asked = True
        self._ask("join", answer, room=place.room, since=since)

    def _leave(self, place: Place) -> None:
        def answer(ok: Mapping[str, Any] | None, err: Mapping[str, Any] | None) -> None:
            place.asked = False
            place.stream = None
            self._trace.note(self.name, "left", place.room)

        if place.stream is not None and not place.asked:
            place.asked = True
            self._ask("leave", answer, room=place.room)

    def _page(self, place: Place) -> None:
        """The messages behind the last one that it has."""
        if place.paging or place.stream is None:
            return

        def show(rows: list[Row]) -> None:
            place.paging = False
            place.see(rows)
            if place.is_behind and rows:
                self._page(place)

        def fail() -> None:
            place.paging = False

        place.paging = True
        self._read(place, show, fail, after=place.last, limit=self._chance.choice((1, 10, 50)))

    def _scroll_back(self, place: Place) -> None:
        if place.stream is not None:
            self._read(place, lambda rows: None, lambda: None, before=place.last + 1, limit=5)

    def _read(self, place: Place, show: Callable[[list[Row]], None], fail: Callable[[], None], **fields: Any) -> None:
        asked = trio.current_time()

        def answer(ok: Mapping[str, Any] | None, err: Mapping[str, Any] | None) -> None:
            if ok is None:
                fail()
                return
            rows = [_row(item, place.epoch) for item in ok["messages"]]
            self._history.paged(place.room, self.user, asked, rows)
            self._trace.note(self.name, "read", place.room, [row.seq for row in rows])
            show(rows)

        self._ask("history", answer, room=place.room, **fields)

    def _ask(self, op: str, answer: Answer, **fields: Any) -> None:
        if self.socket is not None:
            number = next(self._ids)
            self._asked[number] = _Asked(trio.current_time(), answer)
            self.socket.send(self._codec.encode({"id": number, "op": op, **fields}))

    # Being told things

    def _take(self, item: Mapping[str, Any]) -> None:
        if "re" in item:
            self._tries = 0
            asked = self._asked.pop(item["re"], None)
            if asked is not None:
                asked.answer(item.get("ok"), item.get("err"))
            return
        match item["push"]:
            case "message":
                self._message(self.places[item["room"]], item)
            case "gap":
                self._gap(self.places[item["room"]], item)
            case "removed":
                self._trace.note(self.name, "is told of its removal from", item["room"])
                self.places[item["room"]].stream = None
            case "bye":
                self._trace.note(self.name, "is told bye")

    def _message(self, place: Place, item: Mapping[str, Any]) -> None:
        row = _row(item, item["epoch"])
        self._trace.note(self.name, "got", place.room, row.seq, row.key)
        stream = place.stream
        if stream is None:
            stream = self._history.receiver(f"{self.name}, who had not joined", place.room, row.seq, self.user)
            stream.told_of_gap(row.seq, row.seq)  # which is wrong in any case
        stream.received(row.seq, row.sender, row.key, epoch=row.epoch, text=row.text)
        place.see([row])
        if place.is_behind:
            self._page(place)

    def _gap(self, place: Place, item: Mapping[str, Any]) -> None:
        self._trace.note(self.name, "has a gap in", place.room, item["from"], item["to"])
        if place.stream is not None:
            place.stream.told_of_gap(item["from"], item["to"])
        place.top = max(place.top, item["to"])
        if place.is_behind:
            self._page(place)

    # Being in order

    def lacks(self, members: Mapping[RoomId, bool], tops: Mapping[RoomId, int]) -> list[str]:
        """What still has to come until everything is as it should be; `members`: in which rooms it is one."""
        if self.is_out:
            return []
        if self.socket is None:
            return ["is not connected"]
        missing = [f"has no answer for {key}" for key in self.outbox]
        for room, place in self.places.items():
            if not members[room]:
                missing += [f"still listens to {room}"] if place.stream is not None else []
            elif place.stream is None:
                missing.append(f"is not in {room}")
            elif place.last < tops[room]:
                missing.append(f"has {room} up to {place.last} of {tops[room]}")
        return missing


def _row(item: Mapping[str, Any], epoch: str) -> Row:
    return Row(item["seq"], item["user"], item["key"], epoch, item["body"].get("text", ""), trio.current_time())

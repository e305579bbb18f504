"""A client: it copes with everything as docs/protocol.md §9 says."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import trio

from chat.domain.rooms import RoomId
from chat.domain.users import Identity
from tests.support.history_checker import History, Row

from .clock import sleep
from .line import ANSWER_SECONDS, Answer, Line
from .node import Node
from .place import Place
from .trace import Trace


@dataclasses.dataclass(slots=True)
class Draft:
    """A message that is not acknowledged yet."""

    room: RoomId
    key: str
    text: str
    sent: float | None = None
    """When it was last sent on the connection that is open."""


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
        self.hushed = False
        """Says nothing new."""
        self.line = Line(name, who, self, nodes=nodes, trace=trace, chance=chance)
        self._history = history
        self._trace = trace
        self._chance = chance
        self._drafts = itertools.count(1)

    # What the line tells

    def greeted(self) -> None:
        for place in self.places.values():
            if trio.current_time() >= place.away_until:
                self._join(place)

    def told(self, push: Mapping[str, Any]) -> None:
        match push["push"]:
            case "message":
                self._message(self.places[push["room"]], push)
            case "gap":
                self._gap(self.places[push["room"]], push)
            case "removed":
                self._trace.note(self.name, "is told of its removal from", push["room"])
                self.places[push["room"]].stream = None
            case "bye":
                self._trace.note(self.name, "is told bye")

    def offline(self) -> None:
        for place in self.places.values():
            place.offline()
        for draft in self.outbox.values():
            draft.sent = None

    # Doing things

    async def act(self) -> None:
        """Says something now and then, goes, comes, scrolls back, and looks after what has no answer."""
        while not self.line.is_out:
            await sleep(round(self._chance.uniform(0.1, 1.0), 2))
            self._look_after()
            if not self.hushed:
                self._have_an_idea()

    def _look_after(self) -> None:
        self.line.give_up_if_mute()
        for place in self.places.values():
            missing = place.stream is None and not place.asked and trio.current_time() >= place.away_until
            if self.line.is_greeted and missing:
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
            self.line.hang_up()
        elif luck < 0.54:
            self._leave(self._chance.choice(list(self.places.values())))
        elif luck < 0.60:
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
            if self.line.is_greeted and (draft.sent is None or now - draft.sent > ANSWER_SECONDS):
                draft.sent = now
                body = {"text": draft.text}
                self.line.ask("publish", self._published(draft), room=draft.room, key=draft.key, body=body)

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
                place.reader.opened = math.inf  # it also pages, whenever it comes to that
            place.epoch = ok["epoch"]
            place.top = max(place.top, ok["top"])
            if not ok["recovered"] and place.is_behind:
                self._page(place)

        place.asked = True
        self.line.ask("join", answer, room=place.room, since=since)

    def _leave(self, place: Place) -> None:
        def answer(ok: Mapping[str, Any] | None, err: Mapping[str, Any] | None) -> None:
            place.asked = False
            place.stream = None
            self._trace.note(self.name, "left", place.room)

        if place.stream is not None and not place.asked:
            place.asked = True
            place.away_until = trio.current_time() + self._chance.uniform(0, 6)
            self.line.ask("leave", answer, room=place.room)

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

        self.line.ask("history", answer, room=place.room, **fields)

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
        if self.line.is_out:
            return []
        if not self.line.is_greeted:
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

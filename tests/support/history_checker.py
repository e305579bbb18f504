"""Judges a run by its logs: was anything lost, doubled, reordered, leaked, or never really tested?

Publishers and receivers write down what they see while it happens, faults and all; at the end the stored
history of every room is added, and `violations` says in words what must not have been:

- an acknowledged message that is not stored where the acknowledgement said (lost, or moved);
- two rows for one (room, sender, key), or two acknowledgements of it that differ;
- a room whose stored numbers are not 1, 2, 3 …, or a row that nobody sent, or that says something else;
- a receiver that saw anything but the next number, unless it was told of a break just before;
- a receiver that stayed to the end and did not get everything after its start, or got other content than is stored;
- a message that was sent after another one of its sender was acknowledged, and stored before it;
- a message that was sent when its reader, or its sender, had been out of the room for longer than news of that
  may take, or a page of history that was asked for by somebody who was out;
- a push that came later than `due` allows;
- too little traffic, or too few faults: such a run proves nothing.

    history = History()
    history.sends("r1", "ada", "k1", "hello")
    history.acknowledged("r1", "ada", "k1", 1)
    bob = history.receiver("bob", "r1", start=0)
    bob.received(1, "ada", "k1", text="hello")
    history.stored("r1", [Row(1, "ada", "k1", text="hello")])
    history.check(min_acked=1)

What a log does not know it leaves out: without epochs, texts and members these are not judged.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator

from tests.support.memberships import Memberships

_SHOWN = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A message as the store has it, or as somebody received it; equal if it is the same message."""

    seq: int
    sender: str
    key: str
    epoch: str = ""
    text: str = ""
    at: float | None = dataclasses.field(default=None, compare=False)
    """When it was committed, or received, by the clock of the `History`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """The reader was told that `first` to `last` do not come this way, so that the next is `last` + 1."""

    first: int
    last: int


Entry = Row | Gap | str
"""What a reader of a room is told. A text stands for a break after which any message may come."""


@dataclasses.dataclass(slots=True)
class Receiver:
    """What one reader of one room saw: a socket, or a person over many. `start` is the position it joined at."""

    name: str
    room: str
    start: int
    user: str = ""
    """Whose membership counts."""
    stayed: bool = True
    """Whether it was there to the end, faults apart."""
    seen: list[Entry] = dataclasses.field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    opened: float = -math.inf
    """Since when it has been there."""

    def received(self, seq: int, sender: str, key: str, *, epoch: str = "", text: str = "") -> None:
        """A message, as a push."""
        self.seen.append(Row(seq, sender, key, epoch, text, self.clock()))

    def told_of_gap(self, first: int, last: int) -> None:
        """These have to be paged; what follows is the next one."""
        self.seen.append(Gap(first, last))

    def told_of_break(self, reason: str) -> None:
        """The reader knows that what follows need not be the next message."""
        self.seen.append(reason)

    def rows(self) -> Iterator[Row]:
        """The messages alone."""
        return (entry for entry in self.seen if isinstance(entry, Row))

    @property
    def last_seq(self) -> int:
        """Of the newest message that it saw."""
        return next((row.seq for row in reversed(self.seen) if isinstance(row, Row)), self.start)


@dataclasses.dataclass(slots=True)
class _Sent:
    floor: int
    """The highest number that the sender had an acknowledgement for in this room when it sent this."""
    text: str
    at: float
    seq: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Page:
    """Messages that a user got on request: a page of the history, or what was missed before a resume."""

    room: str
    user: str
    asked: float
    answered: float
    rows: tuple[Row, ...]


class History:
    """The logs of one run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.faults = 0
        """How often something was really broken."""
        self.acked = 0
        """Acknowledged messages so far."""
        self.receivers: list[Receiver] = []
        self.members = Memberships(clock)
        """Who may read and write; whoever does not tell it is not judged by it."""
        self.due: Callable[[float], float] | None = None
        """By when a push must be there that could be made at a time; None: whenever."""
        self._clock = clock
        self._sent: dict[tuple[str, str, str], _Sent] = {}
        self._acked_to: dict[tuple[str, str], int] = {}
        self._stored: dict[str, list[Row]] = {}
        self._pages: list[_Page] = []
        self._problems: list[str] = []

    # What publishers write down

    def sends(self, room: str, sender: str, key: str, text: str = "") -> None:
        """A publisher is about to send, for the first time or again."""
        if (room, sender, key) not in self._sent:
            self._sent[room, sender, key] = _Sent(self._acked_to.get((room, sender), 0), text, self._clock())

    def acknowledged(self, room: str, sender: str, key: str, seq: int) -> None:
        """A publisher got its answer."""
        sent = self._sent.setdefault((room, sender, key), _Sent(0, "", self._clock()))
        if sent.seq not in (None, seq):
            self._problems.append(f"{key} of {sender} in {room} was acknowledged as {sent.seq} and as {seq}")
        if seq <= sent.floor:
            self._problems.append(f"{key} of {sender} in {room} is {seq}, but was sent after the answer {sent.floor}")
        self.acked += sent.seq is None
        sent.seq = seq
        self._acked_to[room, sender] = max(seq, self._acked_to.get((room, sender), 0))

    def acked_top(self, room: str) -> int:
        """The highest number in `room` that somebody got an answer for."""
        return max((seq for (its_room, _), seq in self._acked_to.items() if its_room == room), default=0)

    # What receivers write down

    def receiver(self, name: str, room: str, start: int, user: str = "") -> Receiver:
        """A log for a reader that has just joined at the position `start`."""
        self.receivers.append(Receiver(name, room, start, user, clock=self._clock, opened=self._clock()))
        return self.receivers[-1]

    def paged(self, room: str, user: str, asked: float, rows: Iterable[Row]) -> None:
        """A user was answered what it had asked for at the time `asked`: messages, or none but not refused."""
        self._pages.append(_Page(room, user, asked, self._clock(), tuple(rows)))

    # What is stored

    def stored(self, room: str, rows: Iterable[Row]) -> None:
        """The whole history of a room at the end, as the store gives it."""
        self._stored[room] = list(rows)

    # The verdict

    def check(self, *, min_acked: int = 1, min_faults: int = 0) -> None:
        """Raises: AssertionError with the first violations, if there are any."""
        violations = self.violations(min_acked=min_acked, min_faults=min_faults)
        assert not violations, "\n".join(violations[:_SHOWN])

    def violations(self, *, min_acked: int = 1, min_faults: int = 0) -> list[str]:
        """What was wrong; empty if nothing was, and enough happened to tell."""
        problems = [*self._problems]
        if self.acked < min_acked:
            problems.append(f"too little traffic: {self.acked} acknowledged messages, {min_acked} wanted")
        if self.faults < min_faults:
            problems.append(f"too few faults: {self.faults}, {min_faults} wanted")
        if not self.receivers:
            problems.append("nobody received")
        for room, rows in self._stored.items():
            problems += self._of_store(room, rows)
        problems += self._of_acknowledgements()
        stored = {room: {row.seq: row for row in rows} for room, rows in self._stored.items()}
        for receiver in self.receivers:
            problems += _of_order(receiver, stored.get(receiver.room, {}))
            problems += self._of_leaks(receiver, stored.get(receiver.room, {}))
            problems += self._of_delays(receiver, stored.get(receiver.room, {}))
        for page in self._pages:
            problems += self._of_page(page, stored.get(page.room, {}))
        return problems

    def _of_store(self, room: str, rows: list[Row]) -> list[str]:
        problems = []
        numbers = [row.seq for row in rows]
        if numbers != list(range(1, len(rows) + 1)):
            wrong = next(index for index, seq in enumerate(numbers, 1) if seq != index)
            problems.append(f"{room} has {numbers[wrong - 1]} where {wrong} belongs")
        seen: dict[tuple[str, str], int] = {}
        for row in rows:
            first = seen.setdefault((row.sender, row.key), row.seq)
            if first != row.seq:
                problems.append(f"{room} has {row.key} of {row.sender} twice, as {first} and {row.seq}")
            sent = self._sent.get((room, row.sender, row.key))
            if sent is None:
                problems.append(f"{room} has {row.seq}, {row.key} of {row.sender}, which nobody sent")
            elif sent.text != row.text:
                problems.append(f"{room} has {row.seq} as {row.text!r}, but {sent.text!r} was sent")
            if row.at is not None and not self.members.may_write(room, row.sender, row.at):
                problems.append(f"{room} has {row.seq}, {row.key} of {row.sender}, from after the removal")
        return problems

    def _of_acknowledgements(self) -> list[str]:
        where = {(room, row.sender, row.key): row.seq for room, rows in self._stored.items() for row in reversed(rows)}
        problems = []
        for (room, sender, key), sent in self._sent.items():
            found = where.get((room, sender, key))
            if sent.seq is not None and found != sent.seq:
                problems.append(f"{key} of {sender} in {room} was acknowledged as {sent.seq} and is stored as {found}")
        return problems

    def _of_leaks(self, receiver: Receiver, stored: dict[int, Row]) -> list[str]:
        """Pushes that were committed, or at least sent, when the reader had long been out."""

        def may_get(row: Row) -> bool:
            received = math.inf if row.at is None else row.at
            return self.members.may_get(receiver.room, receiver.user, self._since(receiver.room, row, stored), received)

        return [
            f"{receiver.name} in {receiver.room} got {row.seq}, which was sent after the removal"
            for row in receiver.rows()
            if not may_get(row)
        ]

    def _of_delays(self, receiver: Receiver, stored: dict[int, Row]) -> list[str]:
        problems = []
        for row in receiver.rows() if self.due is not None else ():
            possible = max(receiver.opened, self._since(receiver.room, row, stored))
            if self.due is not None and row.at is not None and row.at > self.due(possible):
                late = f"{row.at - possible:.1f} s after it could have"
                problems.append(f"{receiver.name} in {receiver.room} got {row.seq} {late}")
        return problems

    def _since(self, room: str, row: Row, stored: dict[int, Row]) -> float:
        """When a message was committed if that is known, else when it was first sent."""
        committed = stored[row.seq].at if row.seq in stored else None
        if committed is not None:
            return committed
        sent = self._sent.get((room, row.sender, row.key))
        return sent.at if sent is not None else -math.inf

    def _of_page(self, page: _Page, stored: dict[int, Row]) -> list[str]:
        problems = [
            f"{page.user} read {row} in {page.room}, but {stored.get(row.seq)} is stored"
            for row in page.rows
            if stored.get(row.seq) != row
        ]
        if not self.members.may_read(page.room, page.user, page.asked, page.answered):
            rows = f"{page.rows[0].seq} to {page.rows[-1].seq}" if page.rows else "nothing yet"
            problems.append(f"{page.user} was let into {page.room}, and read {rows}, but asked after the removal")
        return problems


def _of_order(receiver: Receiver, stored: dict[int, Row]) -> list[str]:
    """One by one, unless told otherwise; the right ones; and to the end, if it stayed."""
    problems = []
    who = f"{receiver.name} in {receiver.room}"
    expected: int | None = receiver.start + 1
    got = set()
    for entry in receiver.seen:
        match entry:
            case str():
                expected = None
            case Gap(first, last):
                if expected is not None and not first <= expected <= last + 1:
                    problems.append(f"{who} was told of a gap from {first} to {last} where {expected} was due")
                expected = last + 1
            case Row(seq):
                if expected not in (None, seq):
                    problems.append(f"{who} got {seq} where {expected} was due")
                if stored.get(seq) != entry:
                    problems.append(f"{who} got {entry}, but {stored.get(seq)} is stored")
                expected = seq + 1
                got.add(seq)
    missing = {seq for seq in stored if seq > receiver.start} - got
    if receiver.stayed and missing:
        problems.append(f"{who} stayed to the end and never got {len(missing)}, the first being {min(missing)}")
    return problems

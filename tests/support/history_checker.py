"""Judges a run by its logs: was anything lost, doubled, reordered, or never really tested?

Publishers and receivers write down what they see while it happens, faults and all; at the end the stored
history of every room is added, and `violations` says in words what must not have been:

- an acknowledged message that is not stored where the acknowledgement said (lost, or moved);
- two rows for one (room, sender, key), or two acknowledgements of it that differ;
- a room whose stored numbers are not 1, 2, 3 …, or a row that nobody sent;
- a receiver that saw anything but the next number, unless it was told of a break just before;
- a receiver that stayed to the end and did not get everything after its start, or got other content than is stored;
- a message that was sent after another one of its sender was acknowledged, and stored before it;
- too little traffic, or too few faults: such a run proves nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A message as the store has it, or as somebody received it."""

    seq: int
    sender: str
    key: str


@dataclasses.dataclass(slots=True)
class Receiver:
    """What one reader of one room saw. `start` is the position that it joined at."""

    name: str
    room: str
    start: int
    stayed: bool = True
    """Whether it was there to the end, faults apart."""
    seen: list[Row | str] = dataclasses.field(default_factory=list)
    """Messages in their order; a text stands for a break that the reader was told of."""

    def received(self, seq: int, sender: str, key: str) -> None:
        self.seen.append(Row(seq, sender, key))

    def told_of_break(self, reason: str) -> None:
        """The reader knows that what follows need not be the next message."""
        self.seen.append(reason)

    @property
    def last_seq(self) -> int:
        """Of the newest message that it saw."""
        return next((row.seq for row in reversed(self.seen) if isinstance(row, Row)), self.start)


@dataclasses.dataclass(slots=True)
class _Sent:
    floor: int
    """The highest number that the sender had an acknowledgement for in this room when it sent this."""
    seq: int | None = None


class History:
    """The logs of one run."""

    def __init__(self) -> None:
        self.faults = 0
        """How often something was really broken."""
        self.acked = 0
        """Acknowledged messages so far."""
        self.receivers: list[Receiver] = []
        self._sent: dict[tuple[str, str, str], _Sent] = {}
        self._acked_to: dict[tuple[str, str], int] = {}
        self._stored: dict[str, list[Row]] = {}
        self._problems: list[str] = []

    def sends(self, room: str, sender: str, key: str) -> None:
        """A publisher is about to send."""
        self._sent.setdefault((room, sender, key), _Sent(self._acked_to.get((room, sender), 0)))

    def acknowledged(self, room: str, sender: str, key: str, seq: int) -> None:
        """A publisher got its answer."""
        sent = self._sent.setdefault((room, sender, key), _Sent(0))
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

    def receiver(self, name: str, room: str, start: int) -> Receiver:
        """A log for a reader that has just joined at the position `start`."""
        self.receivers.append(Receiver(name, room, start))
        return self.receivers[-1]

    def stored(self, room: str, rows: Iterable[Row]) -> None:
        """The whole history of a room at the end, as the store gives it."""
        self._stored[room] = list(rows)

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
        for receiver in self.receivers:
            problems += self._of_receiver(receiver)
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
            if (room, row.sender, row.key) not in self._sent:
                problems.append(f"{room} has {row.seq}, {row.key} of {row.sender}, which nobody sent")
        return problems

    def _of_acknowledgements(self) -> list[str]:
        where = {(room, row.sender, row.key): row.seq for room, rows in self._stored.items() for row in reversed(rows)}
        problems = []
        for (room, sender, key), sent in self._sent.items():
            found = where.get((room, sender, key))
            if sent.seq is not None and found != sent.seq:
                problems.append(f"{key} of {sender} in {room} was acknowledged as {sent.seq} and is stored as {found}")
        return problems

    def _of_receiver(self, receiver: Receiver) -> list[str]:
        problems = []
        who = f"{receiver.name} in {receiver.room}"
        rows = {row.seq: row for row in self._stored.get(receiver.room, [])}
        expected: int | None = receiver.start + 1
        got = set()
        for entry in receiver.seen:
            if isinstance(entry, str):
                expected = None
                continue
            if expected not in (None, entry.seq):
                problems.append(f"{who} got {entry.seq} where {expected} was due")
            if rows.get(entry.seq) != entry:
                problems.append(f"{who} got {entry}, but {rows.get(entry.seq)} is stored")
            expected = entry.seq + 1
            got.add(entry.seq)
        missing = {seq for seq in rows if seq > receiver.start} - got
        if receiver.stayed and missing:
            problems.append(f"{who} stayed to the end and never got {len(missing)}, the first being {min(missing)}")
        return problems

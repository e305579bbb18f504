"""What a client knows of one room: the messages up to a position, and what is set aside beyond it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from chat.domain.rooms import RoomId
from tests.support.history_checker import Receiver, Row


@dataclasses.dataclass(slots=True)
class Place:
    """As docs/protocol.md §9 tells a client to keep it."""

    room: RoomId
    epoch: str = ""
    last: int = 0
    """Everything up to here was seen."""
    top: int = 0
    """The highest position that is known to exist."""
    ahead: dict[int, Row] = dataclasses.field(default_factory=dict)
    asked: bool = False
    """Whether a join or a leave is under way."""
    away_until: float = 0.0
    """When somebody who has left will come back."""
    paging: bool = False
    stream: Receiver | None = None
    """What comes on the connection that is open, if the room is open on it."""
    reader: Receiver | None = None
    """What the person at this client has got, over all connections."""

    def see(self, rows: Iterable[Row]) -> None:
        """Takes messages from wherever; shows those that follow."""
        for row in rows:
            if row.seq > self.last:
                self.ahead[row.seq] = row
                self.top = max(self.top, row.seq)
        while (following := self.ahead.pop(self.last + 1, None)) is not None:
            self.last = following.seq
            if self.reader is not None:
                self.reader.seen.append(following)

    @property
    def is_behind(self) -> bool:
        return self.last < self.top

    def offline(self) -> None:
        """The connection has gone."""
        self.asked = self.paging = False
        self.stream = None

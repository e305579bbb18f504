"""Requests on their way to an answer. They survive the connection; pure, the time is an argument.

    waiting ──poll──► sent ──answered──► resolved
       ▲               │
       └── retry, disconnected

Requests of one lane (the publishes of one room) keep their order: they are sent in batches, the next one when
the last is answered. A batch grows while its lane waits, so order costs no throughput. Others go out at once.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_BATCH = 32
"""Publishes of one room in flight."""
MAX_IN_FLIGHT = 64
"""Requests of all kinds: well below what a server queues for one connection, also in bytes."""

Answer = Any
"""The map in `ok`, or an exception."""


@dataclass(slots=True, eq=False)
class Request:
    """One command. `resolve` gets the answer's map or an exception, at most once."""

    op: str
    fields: dict[str, Any] = field(repr=False)  # may hold a token
    resolve: Callable[[Answer], None]
    lane: str | None = None
    survives: bool = True
    """Whether it is sent again over the next connection if this one breaks before the answer."""
    attempts: int = 0
    """Refused tries."""
    _order: int = field(default=0, init=False)
    _id: int | None = field(default=None, init=False)
    _withdrawn: bool = field(default=False, init=False)

    @property
    def wire(self) -> dict[str, Any]:
        """The map to send; it has an id once `Outbox.poll` has returned it."""
        return {"id": self._id, "op": self.op, **self.fields}


class _Lane:
    """Requests that keep their order: those waiting as a heap by age, and how many are in flight."""

    __slots__ = ("in_flight", "not_before", "waiting")

    def __init__(self) -> None:
        self.waiting: list[tuple[int, Request]] = []
        self.in_flight = 0
        self.not_before = 0.0

    def next_batch(self, limit: int) -> list[Request]:
        """Up to `limit` requests, which are in flight from here on."""
        self.in_flight = min(len(self.waiting), limit)
        return [heapq.heappop(self.waiting)[1] for _ in range(self.in_flight)]


class Outbox:
    """All requests of one client that have no answer yet."""

    def __init__(self, max_batch: int = MAX_BATCH, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        self._lanes: dict[str, _Lane] = {}
        self._loose: list[tuple[float, int, Request]] = []
        self._sent: dict[int, Request] = {}
        self._orders = itertools.count(1)
        self._ids = itertools.count(1)

    def __len__(self) -> int:
        waiting = sum(len(lane.waiting) for lane in self._lanes.values()) + len(self._loose)
        return waiting + len(self._sent)

    def add(self, request: Request, not_before: float = 0.0) -> None:
        """Takes a request that waits to be sent."""
        request._order = next(self._orders)
        self._enqueue(request, not_before)

    def poll(self, now: float) -> list[Request]:
        """What may be sent now, in order; it counts as sent from here on."""
        ready: list[Request] = []
        room_left = self._max_in_flight - len(self._sent)
        while self._loose and self._loose[0][0] <= now and len(ready) < room_left:
            ready.append(heapq.heappop(self._loose)[2])
        for name, lane in list(self._lanes.items()):
            if lane.in_flight == 0 and lane.not_before <= now:
                ready += lane.next_batch(min(self._max_batch, room_left - len(ready)))
                del self._lanes[name]
                if lane.waiting or lane.in_flight:
                    self._lanes[name] = lane  # at the end: every lane gets its turn
        for request in ready:
            request._id = next(self._ids)
            self._sent[request._id] = request
        return ready

    def next_time(self) -> float | None:
        """When `poll` will have something if nothing happens before; None if only an answer can change that."""
        if len(self._sent) >= self._max_in_flight:
            return None
        times = [lane.not_before for lane in self._lanes.values() if lane.waiting and lane.in_flight == 0]
        if self._loose:
            times.append(self._loose[0][0])
        return min(times, default=None)

    def answered(self, request_id: Any) -> Request | None:
        """The request that has this id, which is done now; None if nobody waits for it any more."""
        request = self._sent.pop(request_id, None) if isinstance(request_id, int) else None
        if request is not None:
            self._landed(request)
        return None if request is None or request._withdrawn else request

    def retry(self, request: Request, not_before: float) -> None:
        """Sends an answered request again, in its old place; its whole lane waits until then."""
        request.attempts += 1
        self._enqueue(request, not_before)

    def withdraw(self, request: Request) -> None:
        """Its caller has gone: it is not sent any more, or its answer is ignored."""
        request._withdrawn = True
        if request.lane is None:
            self._sent.pop(request._id or 0, None)
            self._loose = [entry for entry in self._loose if entry[2] is not request]
            heapq.heapify(self._loose)
        elif lane := self._lanes.get(request.lane):
            lane.waiting = [entry for entry in lane.waiting if entry[1] is not request]
            heapq.heapify(lane.waiting)

    def disconnected(self) -> None:
        """No answer will come over that connection: what survives waits again, in its old order."""
        for request in self._sent.values():
            self._landed(request)
            if request.survives and not request._withdrawn:
                self._enqueue(request, 0.0)
        self._sent.clear()
        self._loose = [entry for entry in self._loose if entry[2].survives]
        heapq.heapify(self._loose)

    def drain(self) -> list[Request]:
        """Empties the outbox, for good, and returns what was in it."""
        self.disconnected()
        waiting = [entry for lane in self._lanes.values() for entry in lane.waiting]
        waiting += [entry[1:] for entry in self._loose]
        self._lanes.clear()
        self._loose.clear()
        return [request for _, request in sorted(waiting)]

    def _enqueue(self, request: Request, not_before: float) -> None:
        if request.lane is None:
            heapq.heappush(self._loose, (not_before, request._order, request))
            return
        lane = self._lanes.setdefault(request.lane, _Lane())
        heapq.heappush(lane.waiting, (request._order, request))
        lane.not_before = max(lane.not_before, not_before)

    def _landed(self, request: Request) -> None:
        lane = self._lanes.get(request.lane) if request.lane is not None else None
        if lane is not None:
            lane.in_flight -= 1

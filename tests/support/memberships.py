"""Who was in which room when, as the checker of histories wants to know it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

REMOVAL_SECONDS = 1.0
"""How long a user who was removed from a room may still get what is sent there."""


@dataclasses.dataclass(slots=True)
class _Stay:
    """A user's time in a room: until `ended`, and in effect on every node `effective`."""

    began: float
    ended: float = math.inf
    effective: float = math.inf


@dataclasses.dataclass(slots=True)
class _Reading:
    """A time in which a user may read a room's history: as a member, or as anybody."""

    began: float
    ended: float = math.inf


class Memberships:
    """The stays of every user in every room. Only users who are told of are judged: everybody else may do anything."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stays: dict[tuple[str, str], list[_Stay]] = {}
        self._readings: dict[tuple[str, str], list[_Reading]] = {}

    # What happened

    def entered(self, room: str, user: str) -> None:
        """A user has become a member, or is about to: earlier is safe."""
        stays = self._stays.setdefault((room, user), [])
        if not stays or stays[-1].ended < math.inf:
            stays.append(_Stay(self._clock()))
        self._begin_reading(room, user)

    def removed(self, room: str, user: str, *, reads_on: bool = False) -> None:
        """The end of a membership, or of a ban, is committed; every node must know a second later.

        `reads_on`: the history is open to this user from here on, as that of a public room is.
        """
        for stay in self._of(room, user):
            if stay.ended == math.inf:
                stay.ended = self._clock()
                stay.effective = stay.ended + REMOVAL_SECONDS
        if reads_on:
            self._begin_reading(room, user)
        else:
            self._end_readings(room, user, self._clock())

    def postpone(self, room: str, user: str, decided: float, effective: float) -> None:
        """The news of the last removal before `decided` could not be everywhere before `effective`."""
        before = [stay for stay in self._of(room, user) if stay.ended <= decided]
        for stay in before[-1:]:
            stay.effective = max(stay.effective, effective)

    def signed_out(self, user: str, effective: float) -> None:
        """The account is banned, or its session has ended: nothing of any room after `effective`."""
        for (_, its_user), stays in self._stays.items():
            if its_user == user and stays[-1].effective > effective:
                stays[-1].ended = min(stays[-1].ended, effective)
                stays[-1].effective = effective
        for room, its_user in self._readings:
            if its_user == user:
                self._end_readings(room, user, effective)

    # What was right

    def may_get(self, room: str, user: str, sent: float, received: float) -> bool:
        """Whether a push of what was sent then could arrive then."""
        return self._any(room, user, lambda stay: stay.began <= received and sent <= stay.effective)

    def may_read(self, room: str, user: str, asked: float, answered: float) -> bool:
        """Whether a question of that time had to be answered."""
        readings = self._readings.get((room, user))
        return readings is None or any(each.began <= answered and asked <= each.ended for each in readings)

    def may_write(self, room: str, user: str, committed: float) -> bool:
        """Whether a message could be stored then."""
        return self._any(room, user, lambda stay: stay.began <= committed <= stay.effective)

    def _begin_reading(self, room: str, user: str) -> None:
        readings = self._readings.setdefault((room, user), [])
        if not readings or readings[-1].ended < math.inf:
            readings.append(_Reading(self._clock()))

    def _end_readings(self, room: str, user: str, end: float) -> None:
        for reading in self._readings.get((room, user), []):
            reading.ended = min(reading.ended, end)

    def _of(self, room: str, user: str) -> list[_Stay]:
        return self._stays.get((room, user), [])

    def _any(self, room: str, user: str, allows: Callable[[_Stay], bool]) -> bool:
        return (room, user) not in self._stays or any(map(allows, self._of(room, user)))

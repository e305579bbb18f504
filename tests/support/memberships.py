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
    reads_on: bool = False
    """Whether its history can be read by those who are out."""


class Memberships:
    """The stays of every user in every room. Only users who are told of are judged: everybody else may do anything."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stays: dict[tuple[str, str], list[_Stay]] = {}

    # What happened

    def entered(self, room: str, user: str) -> None:
        """A user has become a member, or is about to: earlier is safe."""
        stays = self._stays.setdefault((room, user), [])
        if not stays or stays[-1].ended < math.inf:
            stays.append(_Stay(self._clock()))

    def removed(self, room: str, user: str, *, reads_on: bool = False) -> None:
        """The end of a membership is committed; every node must know a second later.

        `reads_on`: the history stays open to this user, as that of a public room does.
        """
        for stay in self._of(room, user):
            if stay.ended == math.inf:
                stay.ended = self._clock()
                stay.effective = stay.ended + REMOVAL_SECONDS
                stay.reads_on = reads_on

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
                stays[-1].reads_on = False

    # What was right

    def may_get(self, room: str, user: str, sent: float, received: float) -> bool:
        """Whether a push of what was sent then could arrive then."""
        return self._any(room, user, lambda stay: stay.began <= received and sent <= stay.effective)

    def may_read(self, room: str, user: str, asked: float, answered: float) -> bool:
        """Whether a question of that time had to be answered."""
        return self._any(room, user, lambda stay: stay.began <= answered and (asked <= stay.ended or stay.reads_on))

    def may_write(self, room: str, user: str, committed: float) -> bool:
        """Whether a message could be stored then."""
        return self._any(room, user, lambda stay: stay.began <= committed <= stay.effective)

    def _of(self, room: str, user: str) -> list[_Stay]:
        return self._stays.get((room, user), [])

    def _any(self, room: str, user: str, allows: Callable[[_Stay], bool]) -> bool:
        return (room, user) not in self._stays or any(map(allows, self._of(room, user)))

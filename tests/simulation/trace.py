"""What happened in a run, to be read by people who look for a bug."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import trio

Detail = str | int | float | bool | list[int] | None


class Trace:
    """Lines with their time; put into words only if somebody wants to read them."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str, str, tuple[Detail, ...]]] = []

    def note(self, who: str, what: str, *details: Detail) -> None:
        self._lines.append((trio.current_time(), who, what, details))

    def digest(self) -> str:
        """The same for two runs that were the same."""
        return hashlib.blake2b(repr(self._lines).encode(), digest_size=8).hexdigest()

    def lines(self, rooms: Sequence[str] | None = None) -> list[str]:
        """Everything; or what concerns some rooms, or a connection or the whole world."""
        return [
            f"{at:8.3f}  {who:<8} {' '.join([what, *map(str, details)])}"
            for at, who, what, details in self._lines
            if rooms is None or not any(map(_is_room, details)) or any(room in details for room in rooms)
        ]


def _is_room(detail: Detail) -> bool:
    return isinstance(detail, str) and detail[:1] == "r" and detail[1:].isdigit()

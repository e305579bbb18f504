"""The shape that ids of users, rooms and sessions have."""

from __future__ import annotations

import re

_ID = re.compile(r"[a-z0-9_-]{1,32}")


def is_id(text: str) -> bool:
    """Whether `text` can be an id at all. What cannot names nothing, so no store needs to be asked."""
    return _ID.fullmatch(text) is not None

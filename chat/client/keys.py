"""Keys that name messages."""

from __future__ import annotations

import secrets
import time
import uuid


def new_key() -> str:
    """A UUID of version 7 (RFC 9562 §5.7): the milliseconds since 1970, then 74 random bits.

    Keys that rise with time lie side by side in the index of the store. Python has this itself from 3.14 on.
    """
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 7 << 76  # the version
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62))  # the variant

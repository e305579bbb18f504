"""The names of things in Redis. What is in braces decides the slot: keys that one script uses share it."""

from __future__ import annotations

import hashlib

from ...domain.ids import is_id


def safe(name: str) -> str:
    """`name` if it is an id of ours, else a digest of it: no name can steer a slot or meet another key."""
    if is_id(name):
        return name
    return "~" + hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

from __future__ import annotations

import time
import uuid

from chat.client.keys import new_key


def test_a_key_is_a_uuid_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    keys = [uuid.UUID(new_key()) for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert {(key.version, key.variant) for key in keys} == {(7, uuid.RFC_4122)}
    assert len(set(keys)) == 1000
    assert all(before <= key.int >> 80 <= after for key in keys)
    random_bits = [key.int & ((1 << 62) - 1) for key in keys]
    assert all(any(bits >> bit & 1 for bits in random_bits) for bit in range(62))

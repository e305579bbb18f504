"""What tests of faults do to people who talk, and with what settings they let them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from chat.client import ClientConfig
from tests.support.publishers import Crowd

Fault = Callable[[], Awaitable[None]]
QUICK = ClientConfig(backoff_base_seconds=0.1, backoff_cap_seconds=1.0)
"""For clients that come back soon."""
NO_RATES = [
    argument
    for limit in ("publish-per-user", "publish-per-room", "write-per-user", "history-per-user")
    for argument in (f"--{limit}-per-second", "0")
]
"""Flags of nodes that a few people keep busy."""


async def suffer(people: Crowd, *faults: Fault, acked: int, heard_seconds: float) -> None:
    """One fault after the other; what was said meanwhile has arrived everywhere before the next.

    Before each, and behind the last, `acked` messages are acknowledged; all is heard within `heard_seconds`.
    At the end the history is judged.
    """
    for fault in faults:
        await people.until_acked(acked)
        await fault()
        people.history.faults += 1
        with trio.fail_after(heard_seconds):
            await people.until_heard()
    await people.until_acked(acked)
    await people.finish()
    people.history.check(min_acked=(len(faults) + 1) * acked, min_faults=len(faults))

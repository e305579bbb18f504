"""What components count, as plain numbers: adding costs next to nothing, and nobody is asked until a scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway_core import CloseCode

from ..domain.errors import ChatError, Unavailable
from ..domain.messages import MAX_KEY_CHARACTERS
from .histogram import SIZES, Histogram

OTHER_CODE = 0
"""Stands for close codes that peers made up."""
_CODES = frozenset(map(int, CloseCode))

_MAX_ARRIVALS = 20_000
"""Batches under way, whose arrival is remembered; those that never come back are forgotten with all others then."""


class CommitMeter:
    """Of one shard, or of the embedded database."""

    __slots__ = ("failures", "seconds", "sizes")

    def __init__(self) -> None:
        self.seconds = Histogram()
        """From the beginning of a transaction to its commit."""
        self.sizes = Histogram(SIZES)
        """Writes in a transaction."""
        self.failures = 0

    def committed(self, seconds: float, size: int) -> None:
        """A transaction of `size` writes was committed."""
        self.seconds.add(seconds)
        self.sizes.add(size)


class RedisMeter:
    """Of all commands of a process."""

    __slots__ = ("commands", "failures", "seconds")

    def __init__(self) -> None:
        self.seconds = Histogram()
        """From a call, which may be of many commands, to its last reply, the wait for others included."""
        self.commands = 0
        self.failures = 0
        """Commands that nobody answered in time."""

    def answered(self, seconds: float, replies: Sequence[object]) -> None:
        """A call has ended."""
        self.seconds.add(seconds)
        self.commands += len(replies)
        self.failures += sum(isinstance(reply, Unavailable) for reply in replies)


class RealtimeMeter:
    """Of all chat sessions of a node. Keys are from fixed sets, whatever clients send."""

    __slots__ = (
        "arrivals",
        "closes",
        "commands",
        "gaps_told",
        "handshakes",
        "latency",
        "published",
        "refused",
        "repaired",
    )

    def __init__(self) -> None:
        self.handshakes: Counter[int] = Counter()
        """By HTTP status: 101 for those that were accepted."""
        self.closes: Counter[int] = Counter()
        """By close code, `OTHER_CODE` included."""
        self.commands: Counter[str] = Counter()
        """By op."""
        self.published = 0
        """Messages acknowledged to those who published them."""
        self.refused: Counter[str] = Counter()
        """Messages refused, by the code of the error."""
        self.arrivals: dict[str, tuple[float, int]] = {}
        """When batches that are under way came in (trio's clock), and their size, by the key of their last message."""
        self.latency = Histogram()
        """From a message's arrival on a socket of this node to its hand-over to the sockets of this node."""
        self.repaired = 0
        """Messages that the broker lost or was late with, and that were read from the store instead."""
        self.gaps_told = 0
        """Gaps that slow connections were told of."""

    def posting(self, last_key: object, count: int, now: float) -> None:
        """A batch of messages came in: its last one is measured for all, so it costs a message next to nothing.

        The key may yet be anything. If that message is refused, or another has the same key, the batch is not measured.
        """
        if type(last_key) is str and len(last_key) <= MAX_KEY_CHARACTERS:
            if len(self.arrivals) >= _MAX_ARRIVALS:
                self.arrivals.clear()
            self.arrivals[last_key] = now, count

    def answered(self, outcomes: Sequence[object]) -> None:
        """Messages were acknowledged or refused."""
        refusals = [outcome for outcome in outcomes if isinstance(outcome, ChatError)]
        self.published += len(outcomes) - len(refusals)
        for refusal in refusals:
            self.refused[refusal.code] += 1

    def delivered(self, key: str, now: float) -> None:
        """A message with a key in `arrivals` is on its way to the sockets of this node."""
        arrived, count = self.arrivals.pop(key)
        self.latency.add(now - arrived, count)

    def closed(self, code: int) -> None:
        """A connection has gone."""
        self.closes[code if code in _CODES else OTHER_CODE] += 1

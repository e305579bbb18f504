"""How much one user, one room or one address may ask for."""

# ruff: noqa: RUF009 -- a Rate is frozen, so a shared default is no trap

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
from collections.abc import Mapping

from ..domain.errors import RateLimited
from ..ports.rate_limiter import Rate, RateLimiter

_MINUTE = 60.0
_HOUR = 3600.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rates of chat, each counted per item and shared by all nodes; 0 per second means unlimited.

    An address is an IPv4 address or an IPv6 /64, which is what one customer usually gets.
    """

    publish_per_user: Rate = Rate(5, 50)
    """Posts and edits: fast typing, with room for an outbox that was filled while offline."""
    publish_per_room: Rate = Rate(50, 200)
    """More than people can read; keeps one room from filling every member's outbox."""
    write_per_user: Rate = Rate(10, 100)
    """Deletions, read marks, joins and changes of members."""
    history_per_user: Rate = Rate(20, 200)
    """Pages of history."""
    create_room_per_user: Rate = Rate(10 / _HOUR, 20)
    """New rooms, direct ones included."""
    find_per_user: Rate = Rate(1, 30)
    """Users looked up by name: enough to write to people, too little to collect who is there."""
    connect_per_user: Rate = Rate(1, 30)
    """Questions for the node to connect to: one with each connection, and all devices may come back at once."""
    invite_per_target: Rate = Rate(20 / _HOUR, 20)
    """How often one user can be put into rooms or written to by strangers, whoever does it."""
    typing_per_room: Rate = Rate(1 / 3, 1)
    """Per user and room; what exceeds it is swallowed, not refused."""
    login_per_address: Rate = Rate(10 / _MINUTE, 10)
    """Tries to sign in, right or wrong."""
    login_per_name: Rate = Rate(10 / _MINUTE, 10)
    """Guesses at one password from many addresses."""
    register_per_address: Rate = Rate(10 / _HOUR, 10)
    """New accounts."""
    typing_max_online: int = 1000
    """In rooms with more users online nobody is told who types."""
    marks_max_online: int = 200
    """In rooms with more users online nobody is told who has read what: it would cost members squared."""


class Throttle:
    """Takes from the shared buckets."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def take(self, bucket: str, rate: Rate) -> None:
        """Takes one. Raises: RateLimited, with the seconds until there is one."""
        granted, wait = await self.take_up_to(bucket, rate, 1)
        if not granted:
            raise too_many(wait)

    async def take_up_to(self, bucket: str, rate: Rate, count: int) -> tuple[int, float]:
        """Takes as many of `count` as there are: how many that was, and the seconds until one more."""
        [answer] = await self.take_up_to_each({bucket: count}, rate)
        return answer

    async def take_up_to_each(self, wanted: Mapping[str, int], rate: Rate) -> list[tuple[int, float]]:
        """The same for many buckets, in one call of the limiter unless one has less than is wanted of it."""
        if rate.per_second <= 0:
            return [(count, 0.0) for count in wanted.values()]
        whole = {bucket: count for bucket, count in wanted.items() if count <= rate.burst}
        waits = dict(zip(whole, await self._limiter.take_each(whole, rate), strict=True))
        return [
            (count, 0.0) if waits.get(bucket) == 0 else await self._take_singly(bucket, rate, count)
            for bucket, count in wanted.items()
        ]

    async def _take_singly(self, bucket: str, rate: Rate, count: int) -> tuple[int, float]:
        """What there is of a bucket that has not got all of it."""
        for granted in range(count):
            wait = await self._limiter.take(bucket, rate)
            if wait:
                return granted, wait
        return count, 0.0


def address_key(peer: str) -> str:
    """The address as rates count it: IPv6 by its /64, IPv4 in IPv6 as IPv4."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return digest(peer)
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"


def digest(text: str) -> str:
    """A short name for a text of any length and content, to be part of a bucket's name."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def too_many(wait: float) -> RateLimited:
    """The refusal, with the seconds to wait."""
    return RateLimited("too many requests; slow down", retry_after=wait)

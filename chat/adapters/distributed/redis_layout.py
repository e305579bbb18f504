"""Which server is the primary of which keys, and how to find out: of one server, by Sentinel, in a cluster."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable

import trio

from .redis_connection import Away, open_stream
from .redis_url import CLUSTER, SENTINEL, Address, RedisUrl
from .redis_wire import SLOTS, Reply, ReplyError, pack, slot_of


class Layout:
    """Who owns what, at one moment. A cluster has an owner for each slot, or None where it has none."""

    def __init__(self, owners: list[Address | None]) -> None:
        """`owners` by slot; one alone for a server that owns everything."""
        self._owners = owners
        self.is_cluster = len(owners) > 1
        self.primaries = frozenset(owner for owner in owners if owner is not None)
        self.is_whole = None not in owners

    def owner(self, key: str) -> Address | None:
        """The primary of a key or of a sharded channel; None if nobody knows."""
        owners = self._owners
        return owners[slot_of(key)] if self.is_cluster else owners[0]

    def is_like(self, other: Layout) -> bool:
        """Whether both say the same."""
        return self._owners == other._owners

    def moved(self, key: str, owner: Address) -> Layout:
        """The same, with another owner of the slot of `key`."""
        owners = list(self._owners)
        owners[slot_of(key) if self.is_cluster else 0] = owner
        return Layout(owners)

    def name_at(self, owner: Address, prefix: str) -> str:
        """Some channel `prefix…` that `owner` owns; just `prefix` if there is none."""
        names = (f"{prefix}:{number}" for number in range(SLOTS * 16 if owner in self.primaries else 0))
        return next((name for name in names if self.owner(name) == owner), prefix)


async def discover(url: RedisUrl, known: Iterable[Address], seconds: float) -> Layout:
    """Asks who is primary: the `known` servers and those of the URL, one after the other, `seconds` each.

    Raises: Away if nobody says.
    """
    if url.kind == SENTINEL:
        command = pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.primary_name)
        return await _first_answer(url, url.addresses, command, seconds, _layout_of_sentinel)
    if url.kind == CLUSTER:
        asked = dict.fromkeys([*known, *url.addresses])
        return await _first_answer(url, tuple(asked), pack("CLUSTER", "SLOTS"), seconds, _layout_of_cluster)
    return Layout([url.addresses[0]])


async def _first_answer(
    url: RedisUrl,
    addresses: tuple[Address, ...],
    command: bytes,
    seconds: float,
    understand: Callable[[Reply, Address], Layout],
) -> Layout:
    for address in random.sample(addresses, len(addresses)):
        with trio.move_on_after(seconds), contextlib.suppress(Away, ValueError, TypeError):
            stream, _, [reply] = await open_stream(url, address, command, strict=False)
            await trio.aclose_forcefully(stream)
            return understand(reply, address)
    raise Away("no server says who is the primary")


def _layout_of_sentinel(reply: Reply, _asked: Address) -> Layout:
    host, port = reply
    return Layout([Address(host.decode(), int(port))])


def _layout_of_cluster(reply: Reply, asked: Address) -> Layout:
    """Of the reply to CLUSTER SLOTS: [first, last, [host, port, …] of the primary, replicas …] for each range."""
    if isinstance(reply, ReplyError) or not reply:
        raise ValueError("no slots")
    owners: list[Address | None] = [None] * SLOTS
    for first, last, primary, *_ in reply:
        host = (primary[0] or b"").decode() or asked.host  # it need not know its own address
        owners[first : last + 1] = [Address(host, primary[1])] * (last + 1 - first)
    if len(owners) != SLOTS:
        raise ValueError("slots out of range")
    return Layout(owners)

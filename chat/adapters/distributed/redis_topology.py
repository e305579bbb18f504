"""Who is the primary of what, as redis-py finds it out: one server, by Sentinel, in a cluster.

Everything here runs in the loop that owns redis-py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import MovedError

from .redis_layout import SLOTS, Layout
from .redis_url import CLUSTER, SENTINEL, Address, RedisUrl


class Topology(Protocol):
    """How to find out. The methods raise what redis-py raises."""

    async def look(self) -> Layout:
        """Asks the servers."""

    async def moved(self, errors: Iterable[MovedError]) -> Layout:
        """What is known now that servers have said that slots have moved."""

    async def close(self) -> None:
        """Ends the connections that were made for asking."""


def topology_of(url: RedisUrl, seconds: float) -> Topology:
    """The way for the kind of `url`; no server that is asked may take longer than `seconds`."""
    if url.kind == SENTINEL:
        return _BySentinel(url, seconds)
    return _Cluster(url, seconds) if url.kind == CLUSTER else _OneServer(url)


def connection_options(url: RedisUrl, *, connect_seconds: float, reply_seconds: float | None) -> dict[str, Any]:
    """The options of any redis-py client of ours: one attempt, and no longer than told.

    `reply_seconds` None: the caller sets the deadline, for a whole pipeline rather than for each reply.
    """
    login = {"username": url.username or None, "password": url.password} if url.password else {}
    return {
        **login,
        "ssl": url.tls,
        "protocol": 2,
        "driver_info": None,  # CLIENT SETINFO is not for every user, nor for every server
        "socket_connect_timeout": connect_seconds,
        "socket_timeout": reply_seconds,
        "retry": Retry(NoBackoff(), 0),
    }


class _OneServer:
    def __init__(self, url: RedisUrl) -> None:
        self._layout = Layout([url.addresses[0]])

    async def look(self) -> Layout:
        return self._layout

    async def moved(self, errors: Iterable[MovedError]) -> Layout:
        return self._layout

    async def close(self) -> None:
        pass


class _BySentinel:
    def __init__(self, url: RedisUrl, seconds: float) -> None:
        """Sentinels may have the password of their servers, or none: both are tried."""
        options = connection_options(url, connect_seconds=seconds, reply_seconds=seconds)
        self._name = url.primary_name
        self._sentinel = _sentinel(url, options)
        if url.password:
            without = {name: value for name, value in options.items() if name not in ("username", "password")}
            self._sentinel.sentinels += _sentinel(url, without).sentinels

    async def look(self) -> Layout:
        host, port = await self._sentinel.discover_master(self._name)
        return Layout([Address(host, int(port))])

    async def moved(self, errors: Iterable[MovedError]) -> Layout:
        return await self.look()

    async def close(self) -> None:
        await self._sentinel.aclose()


def _sentinel(url: RedisUrl, options: dict[str, Any]) -> Sentinel:
    return Sentinel(url.addresses, sentinel_kwargs=options)  # type: ignore[no-untyped-call]


class _Cluster:
    """redis-py's map of a cluster. Its commands and pipelines are left alone.

    They are one for all nodes: where one of those is away, the answers of the others are lost with it.
    """

    def __init__(self, url: RedisUrl, seconds: float) -> None:
        options = connection_options(url, connect_seconds=seconds, reply_seconds=seconds)
        nodes = [ClusterNode(address.host, address.port) for address in url.addresses]
        cluster = RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
        self._seeds = cluster.startup_nodes
        self._nodes = cluster.nodes_manager

    async def look(self) -> Layout:
        for seed in self._seeds:  # which redis-py forgets: they are a way back when all others have new addresses
            self._nodes.startup_nodes.setdefault(seed.name, seed)
        await self._nodes.initialize()
        return self._layout()

    async def moved(self, errors: Iterable[MovedError]) -> Layout:
        for error in {error.slot_id: error for error in errors}.values():
            await self._nodes.move_slot(error)
        return self._layout()

    async def close(self) -> None:
        for node in [*self._seeds, *self._nodes.startup_nodes.values(), *self._nodes.nodes_cache.values()]:
            await node.disconnect()

    def _layout(self) -> Layout:
        owners: list[Address | None] = [None] * SLOTS
        for slot, nodes in self._nodes.slots_cache.items():
            owners[slot] = Address(nodes[0].host, int(nodes[0].port))
        return Layout(owners)

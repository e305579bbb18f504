"""From a configuration to a running node: the only module that knows the adapters by name."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
import trio

from gateway_core import Gateway, GatewayConfig
from gateway_core.backend import open_gateway

from . import token_key
from .adapters.archive.message_store import ArchivedMessageStore, Segments
from .adapters.archive.objects import open_objects
from .adapters.distributed.archive_catalog import MySqlArchiveCatalog
from .adapters.distributed.asyncio_bridge import AsyncioBridge
from .adapters.distributed.broker import open_broker
from .adapters.distributed.cached_message_store import open_cached_store
from .adapters.distributed.message_store import open_message_store
from .adapters.distributed.mysql_dsn import parse_shards
from .adapters.distributed.mysql_metrics import mysql_metrics
from .adapters.distributed.mysql_shards import open_shards
from .adapters.distributed.node_registry import RedisNodeRegistry
from .adapters.distributed.presence_store import RedisPresenceStore
from .adapters.distributed.rate_limiter import RedisRateLimiter
from .adapters.distributed.recent_cache import RecentCache
from .adapters.distributed.redis_client import open_redis
from .adapters.distributed.redis_metrics import redis_metrics
from .adapters.distributed.room_store import MySqlRoomStore
from .adapters.distributed.session_store import RedisSessionStore
from .adapters.distributed.user_store import MySqlUserStore
from .adapters.embedded.broker import MemoryBroker
from .adapters.embedded.database import SqliteDatabase
from .adapters.embedded.message_store import SqliteMessageStore
from .adapters.embedded.node_registry import MemoryNodeRegistry
from .adapters.embedded.presence_store import MemoryPresenceStore
from .adapters.embedded.rate_limiter import MemoryRateLimiter
from .adapters.embedded.room_store import SqliteRoomStore
from .adapters.embedded.session_store import SqliteSessionStore
from .adapters.embedded.user_store import SqliteUserStore
from .config import ChatConfig
from .http_api.admin import AdminApi
from .http_api.admin_port import create_admin_app, serve_admin_port
from .http_api.app import create_app
from .http_api.connect import ConnectApi
from .http_api.health import Phase, Readiness
from .http_api.server import HttpServer
from .http_api.site import Site
from .metrics.exposition import Exposition, Source
from .metrics.meters import CommitMeter, RealtimeMeter
from .metrics.node import NodeStatus
from .metrics.sources import (
    cache_metrics,
    commit_metrics,
    gateway_metrics,
    loop_metrics,
    node_metrics,
    realtime_metrics,
)
from .ports.broker import Broker
from .ports.message_store import MessageStore
from .ports.node_registry import NodeInfo, NodeRegistry
from .ports.presence_store import PresenceStore
from .ports.rate_limiter import RateLimiter
from .ports.room_store import RoomStore
from .ports.session_store import SessionStore
from .ports.user_store import UserStore
from .realtime import Realtime, handshake
from .realtime.config import RealtimeConfig
from .services import Passwords, Services, SigningKey, Tokens, assemble
from .services.fleet import Fleet
from .services.limits import Throttle

_log = structlog.get_logger("chat.node")


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """One implementation of each port."""

    messages: MessageStore
    rooms: RoomStore
    users: UserStore
    sessions: SessionStore
    presence: PresenceStore
    limiter: RateLimiter
    broker: Broker
    nodes: NodeRegistry
    commits: Mapping[str, CommitMeter]
    """Of the transactions that store messages, by shard."""
    sources: Sequence[Source]
    """What else the adapters tell of themselves."""


@dataclasses.dataclass(frozen=True, slots=True)
class Listening:
    """What a node is once it serves."""

    node: str
    backend: str
    address: tuple[str, int]
    admin: tuple[str, int] | None
    """Where metrics are, if anywhere."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Stores:
    """What must last."""

    messages: MessageStore
    rooms: RoomStore
    users: UserStore
    commits: Mapping[str, CommitMeter]
    sources: Sequence[Source] = ()


@asynccontextmanager
async def open_ports(config: ChatConfig) -> AsyncIterator[Ports]:
    """The adapters that `config` asks for. Raises: DatabaseUnusable, ShardsUnusable; ValueError for a bad setting."""
    if config.shards and not config.redis:
        raise ValueError("shards: nodes that share a database need --redis as well")
    if config.archive and not config.shards:
        raise ValueError("archive: only what is in shards can be archived")
    async with AsyncExitStack() as stack:
        bridge = AsyncioBridge()
        if config.redis:
            await stack.enter_async_context(bridge)
        if config.shards:
            stores = await stack.enter_async_context(_open_mysql(config, bridge))
            yield await stack.enter_async_context(_open_redis(config, bridge, stores))
            return
        database = await stack.enter_async_context(SqliteDatabase(config.data_dir))
        stores = _Stores(
            SqliteMessageStore(database),
            SqliteRoomStore(database),
            SqliteUserStore(database),
            commits={"sqlite": database.commits},
        )
        if config.redis:
            yield await stack.enter_async_context(_open_redis(config, bridge, stores))
        else:
            yield _embedded(config, database, stores)


def _embedded(config: ChatConfig, database: SqliteDatabase, stores: _Stores) -> Ports:
    return Ports(
        messages=stores.messages,
        rooms=stores.rooms,
        users=stores.users,
        sessions=SqliteSessionStore(database),
        presence=MemoryPresenceStore(),
        limiter=MemoryRateLimiter(),
        broker=MemoryBroker(),
        nodes=MemoryNodeRegistry(lease_seconds=config.lease_seconds),
        commits=stores.commits,
        sources=stores.sources,
    )


@asynccontextmanager
async def _open_mysql(config: ChatConfig, bridge: AsyncioBridge) -> AsyncIterator[_Stores]:
    async with (
        open_shards(bridge, parse_shards(config.shards)) as shards,
        open_message_store(shards) as messages,
    ):
        segments, sources = _archive(config.archive)
        yield _Stores(
            ArchivedMessageStore(messages, MySqlArchiveCatalog(shards), segments),
            MySqlRoomStore(shards),
            MySqlUserStore(shards),
            commits=messages.meters,
            sources=[lambda: mysql_metrics(shards), *sources],
        )


def _archive(location: str) -> tuple[Segments | None, list[Source]]:
    """What reads the archive, and what it measures; loaded only where there is one."""
    if not location:
        return None, []
    objects = open_objects(location)
    from .adapters.archive.metrics import archive_metrics
    from .adapters.archive.segment_reader import SegmentReader

    segments = SegmentReader(objects)
    return segments, [lambda: archive_metrics(segments)]


@asynccontextmanager
async def _open_redis(config: ChatConfig, bridge: AsyncioBridge, stores: _Stores) -> AsyncIterator[Ports]:
    """What nodes share at run time in Redis, and the recent messages of `stores` there as well."""
    async with (
        open_redis(config.redis, bridge=bridge) as redis,
        open_broker(redis) as broker,
        open_cached_store(stores.messages, RecentCache(redis)) as messages,
    ):
        yield Ports(
            messages=messages,
            rooms=stores.rooms,
            users=stores.users,
            sessions=RedisSessionStore(redis),
            presence=RedisPresenceStore(redis),
            limiter=RedisRateLimiter(redis),
            broker=broker,
            nodes=RedisNodeRegistry(redis, lease_seconds=config.lease_seconds),
            commits=stores.commits,
            sources=[*stores.sources, lambda: cache_metrics(messages), lambda: redis_metrics(redis)],
        )


def open_services(config: ChatConfig, ports: Ports) -> Services:
    """The services over `ports`. Raises: ValueError or OSError if there is no usable token key."""
    keys = [SigningKey.of(_secret(config))]
    if config.previous_token_key:
        keys.append(SigningKey.of(config.previous_token_key.encode()))
    return assemble(
        messages=ports.messages,
        rooms=ports.rooms,
        users=ports.users,
        sessions=ports.sessions,
        presence=ports.presence,
        limiter=ports.limiter,
        broker=ports.broker,
        tokens=Tokens(keys, lifetime_seconds=config.token_seconds),
        passwords=Passwords(),
        limits=config.limits,
        presence_grace_seconds=config.presence_grace_seconds,
    )


async def run_node(
    config: ChatConfig, stop: trio.Event, *, task_status: trio.TaskStatus[Listening] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serves until `stop` is set, then says goodbye to everybody and returns within `shutdown_seconds`.

    Cancelling ends it at once; no acknowledged message is lost by that.
    Raises before it serves: DatabaseUnusable, ShardsUnusable, AddressUnavailable, BackendUnavailable, ValueError,
    OSError.
    """
    realtime_config = _realtime_config(config)
    async with open_ports(config) as ports:
        services = open_services(config, ports)
        readiness = Readiness(lambda: ports.rooms.public_rooms(None, 1))
        fleet = _fleet(config, realtime_config.node, ports, services)
        meter = RealtimeMeter()
        async with open_gateway(_gateway_config(config), config.backend) as gateway, trio.open_nursery() as nursery:
            status = NodeStatus(
                fleet,
                gateway=gateway,
                meter=meter,
                commits=ports.commits.values(),
                connections_of=lambda user: realtime.connections_of(user),  # which needs the server that asks this
            )
            connect = ConnectApi(fleet, handshake.PATH, alone=config.redis is None)
            of_node = [*connect.endpoints, *AdminApi(status).endpoints]
            site = Site(sockets=connect.sockets)
            http = HttpServer(create_app(services, config.http, readiness, site, of_node), config.http)
            realtime = Realtime(
                gateway, services, ports.broker, ports.messages, realtime_config, http=http.start, meter=meter
            )
            nursery.start_soon(status.run)
            await nursery.start(http.run)
            nursery.start_soon(services.announcer.run)
            nursery.start_soon(services.presence.run)
            await nursery.start(realtime.run)
            nursery.start_soon(fleet.run, lambda: gateway.stats().connections, realtime.lost_touch)
            admin = None
            if config.admin_port:
                app = create_admin_app(_exposition(ports, gateway, realtime, meter, status), readiness)
                admin = await nursery.start(serve_admin_port, app, config.admin_host, config.admin_port)
            readiness.phase = Phase.SERVING
            listening = Listening(realtime_config.node, gateway.backend, gateway.address, admin)
            _log.info("serving", **dataclasses.asdict(listening))
            task_status.started(listening)
            await stop.wait()
            readiness.phase = Phase.DRAINING
            _log.info("stopping", node=listening.node, connections=gateway.stats().connections)
            await fleet.drain()
            await _say_goodbye(gateway, realtime, http, config.shutdown_seconds)
            await fleet.leave()
            nursery.cancel_scope.cancel()
    _log.info("stopped", node=realtime_config.node)


def _secret(config: ChatConfig) -> bytes:
    """What signs access tokens: one for all nodes that share a database."""
    if config.token_key:
        return config.token_key.encode()
    return token_key.load(config.data_dir) if config.shards else token_key.load_or_make(config.data_dir)


def _exposition(
    ports: Ports, gateway: Gateway, realtime: Realtime, meter: RealtimeMeter, status: NodeStatus
) -> Exposition:
    """All that the node tells Prometheus."""
    return Exposition(
        [
            lambda: node_metrics(status.name, gateway.backend),
            lambda: gateway_metrics(gateway.stats()),
            lambda: realtime_metrics(meter, realtime.sessions, realtime.rooms),
            lambda: commit_metrics(ports.commits),
            lambda: loop_metrics(status.lag),
            *ports.sources,
        ]
    )


def _fleet(config: ChatConfig, node: str, ports: Ports, services: Services) -> Fleet:
    """The place of this node among the others."""
    me = NodeInfo(node=node, url=config.advertise, region=config.region, max_connections=config.gateway.max_connections)
    return Fleet(
        ports.nodes,
        me,
        auth=services.auth,
        throttle=Throttle(ports.limiter),
        limits=config.limits,
        announcer=services.announcer,
    )


async def _say_goodbye(gateway: Gateway, realtime: Realtime, http: HttpServer, seconds: float) -> None:
    """Asks clients to come back elsewhere, then closes them in slices; a part of `seconds` is left for the stores.

    Half is for the slices, a fifth for the last closing handshakes (see `_gateway_config`), and should they
    hang, another fifth for the gateway to close without them.
    """
    slices = seconds / 2
    with trio.move_on_after(seconds * 0.75):
        await realtime.say_goodbye(slices)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(http.drain, slices)
            await gateway.drain(seconds=slices)


def _gateway_config(config: ChatConfig) -> GatewayConfig:
    """The section, with closing handshakes that cannot outlast the shutdown."""
    return dataclasses.replace(
        config.gateway, close_seconds=min(config.gateway.close_seconds, config.shutdown_seconds / 5)
    )


def _realtime_config(config: ChatConfig) -> RealtimeConfig:
    """The section, with what other sections decide."""
    return dataclasses.replace(
        config.realtime,
        lease_seconds=config.lease_seconds,
        node=config.node or f"node-{secrets.token_hex(4)}",
        allowed_origins=config.http.allowed_origins,
        heartbeat_seconds=config.gateway.ping_interval_seconds,
        max_message_bytes=config.gateway.max_message_bytes,
        frames_per_second=config.gateway.max_messages_per_second,
        frame_burst=config.gateway.message_burst,
        bytes_per_second=config.gateway.max_bytes_per_second,
        bytes_burst=config.gateway.bytes_burst,
    )

"""What the operators' part of the HTTP API reads and writes, as types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from ..domain.users import Account
from ..metrics.figures import Figures
from ..metrics.histogram import Quantiles
from ..ports.node_registry import NodeInfo
from ..services.operators import MemberState, RoomState
from .views import PageSize, UserView

Prefix = Annotated[str, msgspec.Meta(max_length=200)]


class SearchQuery(msgspec.Struct, frozen=True):
    """What the name begins with, in any case; from the one after `after` (an id), by name."""

    name: Prefix = ""
    after: str | None = None
    limit: PageSize = 100


class AnyRole(msgspec.Struct, frozen=True):
    """What the user is to be in the room."""

    role: Literal["owner", "moderator", "member", "banned"]


class Done(msgspec.Struct, frozen=True):
    """Empty: it was done."""


class QuantilesView(msgspec.Struct, frozen=True):
    """Milliseconds below which half, and all but a hundredth, of the last minute's values lie."""

    p50: float
    p99: float

    @classmethod
    def of(cls, quantiles: Quantiles | None) -> QuantilesView | None:
        if quantiles is None:
            return None
        return cls(round(quantiles.p50 * 1000, 3), round(quantiles.p99 * 1000, 3))


class NodeLine(msgspec.Struct, frozen=True):
    """A node of the fleet. `address` is where clients reach it and no other; empty if there is no such place."""

    node: str
    address: str
    region: str
    connections: int
    max_connections: int
    draining: bool

    @classmethod
    def of(cls, info: NodeInfo) -> NodeLine:
        return cls(info.node, info.url, info.region, info.connections, info.max_connections, info.draining)


class OverviewAnswer(msgspec.Struct, frozen=True):
    """The node that answers: counters since its start, gauges of this moment, waits of the last minute or null."""

    node: str
    version: str
    uptime_seconds: float
    connections: int
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int
    slow_consumers: int
    latency_ms: QuantilesView | None
    commit_ms: QuantilesView | None
    event_loop_lag_ms: QuantilesView | None
    nodes: list[NodeLine]

    @classmethod
    def of(cls, figures: Figures, nodes: Sequence[NodeInfo]) -> OverviewAnswer:
        return cls(
            figures.node,
            figures.version,
            round(figures.uptime_seconds, 3),
            figures.connections,
            figures.messages,
            figures.deliveries,
            figures.bytes_in,
            figures.bytes_out,
            figures.slow_consumers,
            QuantilesView.of(figures.latency),
            QuantilesView.of(figures.commit),
            QuantilesView.of(figures.event_loop_lag),
            [NodeLine.of(node) for node in nodes],
        )


class AccountLine(msgspec.Struct, frozen=True):
    """An account, and how many connections it has to the node that answers."""

    id: str
    name: str
    admin: bool
    banned: bool
    connections: int

    @classmethod
    def of(cls, account: Account, connections: int) -> AccountLine:
        user = account.user
        return cls(user.id, user.name, user.admin, account.banned, connections)


class AccountsAnswer(msgspec.Struct, frozen=True):
    """Accounts by name, and whether there are more."""

    users: list[AccountLine]
    more: bool


class RoomLine(msgspec.Struct, frozen=True):
    """A room, how many users are online in it, and the number of its newest message."""

    id: str
    name: str
    kind: str
    online: int
    seq: int

    @classmethod
    def of(cls, state: RoomState) -> RoomLine:
        return cls(state.room.id, state.room.name, state.room.kind, state.online, state.seq)


class FoundRoomsAnswer(msgspec.Struct, frozen=True):
    """Public and private rooms by name, and whether there are more."""

    rooms: list[RoomLine]
    more: bool


class MemberLine(msgspec.Struct, frozen=True):
    """A user's row in a room, bans included."""

    user: UserView
    role: str
    online: bool

    @classmethod
    def of(cls, state: MemberState) -> MemberLine:
        member = state.member
        return cls(UserView(member.user, member.name), member.role, state.online)


class AllMembersAnswer(msgspec.Struct, frozen=True):
    """Members by id, and whether there are more."""

    members: list[MemberLine]
    more: bool

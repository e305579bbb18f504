"""A node as a member of the fleet: its lease, those who lost theirs, and where clients are sent."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import structlog
import trio

from ..domain.errors import Unavailable
from ..domain.users import Identity
from ..ports.node_registry import NodeInfo, NodeRegistry
from . import events
from .announcer import Announcer
from .auth import Auth
from .limits import Limits, Throttle
from .placement import place

_FRESH_SECONDS = 1.0
"""How long a list of the nodes is good: what they tell of themselves is older than that."""
_log = structlog.get_logger("chat.fleet")


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Where a client should connect. An empty `url` means: where it has just asked."""

    node: str
    url: str
    resume: str = dataclasses.field(repr=False)
    """A token that opens sockets on any node, and is good for nothing else."""
    expires_in: float


class Fleet:
    """`run` must run for as long as the node serves; without other nodes all clients stay here."""

    def __init__(
        self,
        registry: NodeRegistry,
        me: NodeInfo,
        *,
        auth: Auth,
        throttle: Throttle,
        limits: Limits,
        announcer: Announcer,
    ) -> None:
        """`me` is what never changes of this node; the rest of it is filled in."""
        self._registry = registry
        self._me = me
        self._auth = auth
        self._throttle = throttle
        self._limits = limits
        self._announcer = announcer
        self._load: Callable[[], int] = lambda: 0
        self._is_member = False
        self._has_left = False
        self._nodes: Sequence[NodeInfo] = ()
        self._read_at = -math.inf
        self._reading = trio.Lock()

    @property
    def me(self) -> NodeInfo:
        """What this node tells of itself at this moment."""
        return dataclasses.replace(self._me, connections=self._load())

    async def nodes(self) -> Sequence[NodeInfo]:
        """All that are there, as they were a moment ago; if nobody can say, those that were there before."""
        async with self._reading:
            if trio.current_time() - self._read_at >= _FRESH_SECONDS:
                self._read_at = trio.current_time()
                try:
                    self._nodes = await self._registry.nodes()
                except Unavailable:
                    _log.debug("nodes_not_read")
        return self._nodes

    async def route(self, who: Identity, *, region: str = "", resume: str = "") -> Route:
        """Where `who` should connect: back to the node that an earlier token names, else near and not busy.

        `region` defaults to this node's. The new token ends with the access token that `who` has shown.
        Raises: RateLimited.
        """
        await self._throttle.take(f"connect:user:{who.user.id}", self._limits.connect_per_user)
        last = self._auth.node_of(resume, who.user.id) if resume else ""
        node = place(await self.nodes(), self.me, region=region or self._me.region, last=last)
        return Route(node.node, node.url, self._auth.resume_token(who, node.node), who.expires - time.time())

    async def run(self, load: Callable[[], int], lapsed: Callable[[], None]) -> None:
        """Keeps the lease, and takes note of those that lapse, until `leave`.

        `load` counts connections. `lapsed` is called if the others had taken this node for dead.
        """
        self._load = load
        while not self._has_left:
            try:
                if not await self._renew():
                    _log.warning("lease_lapsed", node=self._me.node)
                    lapsed()
                await self._reap()
            except Unavailable as error:
                _log.debug("lease_not_renewed", error=error.message)
            await trio.sleep(self._registry.lease_seconds / 3)

    async def drain(self) -> None:
        """Tells the others at once that nobody should be sent here any more."""
        self._me = dataclasses.replace(self._me, draining=True)
        try:
            await self._renew()
        except Unavailable as error:
            _log.debug("lease_not_renewed", error=error.message)

    async def leave(self) -> None:
        """Ends the membership; the others need not wait for the lease to lapse."""
        self._has_left = True
        try:
            await self._registry.leave(self._me.node)
        except Unavailable as error:
            _log.debug("lease_not_ended", error=error.message)

    async def _renew(self) -> bool:
        """False if the lease had lapsed in the meantime."""
        was_member, held = self._is_member, await self._registry.renew(self.me)
        self._is_member = True
        if held and not was_member:
            await self._lost([self._me.node])  # whoever had this name before has not left
        return held or not was_member

    async def _reap(self) -> None:
        await self._lost(await self._registry.reap())

    async def _lost(self, nodes: Sequence[str]) -> None:
        """Nodes that died may have committed what they told nobody; the whole fleet looks after its rooms."""
        for node in nodes:
            _log.warning("node_lost", node=node)
        await self._announcer.announce(*(events.NodeLost(node) for node in nodes))

"""The nodes of the fleet, by leases: who is there, how to reach them, and how busy they are."""

from __future__ import annotations

import dataclasses
from typing import Protocol

LEASE_SECONDS = 15.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """What a node tells of itself. It travels: a new field needs a default, and nodes before it ignore it."""

    node: str
    url: str = ""
    """Where clients reach this node and no other, as ws://host:port or wss://host; empty: only where they came from."""
    region: str = ""
    connections: int = 0
    max_connections: int = 0
    draining: bool = False
    """It is about to go: nobody should be sent there."""


class NodeRegistry(Protocol):
    """A node holds its lease for as long as it renews it in time. Every method raises `Unavailable`."""

    @property
    def lease_seconds(self) -> float:
        """How long a lease holds; to be renewed every third of it, so two renewals may fail."""

    async def renew(self, info: NodeInfo) -> bool:
        """Takes or renews the lease; whether there was one.

        False after the first time means that the others have taken this node for dead.
        """

    async def leave(self, node: str) -> None:
        """Ends the lease at once; nobody will be told that it has lapsed."""

    async def nodes(self) -> list[NodeInfo]:
        """Those whose lease holds, the one that lapses first before the others."""

    async def reap(self) -> list[str]:
        """The nodes whose lease has lapsed, each once in the whole fleet: the caller takes over what is left to do."""

"""Which node a client should come to. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..ports.node_registry import NodeInfo


def place(
    nodes: Sequence[NodeInfo],
    me: NodeInfo,
    *,
    region: str = "",
    last: str = "",
    chance: random.Random | None = None,
) -> NodeInfo:
    """The node where the client was `last`, else the emptier of two that are in `region` if any is; `me` if none will.

    Of two at random, not the emptiest of all: everybody is sent by numbers that are some seconds old, and
    would be sent to the same node.
    """
    willing = [node for node in nodes if _is_willing(node) and (node.url or node.node == me.node)]
    if not willing:
        return me
    for node in willing:
        if node.node == last:
            return node
    near = [node for node in willing if node.region == region] or willing
    pair = (chance or random).sample(near, min(2, len(near)))
    return min(pair, key=_fill)


def _is_willing(node: NodeInfo) -> bool:
    return not node.draining and node.connections < node.max_connections


def _fill(node: NodeInfo) -> float:
    return node.connections / node.max_connections

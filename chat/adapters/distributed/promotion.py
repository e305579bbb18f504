"""Tells a shard that one of its replicas has become its primary, so that nodes refuse the one before it."""

from __future__ import annotations

import functools

import outcome

from .errors import ShardsUnusable
from .fencing import read_generation
from .migrate import check_states, read_state
from .mysql_pool import Session
from .mysql_shards import MySqlShards, outcomes_of


async def promote_primary(shards: MySqlShards, name: str) -> tuple[int, str]:
    """Begins a new generation of a shard on the server that its URL leads to; returns both.

    Raises: ShardsUnusable; Unavailable.
    """
    primary = shards.primary(name)
    check_states({name: await primary.run(read_state)}, list(shards.primaries))
    # A replica may have seen a promotion that the one that is promoted now has missed.
    replicas = shards.rotations[name].replicas
    others = await outcomes_of(functools.partial(replica.server.run, read_generation) for replica in replicas)
    highest = max((each.value[0] for each in others if isinstance(each, outcome.Value)), default=0)
    return await primary.run(functools.partial(_begin_generation, above=highest), transaction=True)


async def _begin_generation(session: Session, above: int) -> tuple[int, str]:
    _, server = await read_generation(session)
    [(read_only,)] = await session.rows("SELECT @@read_only")
    if read_only:
        raise ShardsUnusable(f"the URL of shard {session.shard} leads to {server}, which is read-only")
    await session.execute("UPDATE map_version SET generation = GREATEST(generation, %s) + 1", [above])
    return await read_generation(session)

"""Moves buckets from shard to shard while nodes run.

How far a move is stands in the `bucket_map` of the two shards, so that it goes on wherever it was interrupted:

    source                   target        who has it   what is done
    a                        a             a            ─► clear the target of what an earlier move has left
    a, copying to b          a, incoming   a            writers record what they write; copy, catch up, compare
    a, copying to b, locked  a, incoming   a            writers wait; catch up with the last of it
    b, cleaning              a, incoming   nobody       the source's commit is the moment of the move
    b, cleaning              b             b            remove the old rows
    b                        b             b

The fence is a row lock: every write takes a share of it in its own transaction, so once it is got alone, nobody
writes. It ends with the mover's connection, so a mover that dies leaves nothing locked. The step after the commit is
taken by any node that reads the maps, should the mover be gone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ids import new_id
from .bucket_copy import BucketCopy, clear
from .bucket_map import bump_version, write_places
from .errors import MoveFailed
from .mysql_errors import Verdict, verdict_of
from .mysql_pool import MySqlPool, Session
from .mysql_sql import marks
from .shard_map import Bucket, Kind, Place

FENCE_SECONDS = 1.0
"""How long writers may have to wait; if the rest is not copied by then, they go on, and so does the copying."""
_FENCES = 5
_ROUNDS = 10
"""Of catching up before the fence: each is about what was written during the one before."""
_SHORT_ROUND_SECONDS = 0.1
_COMPARISONS = 3
_TRIES = 8
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class Stage(enum.StrEnum):
    """What a shard says of a bucket on the move; empty: nothing."""

    NONE = ""
    COPYING = "copying"
    """It has the bucket, and its writers record what they write."""
    CLEARING = "clearing"
    """It will get the bucket, and still has rows of another time."""
    INCOMING = "incoming"
    CLEANING = "cleaning"
    """It had the bucket, and has its rows."""


class Step(enum.StrEnum):
    """What a move is about to do."""

    CLEAR = "clear"
    BEGIN = "begin"
    COPY = "copy"
    CATCH_UP = "catch up"
    COMPARE = "compare"
    FENCE = "fence"
    SWITCH = "switch"
    ACTIVATE = "activate"
    CLEAN = "clean"
    DONE = "done"
    RETRY = "retry"


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """One bucket, from where to where."""

    bucket: Bucket
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.bucket.kind} {self.bucket.number}: {self.source} → {self.target}"


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """Told at every step, and now and then within."""

    move: Move
    step: Step
    rows: int = 0
    fence_seconds: float = 0.0
    """How long writers waited, once that is over."""
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    shard: str
    term: int
    stage: Stage
    peer: str


Report = Callable[[Progress], None]


class BucketMover:
    """Used in the loop's thread. `pools` are the primaries of all shards that are known."""

    def __init__(self, pools: Mapping[str, MySqlPool], report: Report) -> None:
        self._pools = pools
        self._report = report

    async def run(self, move: Move) -> None:
        """Carries out or goes on with one move; what fails for a moment is tried again.

        Raises: MoveFailed, after which it can be run again.
        """
        one = _OneMove(self._pools, move, self._report)
        failures = 0
        while True:
            seen = one.progress
            try:
                return await one.run()
            except MoveFailed:
                raise
            except Exception as error:
                problem = _problem_of(error)
                failures = failures + 1 if one.progress == seen else 1
                if problem is None:
                    raise
                if failures == _TRIES:
                    raise MoveFailed(f"{move}: {problem}") from error
                self._report(Progress(move, Step.RETRY, problem=problem))
            await asyncio.sleep(min(_FIRST_PAUSE_SECONDS * 2**failures, _LONGEST_PAUSE_SECONDS))

    async def unfinished(self) -> list[Move]:
        """Moves that were begun, on all shards. Raises: MoveFailed if one does not answer."""
        return [Move(bucket, name, peer) for name, bucket, peer in await self._at(Stage.COPYING, Stage.CLEANING)]

    async def cancel(self, move: Move) -> bool:
        """Gives up a move, unless the bucket has changed hands; whether that was so."""
        return await _OneMove(self._pools, move, self._report).cancel()

    async def tidy(self) -> None:
        """Removes copies of which the source knows nothing: whoever made room for them did not get any further."""
        leaving = {(bucket, name, peer) for name, bucket, peer in await self._at(Stage.COPYING)}
        for name, bucket, peer in await self._at(Stage.CLEARING, Stage.INCOMING):
            if (bucket, peer, name) not in leaving and peer in self._pools:
                await _OneMove(self._pools, Move(bucket, peer, name), self._report).clear_target()

    async def _at(self, *stages: Stage) -> list[tuple[str, Bucket, str]]:
        """Shards with buckets that are at one of some stages there, and the other shards of their moves."""
        found: list[tuple[str, Bucket, str]] = []
        for name, pool in self._pools.items():
            try:
                rows = await pool.run(functools.partial(_at, stages=stages))
            except Exception as error:
                if (problem := _problem_of(error)) is None:
                    raise
                raise MoveFailed(f"shard {name} does not answer: {problem}") from error
            found += [(name, bucket, peer) for bucket, peer in rows]
        return found


class _OneMove:
    def __init__(self, pools: Mapping[str, MySqlPool], move: Move, report: Report) -> None:
        for name in (move.source, move.target):
            if name not in pools:
                raise MoveFailed(f"{move}: shard {name} is not given")
        self._pools = pools
        self._move = move
        self._bucket = move.bucket
        self._source, self._target = pools[move.source], pools[move.target]
        self._report = report
        self._mover = new_id()
        self._copy = BucketCopy(self._bucket, self._source, self._target, self._mover)
        self._fence_seconds = 0.0
        self.progress: tuple[Step, int] = Step.BEGIN, 0
        """Another value whenever something was achieved."""

    async def run(self) -> None:
        await self._copy.prepare()
        if (await self._source.run(self._row)).shard == self._move.source:
            await self._begin()
            await self._copy_all()
            await self._switch()
        await self._activate()
        await self._clean()
        self._tell(Step.DONE)

    async def cancel(self) -> bool:
        async def stop(session: Session) -> bool:
            row = await self._locked(session)
            if row.shard != self._move.source:
                return False
            await self._write(session, Stage.NONE)
            await self._forget(session)
            return True

        if not await self._source.run(stop, transaction=True):
            return False
        await self.clear_target()
        return True

    async def clear_target(self, then: Stage = Stage.NONE) -> None:
        await self._claim_target(Stage.CLEARING)
        await clear(self._target, self._bucket, self._mover, lambda: self._tell(Step.CLEAR))
        await self._target.run(self._end(Stage.CLEARING, then), transaction=True)

    # Steps

    async def _begin(self) -> None:
        here, there = await self._source.run(self._row), await self._target.run(self._row)
        if here.stage is Stage.COPYING and here.peer != self._move.target:
            raise MoveFailed(f"{self._move}: it is on its way to {here.peer}")
        resumed = (here.stage, there.stage, there.peer) == (Stage.COPYING, Stage.INCOMING, self._move.source)
        self._tell(Step.CLEAR)
        if resumed:
            await self._claim_target(Stage.INCOMING)
        else:
            await self.clear_target(then=Stage.INCOMING)
        self._tell(Step.BEGIN)

        async def begin(session: Session) -> None:
            row = await self._locked(session)
            if row.shard != self._move.source:
                raise MoveFailed(f"{self._move}: it is on {row.shard}")
            if row.stage is not Stage.COPYING:
                await self._forget(session)
            await self._write(session, Stage.COPYING, self._move.target)

        await self._source.run(begin, transaction=True)

    async def _copy_all(self) -> None:
        self._tell(Step.COPY)
        await self._copy.copy(lambda: self._tell(Step.COPY))
        self._tell(Step.CATCH_UP)
        await self._catch_up()
        self._tell(Step.COMPARE)
        await self._compare()

    async def _catch_up(self) -> set[bytes]:
        """Until there is little left: the rest is for the fence."""
        caught: set[bytes] = set()
        for _ in range(_ROUNDS):
            began = time.monotonic()
            newly = await self._copy.catch_up()
            caught |= newly
            if not newly or time.monotonic() - began < _SHORT_ROUND_SECONDS:
                break
        return caught

    async def _compare(self) -> None:
        """What differs must have been written to meanwhile, and so be in the record."""
        suspects: set[bytes] | None = None
        for _ in range(_COMPARISONS):
            suspects = await self._copy.different(suspects)
            if not suspects:
                return
            if strange := suspects - await self._catch_up():
                raise MoveFailed(f"{self._move}: {len(strange)} copies differ, the first being {min(strange)!r}")

    async def _switch(self) -> None:
        for _ in range(_FENCES):
            self._tell(Step.FENCE)
            try:
                return await self._source.run(self._fenced, transaction=True)
            except TimeoutError:
                self._tell(Step.CATCH_UP)
                await self._catch_up()
        raise MoveFailed(f"{self._move}: too much is written to finish within {FENCE_SECONDS} s; try again later")

    async def _fenced(self, session: Session) -> None:
        """The commit of this transaction is the moment of the move."""
        row = await self._locked(session)
        began = time.monotonic()
        if (row.shard, row.stage) == (self._move.target, Stage.CLEANING):
            return  # an earlier try was committed, and its answer was late
        if (row.shard, row.stage, row.peer) != (self._move.source, Stage.COPYING, self._move.target):
            raise MoveFailed(f"{self._move}: another run has taken over")
        async with asyncio.timeout(FENCE_SECONDS):
            caught = await self._copy.catch_up(run=lambda work: work(session))
            await self._copy.check_heads(caught)
            await session.execute(
                "UPDATE bucket_map SET shard = %s, term = term + 1 WHERE kind = %s AND bucket = %s AND mover = %s",
                (self._move.target, *self._key, self._mover),
            )
            await self._write(session, Stage.CLEANING, self._move.target)
            await bump_version(session)
            self._tell(Step.SWITCH)
        self._fence_seconds = time.monotonic() - began

    async def _activate(self) -> None:
        """The target first; the others need not know."""
        self._tell(Step.ACTIVATE)
        row = await self._source.run(self._row)
        place = [(self._bucket, Place(row.shard, row.term))]

        async def write(session: Session) -> None:
            await write_places(session, place)

        await self._pools[row.shard].run(write, transaction=True)
        for name, pool in self._pools.items():
            if name not in (row.shard, self._move.source):
                try:
                    await pool.run(write, transaction=True)
                except Exception as error:
                    if (problem := _problem_of(error)) is None:
                        raise
                    self._report(Progress(self._move, Step.RETRY, problem=f"shard {name} was not told: {problem}"))

    async def _clean(self) -> None:
        self._tell(Step.CLEAN)

        async def claim(session: Session) -> bool:
            row = await self._locked(session)
            if row.stage is not Stage.CLEANING:
                return False
            await self._write(session, Stage.CLEANING, row.peer)
            return True

        if await self._source.run(claim, transaction=True):
            await clear(self._source, self._bucket, self._mover, lambda: self._tell(Step.CLEAN))
            await self._source.run(self._end(Stage.CLEANING, Stage.NONE), transaction=True)

    # What the steps are made of

    async def _claim_target(self, stage: Stage) -> None:
        async def claim(session: Session) -> None:
            row = await self._locked(session)
            if row.shard == self._move.target:
                raise MoveFailed(f"{self._move}: it is there already")
            await self._write(session, stage, self._move.source)

        await self._target.run(claim, transaction=True)

    def _end(self, of: Stage, then: Stage) -> Callable[[Session], Any]:
        """Ends a stage that this run is in."""

        async def end(session: Session) -> None:
            await session.execute(
                "UPDATE bucket_map SET stage = %s, copied = NULL"
                " WHERE kind = %s AND bucket = %s AND mover = %s AND stage = %s",
                (then, *self._key, self._mover, of),
            )

        return end

    async def _write(self, session: Session, stage: Stage, peer: str = "") -> None:
        await session.execute(
            "UPDATE bucket_map SET stage = %s, peer = %s, mover = %s WHERE kind = %s AND bucket = %s",
            (stage, peer, self._mover, *self._key),
        )

    async def _forget(self, session: Session) -> None:
        await session.execute("DELETE FROM bucket_changes WHERE kind = %s AND bucket = %s", self._key)

    async def _locked(self, session: Session) -> _Row:
        return await self._row(session, "FOR UPDATE")

    async def _row(self, session: Session, lock: str = "") -> _Row:
        query = f"SELECT shard, term, stage, peer FROM bucket_map WHERE kind = %s AND bucket = %s {lock}"
        [(shard, term, stage, peer)] = await session.rows(query, self._key)
        return _Row(shard.decode(), term, Stage(stage.decode()), peer.decode())

    @property
    def _key(self) -> tuple[str, int]:
        return self._bucket.kind.value, self._bucket.number

    def _tell(self, step: Step) -> None:
        self.progress = step, self._copy.rows
        self._report(Progress(self._move, step, self._copy.rows, self._fence_seconds))


async def _at(session: Session, stages: Sequence[Stage]) -> list[tuple[Bucket, str]]:
    rows = await session.rows(
        f"SELECT kind, bucket, peer FROM bucket_map WHERE stage IN ({marks(len(stages))}) ORDER BY kind, bucket", stages
    )
    return [(Bucket(Kind(kind.decode()), bucket), peer.decode()) for kind, bucket, peer in rows]


def _problem_of(error: Exception) -> str | None:
    """What to say of an error that may pass by itself; None for a bug."""
    verdict = verdict_of(error)
    return (
        None
        if verdict is None
        else f"{error or type(error).__name__}" + (" (somebody has to help)" if verdict is Verdict.UNABLE else "")
    )

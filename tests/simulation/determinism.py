"""Makes a trio program a function of its seed: time, chance and the order of tasks follow from it alone.

What is left is the order of sets of strings, which Python settles at its start: `PYTHONHASHSEED` must be 0.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import os
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar
from unittest import mock

import structlog
import trio
from trio._core import _run as scheduler

from .clock import JumpingClock

WALL_START = 1_700_000_000.0
"""What the wall clock shows when a run begins."""

T = TypeVar("T")
Complain = Callable[[str], None]


@functools.cache
def set_aside_imports() -> None:
    """Keeps the collector from looking at all modules again behind every world."""
    gc.collect()
    gc.freeze()


def run(seed: int, main: Callable[[], Awaitable[T]], complain: Complain) -> T:
    """Runs `main` with a clock that jumps; `complain` is told what is logged as an error."""
    assert os.environ.get("PYTHONHASHSEED") == "0", "sets would be ordered by chance"
    clock = JumpingClock()
    with _determined(seed, clock), _errors_told(complain), _collected_later():
        return trio.run(main, clock=clock)


@contextlib.contextmanager
def _determined(seed: int, clock: JumpingClock) -> Iterator[None]:
    random.seed(seed)
    scheduler._r.seed(seed)
    numbers = itertools.count(1)
    with (
        mock.patch.object(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        mock.patch.object(time, "time", partial(_wall_time, clock)),
        mock.patch.object(secrets, "token_hex", lambda size=16: f"{next(numbers):0{2 * size}x}"),
    ):
        yield


def _wall_time(clock: JumpingClock) -> float:
    return WALL_START + clock.current_time()


@contextlib.contextmanager
def _errors_told(complain: Complain) -> Iterator[None]:
    """What a node logs as an error is a bug of it; warnings are to be expected here."""

    def tell(logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        trouble = str(event.get("exception", "")).strip().rpartition("\n")[2]
        complain(f"a node logged {event['event']}: {trouble or event}")
        raise structlog.DropEvent

    structlog.configure(processors=[_with_traceback, tell], wrapper_class=structlog.make_filtering_bound_logger(40))
    try:
        yield
    finally:
        structlog.reset_defaults()


def _with_traceback(logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return structlog.processors.format_exc_info(logger, method, event)


@contextlib.contextmanager
def _collected_later() -> Iterator[None]:
    """A collection in the middle costs time, and could run finalisers at a moment that no seed decides."""
    gc.collect()  # the last world, whose tasks and nurseries point at each other
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

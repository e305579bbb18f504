"""`chat-gateway serve`: a node as a process, with its signals and exit codes."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from types import FrameType

import structlog
import trio

from gateway_core import AddressUnavailable, BackendUnavailable

from ..adapters.distributed.errors import ShardsUnusable
from ..adapters.embedded.errors import DatabaseUnusable
from ..bootstrap import Listening, run_node
from ..config import ChatConfig
from ..logging import configure_logging
from .flags import complain

_SWITCH_SECONDS = 0.0005
"""How soon a busy trio thread lets another thread of Python run (5 ms by default).

The stores and password checks wait in threads of their own: measured beside a trio thread that is never
idle, they starved for up to 11 s at the default, and for 16 ms at this.
"""
_GC_THRESHOLD = 20_000
"""Objects made and not freed before the young ones are searched for cycles (700 by default).

A hundred messages under way hold more than 700, so nearly each batch was searched, with nothing to find: request
handling makes no cycles. It was a tenth of what a message costs.
"""
SUPERVISOR_GONE = signal.SIGUSR1
"""What a worker sends to itself when its supervisor wants it to end, or has ended."""
_log = structlog.get_logger("chat.node")
_REFUSALS = (AddressUnavailable, BackendUnavailable, DatabaseUnusable, ShardsUnusable, OSError, ValueError)
"""What keeps a node from starting, in words for the one who started it."""


def run(config: ChatConfig) -> int:
    """Serves until a signal ends it: 0 after a clean end, 1 if it could not start or failed."""
    configure_logging(config.log_format, config.log_level)
    sys.setswitchinterval(_SWITCH_SECONDS)
    started: list[Listening] = []
    try:
        trio.run(_serve, config, started)
    except BaseExceptionGroup as errors:
        refusal, others = errors.split(_REFUSALS)
        if started or others is not None or refusal is None:
            _log.exception("failed")
        else:
            complain(_leaf(refusal))
        return 1
    return 0


async def _serve(config: ChatConfig, started: list[Listening]) -> None:
    stop = trio.Event()
    _stop_on_signals(stop, config.shutdown_seconds)
    async with trio.open_nursery() as nursery:
        listening = await nursery.start(run_node, config, stop)
        started.append(listening)
        _settle_heap()
        host, port = listening.address
        shown = f"[{host}]" if ":" in host else host
        print(f"chat-gateway listening on http://{shown}:{port}", flush=True)


def _settle_heap() -> None:
    """Spares the collector what the node is made of: modules, stores and services stay until the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, *gc.get_threshold()[1:])


def _stop_on_signals(stop: trio.Event, seconds: float) -> None:
    """The first SIGTERM or SIGINT sets `stop`; the second ends the process, as does the end of `seconds`.

    `SUPERVISOR_GONE` sets it as well and does not count: service managers signal all processes at once.

    Ending at once loses nothing that was acknowledged: that is committed, with or without a goodbye.
    """
    token = trio.lowlevel.current_trio_token()

    def handle(number: int, frame: FrameType | None) -> None:
        if number != SUPERVISOR_GONE and any(each != SUPERVISOR_GONE for each in heard):
            os._exit(128 + number)
        heard.append(number)
        if len(heard) == 1:
            threading.Thread(target=_end_after, args=(seconds,), daemon=True).start()
            token.run_sync_soon(stop.set)

    heard: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, SUPERVISOR_GONE):
        signal.signal(number, handle)


def _end_after(seconds: float) -> None:
    threading.Event().wait(seconds)
    _log.error("did not stop in time", seconds=seconds)
    os._exit(1)


def _leaf(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _leaf(first) if isinstance(first, BaseExceptionGroup) else first

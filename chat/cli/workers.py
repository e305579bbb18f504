"""`serve --workers N`: N nodes on one port, each a process, started anew when one ends.

The kernel deals the connections out (SO_REUSEPORT). The first worker must come up before the others are started,
so that a wrong setting is said once. From then on a worker that ends is started again, after a pause that grows
while it keeps ending soon; only when none is left and starting one fails again and again is it given up.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import cast

import structlog
import trio

from ..config import ChatConfig
from ..logging import configure_logging
from .flags import complain

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LASTED_SECONDS = 60.0
"""A worker that ran for so long has not failed when it ends."""
_MAX_FAILURES = 5
"""Of each worker, in a row, while none serves."""
_GRACE_SECONDS = 5.0
"""What workers get beyond the time that they allow themselves for the goodbye."""
_LISTENS = b"chat-gateway listening on "
_log = structlog.get_logger("chat.workers")


def run(config: ChatConfig, words: Sequence[str]) -> int:
    """Serves until a signal ends it: 0 after a clean end, else a worker's exit code, or 1.

    `words` is the command line.
    """
    configure_logging(config.log_format, config.log_level)
    try:
        reserved = _reserve(config.gateway.host, config.gateway.port)
    except OSError as error:
        complain(f"cannot listen on {config.gateway.host}:{config.gateway.port}: {error.strerror or error}")
        return 1
    with reserved:
        command = [sys.executable, "-m", "chat.cli.worker", *words]
        return trio.run(Supervisor(config, command, reserved.getsockname()[1]).run)


def _reserve(host: str, port: int) -> socket.socket:
    """Keeps a port for the workers, without listening there. Raises: OSError if somebody else has it."""
    [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    with socket.socket(family, kind, protocol) as alone:  # which does not share, so neither may anybody else
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        port = alone.getsockname()[1]
    reserved = socket.socket(family, kind, protocol)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((address[0], port, *address[2:]))
    return reserved


class Supervisor:
    """Keeps the workers of one `serve`. `command` starts one, with its own flags behind it."""

    def __init__(self, config: ChatConfig, command: Sequence[str], port: int) -> None:
        self._seconds = config.shutdown_seconds
        name = config.node or f"node-{secrets.token_hex(4)}"
        self._workers = [
            Worker(self, number, [*command, *_own_flags(config, name, number, port)])
            for number in range(config.workers)
        ]
        self.stopping = trio.Event()
        self.has_served = False
        """Whether any worker has ever listened: if none has, the settings are wrong."""
        self.code = 0

    @property
    def serves(self) -> bool:
        """Whether any worker listens."""
        return any(worker.listens for worker in self._workers)

    async def run(self) -> int:
        """The exit code, when all is over."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey)
            async with trio.open_nursery() as keepers:
                first, *others = self._workers
                keepers.start_soon(first.keep)
                await first.settled.wait()
                if self.has_served:
                    for worker in others:
                        keepers.start_soon(worker.keep)
                    for worker in others:
                        await worker.settled.wait()
                if self.serves and not self.stopping.is_set():
                    print(first.line, flush=True)
            nursery.cancel_scope.cancel()
        return self.code

    def give_up(self, code: int) -> None:
        """No worker is left, and none can be started."""
        self.code = max(code, 1)  # negative if a signal ended it
        self._stop()

    async def _obey(self) -> None:
        """The first signal is passed on, and so is the second, upon which workers end at once."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                self._stop()
                break
            with trio.move_on_after(self._seconds + _GRACE_SECONDS):
                async for number in signals:
                    self.code = 128 + number
                    break
            for worker in self._workers:
                worker.kill()
            await trio.sleep_forever()

    def _stop(self) -> None:
        self.stopping.set()
        for worker in self._workers:
            worker.stop()


class Worker:
    """One place among the workers, and the process that fills it."""

    def __init__(self, supervisor: Supervisor, number: int, command: Sequence[str]) -> None:
        self.listens = False
        self.line = ""
        """What it said when it began to listen."""
        self.settled = trio.Event()
        """Its first process listens, or has ended."""
        self._supervisor = supervisor
        self._number = number
        self._command = command
        self._process: trio.Process | None = None
        self._leash: int | None = None
        """The writing end of its standard input."""

    def stop(self) -> None:
        """Asks it to end: by the pipe, since a signal might be its second one."""
        if self._leash is not None:
            os.close(self._leash)
            self._leash = None

    def kill(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.kill()

    async def keep(self) -> None:
        """Runs one process after the other until the supervisor stops."""
        supervisor, pause, failures = self._supervisor, _FIRST_PAUSE_SECONDS, 0
        while not supervisor.stopping.is_set():
            begun = trio.current_time()
            code = await self._live()
            if supervisor.stopping.is_set():
                supervisor.code = supervisor.code or int(code != 0)
                break
            if trio.current_time() - begun >= _LASTED_SECONDS:
                pause, failures = _FIRST_PAUSE_SECONDS, 0
            failures += 1
            if not supervisor.serves and (failures >= _MAX_FAILURES or not supervisor.has_served):
                supervisor.give_up(code)
                break
            _log.warning("worker_ended", worker=self._number, code=code, again_in_seconds=pause)
            self.settled.set()
            with trio.move_on_after(pause):
                await supervisor.stopping.wait()
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self.settled.set()

    async def _live(self) -> int:
        """One process from beginning to end: its exit code. Not in the terminal's group, whose signals are for us."""
        end, self._leash = os.pipe()
        try:
            process = await trio.lowlevel.open_process(
                self._command, stdin=end, stdout=subprocess.PIPE, start_new_session=True
            )
        finally:
            os.close(end)
        self._process = process
        _log.info("worker_started", worker=self._number, process=process.pid)
        async with cast(trio.abc.ReceiveStream, process.stdout) as output:
            await self._listen(output)
            code = await process.wait()
        self._process, self.listens = None, False
        self.stop()
        return code

    async def _listen(self, output: trio.abc.ReceiveStream) -> None:
        """Notes when it serves; reads on to the end, so that it never blocks."""
        said = b""
        async for data in output:
            if not self.listens and (said := said + data).startswith(_LISTENS) and said.endswith(b"\n"):
                self.listens = self._supervisor.has_served = True
                self.line = said.decode().strip()
                self.settled.set()


def _own_flags(config: ChatConfig, name: str, number: int, port: int) -> list[str]:
    """What differs from worker to worker, behind what they share: of a flag that is given twice the last one counts."""
    flags = ["--workers", "1", "--share-port", "--port", f"{port}", "--node", f"{name}-{number}"]
    if config.admin_port:
        flags += ["--admin-port", f"{config.admin_port + number}"]
    return flags

from __future__ import annotations

import os
import sys

import pytest

from bench.process import Process, Usage, kernel_memory_bytes
from bench.servers import SERVERS, Job, ServerFailed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness reads /proc")

_CORES = sorted(os.sched_getaffinity(0))[:1] if sys.platform == "linux" else []
_BURN_AND_ECHO = """
import sys
sum(range(3_000_000))
print("ready", flush=True)
print(sys.stdin.readline().upper(), end="", flush=True)
sys.stdin.readline()
"""


def test_a_process_is_spoken_to_and_its_cost_is_read() -> None:
    with Process([sys.executable, "-c", _BURN_AND_ECHO], _CORES) as process:
        lines = process.lines()
        assert next(lines) == "ready"
        process.write_line("hello")
        assert next(lines) == "HELLO"
        usage = process.usage()
        assert usage.cpu_seconds > 0.01
        assert usage.peak_bytes > usage.private_bytes / 2 > 1_000_000
        process.write_line("end")
        assert process.wait() == 0


def test_descendants_count() -> None:
    command = ["sh", "-c", f"{sys.executable} -c '{_BURN_AND_ECHO}'; true"]
    with Process(command, _CORES) as process:
        assert next(process.lines()) == "ready"
        assert process.usage().cpu_seconds > 0.01
        process.write_line("one")
        process.write_line("two")
        process.wait()


def test_usage_adds_up() -> None:
    assert Usage(1.0, 2.0, 3, 4) + Usage(10.0, 20.0, 30, 40) == Usage(11.0, 22.0, 33, 44)


def test_a_server_that_ends_at_once_is_an_error_and_no_wait() -> None:
    with pytest.raises(ServerFailed, match="native ended with code"):
        SERVERS["native"].start(_CORES, Job("no such mode"))


def test_the_kernel_tells_its_memory() -> None:
    assert kernel_memory_bytes() > 1_000_000

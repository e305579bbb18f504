"""Command line of the benchmarks: `python -m bench --help`."""

from __future__ import annotations

import argparse
import os
import sys

from . import broadcast
from .generator import run
from .scenarios import SCENARIOS, Scenario
from .servers import SERVERS


def main() -> int:
    """Runs the command; returns the exit code."""
    arguments = _parser().parse_args()
    if arguments.command == "serve":
        broadcast.main(arguments.backend, arguments.port, echo=arguments.echo, reactors=arguments.reactors)
    elif arguments.command == "run":
        for name in arguments.scenario or SCENARIOS:
            _compare(SCENARIOS[name], arguments.server or list(SERVERS), arguments.rounds)
    return 0


def _compare(scenario: Scenario, servers: list[str], rounds: int) -> None:
    """Takes the servers in turn, so that a neighbour on the machine disturbs all alike."""
    print(scenario.title, flush=True)
    server_core, *load_cores = sorted(os.sched_getaffinity(0))
    for _ in range(rounds):
        for name in servers:
            process, address = SERVERS[name].start([server_core], echo=scenario.echo)
            with process:
                result = run(process, address, scenario.arguments, load_cores or [server_core])
            report = result.report
            latency = report["latency_us"]
            print(
                f"  {name:18} {result.cpu_us_per_delivery:8.2f} us/delivery  {result.core_share:5.2f} core  "
                f"{report['deliveries'] / max(report['seconds'], 1e-9):12,.0f}/s  "
                f"p50 {latency['p50'] / 1e3:.2f} p99 {latency['p99'] / 1e3:.2f} ms  lost {report['lost']} "
                f"doubled {report['doubled']}  connect {result.connect_us:.1f} us  "
                f"user {result.user_bytes_per_connection:.0f} B  kernel {result.kernel_bytes_per_connection:.0f} B",
                flush=True,
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of chat-gateway.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run a minimal broadcast server on gateway_core")
    serve.add_argument("--backend", choices=("native", "pure"), default="native")
    serve.add_argument("--port", type=int, default=0)
    serve.add_argument("--echo", action="store_true", help="send back to the sender instead of to all")
    serve.add_argument("--reactors", type=int, default=1)
    measure = commands.add_parser("run", help="measure servers in turn")
    measure.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    measure.add_argument("--server", action="append", choices=SERVERS, help="default: all")
    measure.add_argument("--rounds", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())

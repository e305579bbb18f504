"""Command line of the benchmarks: `python -m bench --help`."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from chat.dev_cluster import ClusterFailed

from . import broadcast, capacity, cluster, cluster_report, compare, plots, profiles, results, runner, tables
from .load import BINARY, LoadFailed, is_built
from .scenarios import SCENARIOS, Scenario
from .servers import SERVERS, Job

RESULTS = Path(__file__).parent / "results"
QUICK_SECONDS = 1.0
_EPILOG = """examples:
  python -m bench run --quick                         does it all work? about a minute
  python -m bench run                                 ours against the floor, about 20 minutes
  python -m bench run --server all --scenario all     everything, more than an hour
  python -m bench run --scenario echo --server ours --server peers --rounds 3
  python -m bench compare bench/results/A/results.json B/results.json
  python -m bench profile fanout-10000-128-1 --server native
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code: 0, 1 if something was measured wrong, 2 for a wrong command."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (ClusterFailed, LoadFailed, results.UnreadableResults, plots.NoPlots, profiles.NoProfiler, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    if not is_built():
        print(f"bench: {BINARY} is missing: make bench-build", file=sys.stderr)
        return 2
    scenarios = _scenarios(arguments)
    servers, skipped = runner.choose(arguments.server, scenarios)
    seconds = QUICK_SECONDS if arguments.quick and arguments.seconds is None else arguments.seconds
    rounds = arguments.rounds or (1 if arguments.quick else 2)
    plan = runner.Plan(scenarios, servers, rounds, seconds)
    for name, why in skipped.items():
        print(f"{name}: {why}")
    with runner.progress(plan) as step:
        found = runner.run(plan, skipped, step)
    _write(found, arguments.output or RESULTS / found.date.replace(":", ""))
    wrong = [measured for measured in found.measurements if measured.lost or measured.doubled]
    return 1 if wrong or found.failures else 0


def _scenarios(arguments: argparse.Namespace) -> list[Scenario]:
    names = arguments.scenario or []
    if "all" in names:
        return list(SCENARIOS.values())
    if names:
        return [SCENARIOS[name] for name in SCENARIOS if name in names]
    return [scenario for scenario in SCENARIOS.values() if (scenario.quick if arguments.quick else scenario.default)]


def _write(found: results.Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found.save(folder / "results.json")
    _draw(found, folder)
    print(f"\nresults in {folder}")


def _draw(found: results.Results, folder: Path) -> None:
    """The table and the pictures; without matplotlib the table alone."""
    pictures: list[Path] = []
    try:
        pictures = plots.draw(found, folder)
    except plots.NoPlots as error:
        print(f"no plots: {error}")
    (folder / "README.md").write_text(tables.report(found, [picture.name for picture in pictures]))


def _render(arguments: argparse.Namespace) -> int:
    _draw(results.load(arguments.file), arguments.file.parent)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    before, after = results.load(arguments.before), results.load(arguments.after)
    print(compare.report(before, after, base=arguments.base))
    return 0


def _profile(arguments: argparse.Namespace) -> int:
    arguments.output.mkdir(parents=True, exist_ok=True)
    scenario, server = SCENARIOS[arguments.scenario], SERVERS[arguments.server or "native"]
    if arguments.server is None and scenario.mode == "chat":
        server = SERVERS["chat"]
    for path in profiles.profile(scenario, server, arguments.output, arguments.seconds):
        print(path)
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    if arguments.backend.startswith("floor"):
        command = SERVERS[arguments.backend].command(Job(arguments.mode))
        os.execv(command[0], [*command, "--port", str(arguments.port)])  # it is this process from here on
    broadcast.main(
        arguments.backend,
        arguments.port,
        arguments.mode,
        reactors=arguments.reactors,
        compression=arguments.deflate,
    )
    return 0


def _cluster(arguments: argparse.Namespace) -> int:
    if not is_built():
        print(f"bench: {BINARY} is missing: make bench-build", file=sys.stderr)
        return 2
    plan = cluster.Plan(
        users=arguments.users,
        rooms=arguments.rooms,
        zipf=arguments.zipf,
        local=arguments.local,
        rate=arguments.rate,
        seconds=arguments.seconds,
        text_bytes=arguments.text_bytes,
    )
    folder = arguments.output or RESULTS / f"{datetime.date.today()}-cluster"
    folder.mkdir(parents=True, exist_ok=True)
    profile = folder / "py-spy.txt" if arguments.profile else None
    measured = cluster.measure(plan, profile)
    print(cluster_report.save(plan, measured, folder, profile))
    return 0 if cluster_report.is_right(measured) else 1


def _list(arguments: argparse.Namespace) -> int:
    print("scenarios (* by default, + with --quick)")
    for scenario in SCENARIOS.values():
        mark = ("*" if scenario.default else " ") + ("+" if scenario.quick else " ")
        print(f"  {mark} {scenario.name:24} {scenario.title}")
    print("\nservers")
    for server in SERVERS.values():
        print(f"     {server.name:24} {server.title}{_in_brackets(server.missing())}")
    return 0


def _in_brackets(why: str | None) -> str:
    return f"  [{why}]" if why else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures gateway_core and chat-gateway against the physical floor and against other servers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)

    render = commands.add_parser("render", help="write table and plots of a result file anew")
    render.add_argument("file", type=Path)
    render.set_defaults(run=_render)

    comparison = commands.add_parser("compare", help="what changed between two result files")
    comparison.add_argument("before", type=Path)
    comparison.add_argument("after", type=Path)
    comparison.add_argument(
        "--base", metavar="SERVER", choices=SERVERS, help="compare ratios to this server, e.g. floor"
    )
    comparison.set_defaults(run=_compare)

    profile = commands.add_parser("profile", help="flame graphs of a server in a scenario")
    profile.add_argument("scenario", choices=SCENARIOS, metavar="SCENARIO")
    profile.add_argument("--server", choices=SERVERS, metavar="SERVER", help="default: native, or chat")
    profile.add_argument("--seconds", type=float, default=5.0, help="to record [5]")
    profile.add_argument("--output", type=Path, default=Path("profiles"), help="folder for the pictures [profiles]")
    profile.set_defaults(run=_profile)

    serve = commands.add_parser("serve", help="run one of our servers by itself")
    serve.add_argument("--backend", choices=("native", "pure", "floor", "floor-coalesced"), default="native")
    serve.add_argument("--mode", choices=broadcast.MODES, default="broadcast", help="what it does [broadcast]")
    serve.add_argument("--port", type=int, default=0, help="0 lets the system choose [0]")
    serve.add_argument("--reactors", type=int, default=1, help="threads of the native backend [1]")
    serve.add_argument("--deflate", action="store_true", help="agree to permessage-deflate")
    serve.set_defaults(run=_serve)

    whole = commands.add_parser("cluster", help="measure three nodes with Redis Cluster and two replicated shards")
    whole.add_argument("--users", type=int, default=9_000, help="connections, a third at each node [9000]")
    whole.add_argument("--rooms", type=int, default=200, help="each with members at all nodes [200]")
    whole.add_argument("--zipf", action="store_true", help="room k has a share of 1/k of the largest one's members")
    whole.add_argument("--local", action="store_true", help="each room's members are all at one node")
    whole.add_argument("--rate", type=float, default=500.0, help="messages a second, in an open loop [500]")
    whole.add_argument("--text-bytes", type=int, default=128, help="of text a message [128]")
    whole.add_argument("--seconds", type=float, default=20.0, help="of load [20]")
    whole.add_argument("--profile", action="store_true", help="watch a node with py-spy meanwhile")
    whole.add_argument("--output", type=Path, help="folder for results [bench/results/DATE-cluster]")
    whole.set_defaults(run=_cluster)

    paper = commands.add_parser("capacity", help="what a fleet needs, from a plan and measured costs")
    capacity.add_arguments(paper)
    paper.set_defaults(run=capacity.run)

    commands.add_parser("list", help="all scenarios and servers").set_defaults(run=_list)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="measure servers in turn", epilog=_EPILOG)
    run.formatter_class = argparse.RawDescriptionHelpFormatter
    run.add_argument(
        "--scenario",
        action="append",
        choices=(*SCENARIOS, "all"),
        metavar="NAME",
        help="may be repeated; `all`; see `list`",
    )
    run.add_argument(
        "--server",
        action="append",
        choices=(*SERVERS, "all", "ours", "peers"),
        metavar="NAME",
        help="may be repeated; `ours`, `peers`, `all`; see `list` [ours and chat]",
    )
    run.add_argument("--rounds", type=int, help="how often each is measured; medians count [2]")
    run.add_argument("--seconds", type=float, help="of load, instead of what each scenario says")
    run.add_argument("--quick", action="store_true", help="few scenarios, one round of one second")
    run.add_argument("--output", type=Path, help="folder for results [bench/results/DATE]")
    run.set_defaults(run=_run)

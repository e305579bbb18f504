from __future__ import annotations

import pytest

from bench.measure import split_cores
from bench.runner import Plan, choose
from bench.scenarios import PER_PROCESS, SCENARIOS, ChatLoad, RawLoad
from bench.seed import Population
from bench.servers import OURS, SERVERS


def _options(arguments: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(arguments[1::2], arguments[2::2], strict=True))


def test_a_load_that_fits_is_one_process() -> None:
    [arguments] = RawLoad(connections=1_000, window=16).processes("plain")
    options = _options(arguments)
    assert arguments[0] == "raw"
    assert (options["--connections"], options["--pattern"], options["--window"]) == ("1000", "broadcast", "16")


def test_more_sockets_are_shared_out_and_only_the_first_process_publishes() -> None:
    options = [_options(one) for one in RawLoad(connections=40_000, slow=10).processes("plain")]
    assert sum(int(one["--connections"]) for one in options) == 40_000
    assert max(int(one["--connections"]) for one in options) == PER_PROCESS
    assert [one["--pattern"] for one in options] == ["broadcast", "listen", "listen"]
    assert [one["--slow"] for one in options] == ["10", "0", "0"]


def test_a_rate_replaces_the_window() -> None:
    [arguments] = RawLoad(connections=10, rate=4).processes("plain")
    assert arguments[-2:] == ("--rate", "4")


def test_a_storm_is_asked_for_by_a_flag() -> None:
    load = ChatLoad(population=Population(10, 2), pace=("--publishers", 3.0), storm=True)
    arguments = load.arguments("users.jsonl")
    assert arguments[-1] == "--storm"
    assert arguments[arguments.index("--publishers") + 1] == "3"


def test_even_rooms_have_the_same_number_of_members() -> None:
    memberships = Population(100, 10).memberships()
    assert sorted(room for rooms in memberships for room in rooms) == sorted(list(range(10)) * 10)


def test_zipf_rooms_shrink_with_their_rank_and_nobody_is_twice_in_one() -> None:
    memberships = Population(2_000, 50, 3, zipf=True).memberships()
    sizes = [sum(room in rooms for rooms in memberships) for room in range(50)]
    assert all(len(set(rooms)) == len(rooms) >= 3 for rooms in memberships)
    assert sizes[0] > sizes[4] > sizes[40]
    assert memberships == Population(2_000, 50, 3, zipf=True).memberships()


@pytest.mark.parametrize(
    ("cores", "wanted", "server", "load"),
    [
        ([0, 1], 1, [0], [1]),
        ([0, 1], 4, [0], [1]),
        ([0], 1, [0], [0]),
        ([0, 1, 2, 3, 4, 5], 4, [0, 1, 2, 3], [4, 5]),
    ],
)
def test_server_and_load_share_a_core_only_if_there_is_no_other(
    cores: list[int], wanted: int, server: list[int], load: list[int]
) -> None:
    assert split_cores(cores, wanted) == (server, load)


def test_servers_are_taken_in_turn_within_each_round() -> None:
    servers = [SERVERS[name] for name in ("floor", "native", "chat")]
    steps = [(number, server.name) for _, number, server in Plan([SCENARIOS["echo"]], servers, 2).steps()]
    assert steps == [(1, "floor"), (1, "native"), (2, "floor"), (2, "native")]


def test_a_scenario_is_measured_only_on_servers_that_can() -> None:
    plan = Plan([], list(SERVERS.values()), 1)
    assert {server.name for server in plan.servers_of(SCENARIOS["fairness"])} == {"native", "pure"}
    assert {server.name for server in plan.servers_of(SCENARIOS["chat-publish"])} == {"chat", "chat-pure"}
    assert "picows" not in {server.name for server in plan.servers_of(SCENARIOS["deflate-1000-1024-1"])}
    assert [server.name for server in plan.servers_of(SCENARIOS["reactors"])] == ["native", "native-2", "native-4"]


def test_what_is_not_installed_is_skipped_with_the_reason() -> None:
    chosen, skipped = choose(["ours"], [])
    assert sorted([*(server.name for server in chosen), *skipped]) == sorted(OURS)
    assert all(reason.startswith("not installed") for reason in skipped.values())

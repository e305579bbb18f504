from __future__ import annotations

import dataclasses
from typing import Any

from bench.cluster import Cost, Measured, Plan
from bench.cluster_report import is_right, report

_QUANTILES: dict[str, float | None] = {"p50": 10.0, "p90": 20.0, "p99": 40.0, "p99.9": 60.0, "max": 80.0}


def _measured(**values: Any) -> Measured:
    measured = Measured(
        seconds=10.0,
        published=1_000,
        acknowledged=1_000,
        stored={"shard-a-primary": 600, "shard-a-replica": 600, "shard-b-primary": 400, "shard-b-replica": 400},
        deliveries=45_000,
        lost=0,
        doubled=0,
        errors={},
        closes={},
        latency_ms=_QUANTILES,
        answer_ms=_QUANTILES,
        connect_us=300.0,
        connect_counters={"mysql Questions": 1.5},
        costs=[
            Cost("node-1", 0.2, 0.1, {"main": 0.2, "reactors": 0.1}, 100 << 20),
            Cost("node-2", 0.2, 0.1, {"main": 0.2, "reactors": 0.1}, 90 << 20),
            Cost("redis-1", 0.05, 0.0, {}, 10 << 20),
            Cost("redis-4", 0.02, 0.0, {}, 10 << 20),
            Cost("shard-a-primary", 0.2, 0.1, {}, 100 << 20),
            Cost("shard-a-replica", 0.1, 0.1, {}, 100 << 20),
        ],
        counters={"mysql Com_commit": 250.0},
    )
    return dataclasses.replace(measured, **values)


def test_a_cluster_is_right_if_all_is_stored_once_and_came_once() -> None:
    assert is_right(_measured())


def test_a_cluster_is_wrong_if_anything_is_lost_doubled_refused_or_stored_twice() -> None:
    for wrong in ({"lost": 1}, {"doubled": 1}, {"errors": {"unavailable": 1}}, {"closes": {"4008": 1}}):
        assert not is_right(_measured(**wrong))
    assert not is_right(_measured(acknowledged=999))
    assert not is_right(_measured(stored={"shard-a-primary": 1_001}))


def test_the_report_adds_up_processes_of_a_kind_and_splits_nodes_by_thread() -> None:
    text = report(Plan(), _measured())
    assert "| nodes | 600 | 200 | 0.060 | 100 |" in text
    assert "| – trio thread | 400 |  | 0.040 |  |" in text
    assert "| Redis primaries | 50 | 0 | 0.005 | 10 |" in text
    assert "| Redis replicas | 20 |" in text
    assert "| mysql Com_commit | 0.250 | 0.000 |" in text
    assert "| once, in order, p99 < 250 ms | held |" in text


def test_a_late_or_wrong_cluster_does_not_hold() -> None:
    late = _measured(latency_ms={**_QUANTILES, "p99": 251.0})
    for measured in (late, _measured(lost=1)):
        assert "| **not held** |" in report(Plan(), measured)


def test_a_profile_is_told_by_module_of_ours_and_by_package_of_others() -> None:
    stacks = [
        "run (site-packages/trio/_core/_run.py:1);post (chat/services/posting.py:70) 30",
        "run (x/chat/realtime/realtime.py:1);step (site-packages/trio/_core/_run.py:9) 60",
        "run (x/chat/realtime/realtime.py:1);encode (native) 10",
        "not a stack",
    ]
    text = report(Plan(), _measured(), stacks)
    assert "| trio | 60.0% |" in text
    assert "| chat/services/posting.py | 30.0% |" in text

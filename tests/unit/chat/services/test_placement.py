"""Where clients are sent."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from chat.ports.node_registry import NodeInfo
from chat.services.placement import place


def node(name: str, **fields: Any) -> NodeInfo:
    return NodeInfo(**{"node": name, "url": f"wss://{name}.example", "max_connections": 100, **fields})


ME = node("me", url="")


def placed(nodes: list[NodeInfo], rounds: int = 200, **wishes: str) -> Counter[str]:
    chance = random.Random(7)
    return Counter(place(nodes, ME, chance=chance, **wishes).node for _ in range(rounds))


def test_alone_everybody_stays_here() -> None:
    assert place([], ME) == ME
    assert place([ME], ME) == ME


@pytest.mark.parametrize("away", [{"draining": True}, {"connections": 100}, {"max_connections": 0}, {"url": ""}])
def test_nobody_is_sent_to_a_node_that_goes_or_is_full_or_has_no_address(away: dict[str, Any]) -> None:
    assert placed([node("a", **away), node("b")]).keys() == {"b"}
    assert place([node("a", **away)], ME) == ME


def test_a_client_comes_back_to_its_node_while_that_takes_any() -> None:
    nodes = [node("a", connections=99), node("b"), node("c")]
    assert placed(nodes, last="a").keys() == {"a"}
    assert "a" not in placed([node("a", draining=True), *nodes[1:]], last="a")
    assert placed(nodes, last="gone").keys() == {"b", "c"}


def test_a_node_near_the_client_goes_before_an_emptier_one() -> None:
    nodes = [node("a", region="eu", connections=90), node("b", region="us"), node("c", region="us", connections=5)]
    assert placed(nodes, region="eu").keys() == {"a"}
    assert placed(nodes, region="us").keys() == {"b"}
    assert placed(nodes, region="asia").keys() == {"b", "c"}


def test_of_many_nodes_the_emptier_ones_get_more_and_none_gets_all() -> None:
    nodes = [node(f"n{number}", connections=10 * number) for number in range(10)]
    counts = placed(nodes, rounds=1000)
    assert counts["n0"] > counts["n4"] > counts["n8"] > 0
    assert counts["n0"] < 300
    assert counts["n9"] == 0  # the fullest is never the emptier of two


def test_fullness_is_relative_to_what_a_node_takes() -> None:
    assert placed([node("small", connections=50), node("big", connections=60, max_connections=1000)]).keys() == {"big"}

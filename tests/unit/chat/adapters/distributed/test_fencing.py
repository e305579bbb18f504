"""Which primaries of a shard are refused."""

from __future__ import annotations

import pytest

from chat.adapters.distributed.fencing import Fence
from chat.adapters.distributed.mysql_errors import Verdict, verdict_of


@pytest.fixture
def fence() -> Fence:
    """One that has met the second primary."""
    fence = Fence("a", "mysql://chat@db/chat")
    fence.meet(0, "db1:3306")
    fence.meet(1, "db2:3306")
    return fence


def test_an_older_primary_is_as_good_as_none(fence: Fence) -> None:
    with pytest.raises(Exception, match="no longer the primary") as raised:
        fence.meet(0, "db1:3306")
    assert verdict_of(raised.value) is Verdict.UNREACHABLE
    fence.meet(1, "db2:3306")
    fence.meet(2, "db3:3306")


def test_what_an_older_primary_has_done_is_in_doubt(fence: Fence) -> None:
    assert not fence.admits(0)
    with pytest.raises(Exception, match="ceased to be the primary") as raised:
        fence.check(0)
    assert verdict_of(raised.value) is Verdict.IN_DOUBT
    assert fence.admits(1)
    fence.check(1)

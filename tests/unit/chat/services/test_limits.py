from __future__ import annotations

import pytest
from trio.testing import MockClock

from chat.adapters.embedded.rate_limiter import MemoryRateLimiter
from chat.domain.errors import RateLimited
from chat.ports.rate_limiter import Rate
from chat.services.limits import Throttle, address_key, digest


async def test_what_is_there_is_granted_and_the_wait_for_more_is_told(autojump_clock: MockClock) -> None:
    throttle, rate = Throttle(MemoryRateLimiter()), Rate(2, 5)
    assert await throttle.take_up_to("b", rate, 3) == (3, 0)
    assert await throttle.take_up_to("b", rate, 3) == (2, 0.5)
    assert await throttle.take_up_to("b", rate, 0) == (0, 0)
    autojump_clock.jump(0.5)
    await throttle.take("b", rate)
    with pytest.raises(RateLimited) as refusal:
        await throttle.take("b", rate)
    assert refusal.value.retry_after == 0.5


async def test_more_than_a_bucket_holds_gets_what_it_holds(autojump_clock: MockClock) -> None:
    granted, wait = await Throttle(MemoryRateLimiter()).take_up_to("b", Rate(1, 5), 1_000_000)
    assert (granted, wait) == (5, 1)


async def test_a_rate_of_zero_has_no_limit(autojump_clock: MockClock) -> None:
    assert await Throttle(MemoryRateLimiter()).take_up_to("b", Rate(0, 0), 1_000_000) == (1_000_000, 0)


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_address_counts_as_what_one_customer_has(peer: str, key: str) -> None:
    assert address_key(peer) == key


@pytest.mark.parametrize("peer", ["", "localhost", "\ud800", "1" * 100_000])
def test_what_is_no_address_has_a_short_key_of_its_own(peer: str) -> None:
    assert address_key(peer) == digest(peer)
    assert len(address_key(peer)) == 32

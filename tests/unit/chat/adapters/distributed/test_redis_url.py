"""How people say which Redis to use."""

from __future__ import annotations

import pytest

from chat.adapters.distributed.redis_url import CLUSTER, SENTINEL, SINGLE, Address, RedisUrl, parse_redis_url

LOCAL = Address("127.0.0.1", 6379)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://127.0.0.1", RedisUrl(SINGLE, (LOCAL,))),
        ("redis://127.0.0.1:7000/3", RedisUrl(SINGLE, (Address("127.0.0.1", 7000),), database=3)),
        ("redis://127.0.0.1/", RedisUrl(SINGLE, (LOCAL,))),
        ("rediss://r.example", RedisUrl(SINGLE, (Address("r.example", 6379),), tls=True)),
        ("redis://[::1]:7000", RedisUrl(SINGLE, (Address("::1", 7000),))),
        ("redis://:pw%40%2F@127.0.0.1", RedisUrl(SINGLE, (LOCAL,), password="pw@/")),
        ("redis://me:a:b@127.0.0.1", RedisUrl(SINGLE, (LOCAL,), username="me", password="a:b")),
        (
            "redis+sentinel://a,b:1/main/2",
            RedisUrl(SENTINEL, (Address("a", 26379), Address("b", 1)), primary_name="main", database=2),
        ),
        (
            "rediss+cluster://u:p@a,[fe80::1]",
            RedisUrl(CLUSTER, (Address("a", 6379), Address("fe80::1", 6379)), username="u", password="p", tls=True),
        ),
    ],
)
def test_a_url_says_kind_servers_and_login(text: str, expected: RedisUrl) -> None:
    assert parse_redis_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "redis",
        "http://127.0.0.1",
        "redis://",
        "redis://a,b",
        "redis://a:0",
        "redis://a:65536",
        "redis://a:x",
        "redis://a b",
        "redis://a/x",
        "redis://a/1/2",
        "redis://a?b=c",
        "redis+sentinel://a",
        "redis+sentinel://a/",
        "redis+sentinel://a/main/x",
        "redis+cluster://a/1",
        "redis+cluster://a,,b",
        "redis+other://a",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"redis|Redis"):
        parse_redis_url(text)


@pytest.mark.parametrize(
    "text", ["redis://:hunter2@a:x", "redis://:hunter2@a/x", "redis:///:hunter2@", "re://hunter2@"]
)
def test_a_refusal_does_not_repeat_the_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"redis|Redis") as refusal:
        parse_redis_url(text)
    assert "hunter2" not in str(refusal.value)


def test_a_parsed_url_does_not_show_the_password() -> None:
    assert "hunter2" not in repr(parse_redis_url("redis://:hunter2@a"))

"""DSNs of shards as people write them."""

from __future__ import annotations

import pytest

from chat.adapters.distributed.mysql_dsn import Dsn, ShardDsn, parse_shards


def test_a_shard_has_a_name_a_primary_and_replicas() -> None:
    [shard] = parse_shards(["a=mysql://chat:pw@db1:3307/chat,mysql://chat:pw@db2/chat", "mysql://chat@db3/chat"])
    assert shard == ShardDsn(
        "a",
        Dsn("db1", 3307, "chat", "chat", "pw"),
        (Dsn("db2", 3306, "chat", "chat", "pw"), Dsn("db3", 3306, "chat", "chat")),
    )


def test_shards_come_in_their_order() -> None:
    shards = parse_shards(["b=mysql://u@h/x", "a=mysql://u@h/y,c=mysql://u@h/z"])
    assert [(shard.name, shard.primary.database) for shard in shards] == [("b", "x"), ("a", "y"), ("c", "z")]
    assert parse_shards([]) == ()


def test_special_characters_are_quoted_as_in_any_url() -> None:
    [shard] = parse_shards(["a=mysql://us%40er:p%2C%3D%2F%40w@[::1]:3306/d%20b"])
    assert (shard.primary.user, shard.primary.password) == ("us@er", "p,=/@w")
    assert (shard.primary.host, shard.primary.database) == ("::1", "d b")


def test_encryption_is_asked_for_by_option() -> None:
    dsns = [parse_shards([f"a=mysql://u@h/x{options}"])[0].primary for options in ("", "?tls=true", "?ca=/etc/ca.pem")]
    assert [(dsn.tls, dsn.ca) for dsn in dsns] == [(False, ""), (True, ""), (True, "/etc/ca.pem")]


def test_no_text_of_a_dsn_has_its_password() -> None:
    [shard] = parse_shards(["a=mysql://chat:geheim@h/x"])
    assert "geheim" not in f"{shard} {shard!r} {shard.primary} {shard.primary!r}"
    assert str(shard.primary) == "mysql://chat@h:3306/x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mysql://u:geheim@h/x",
        "a=",
        "a=geheim",
        "A=mysql://u:geheim@h/x",
        "a=postgres://u:geheim@h/x",
        "a=mysql://u:geheim@h",
        "a=mysql://u:geheim@h/",
        "a=mysql://h/x",
        "a=mysql://u:geheim@/x",
        "a=mysql://u:geheim@h:port/x",
        "a=mysql://u:geheim@h:99999/x",
        "a=mysql://u:geheim@[h/x",
        "a=mysql://u:geheim@h/x?ssl=1",
        "a=mysql://u:geheim@h/x?tls=maybe",
        "a=mysql://u:geheim@h/x?tls",
        "a=mysql://u:geheim@h/x`y",
        "a=mysql://u:geheim@h/x,geheim",
        "a=mysql://u:geheim@h/x,a=mysql://u:geheim@h/y",
    ],
)
def test_what_is_no_shard_is_refused_without_telling_its_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|twice") as refused:
        parse_shards([text])
    assert "geheim" not in str(refused.value)

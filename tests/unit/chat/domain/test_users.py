from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.domain.errors import Forbidden, Invalid
from chat.domain.users import User, UserId, check_name, check_operator, check_password, fold_name


@pytest.mark.parametrize("name", ["a", "Ünï Cödé", "李小龍", "o'Brien <b>", "x" * 32, "❤\ufe0f", "مريم", "e\u0301"])
def test_names_of_people_are_names(name: str) -> None:
    assert fold_name(check_name(f" {name}\t")) == fold_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "x" * 33,
        "a\0b",
        "a\nb",
        "a\u200bb",
        "a\u202eb",
        "a\u2066b",
        "a\u2028b",
        "a\ufeffb",
        "a\ue000b",
        "\ud800",
        "\u3164",
        "a\u2800",
        "a" + "\u0300" * 4,
    ],
    ids=ascii,
)
def test_b44_a_name_that_cannot_be_read_is_none(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("Alice", "ALICE"),
        ("Strasse", "Straße"),
        ("alice", "ａｌｉｃｅ"),
        ("file", "ﬁle"),
        ("café", "cafe\u0301"),
        ("a b", "a\u00a0 b"),
        ("alice", "alice\ufe0f"),
        ("Σας", "ΣΑΣ"),
    ],
)
def test_b44_names_that_read_alike_are_one(name: str, twin: str) -> None:
    assert fold_name(name) == fold_name(twin)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_folding_twice_is_folding_once(name: str) -> None:
    assert fold_name(fold_name(name)) == fold_name(name)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_a_checked_name_stays_as_it_is(name: str) -> None:
    try:
        checked = check_name(name)
    except Invalid:
        return
    assert check_name(checked) == checked


def test_only_administrators_operate_the_installation() -> None:
    check_operator(User(UserId("u"), "anna", admin=True))
    with pytest.raises(Forbidden):
        check_operator(User(UserId("u"), "anna"))


@pytest.mark.parametrize("password", ["x" * 8, "x" * 1024, "ä" * 512, "with spaces \n\0", "😀" * 8])
def test_a_password_may_be_any_text(password: str) -> None:
    assert check_password(password) == password


@pytest.mark.parametrize("password", ["", "x" * 7, "x" * 1025, "ä" * 513, "x" * 10_000_000, "lone \ud800 surrogate"])
def test_a_password_has_limits(password: str) -> None:
    with pytest.raises(Invalid):
        check_password(password)

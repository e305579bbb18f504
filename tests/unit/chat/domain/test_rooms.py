from __future__ import annotations

import itertools

import pytest

from chat.domain.errors import Forbidden, NotFound
from chat.domain.rooms import Operation, Role, RoomKind, check, outranks

PUBLIC, PRIVATE, DIRECT = RoomKind.PUBLIC, RoomKind.PRIVATE, RoomKind.DIRECT
SEE, ENTER, PUBLISH, MODERATE, ADMINISTER = Operation

ALLOWED = {
    # role: (public, private, direct)
    None: ({SEE, ENTER}, set(), set()),
    Role.MEMBER: ({SEE, ENTER, PUBLISH}, {SEE, ENTER, PUBLISH}, {SEE, ENTER, PUBLISH}),
    Role.MODERATOR: ({SEE, ENTER, PUBLISH, MODERATE}, {SEE, ENTER, PUBLISH, MODERATE}, {SEE, ENTER, PUBLISH}),
    Role.OWNER: (set(Operation), set(Operation), {SEE, ENTER, PUBLISH}),
    Role.BANNED: (set(), set(), set()),
}
CASES = list(itertools.product(Operation, (PUBLIC, PRIVATE, DIRECT), ALLOWED))


@pytest.mark.parametrize(("operation", "kind", "role"), CASES)
def test_b36_the_acl_is_this_table(operation: Operation, kind: RoomKind, role: Role | None) -> None:
    allowed = ALLOWED[role][(PUBLIC, PRIVATE, DIRECT).index(kind)]
    if operation in allowed:
        check(operation, kind, role)
        return
    with pytest.raises(Forbidden if SEE in allowed else NotFound):
        check(operation, kind, role)


def test_one_outranks_only_those_below_and_nobody_without_a_rank_outranks_anyone() -> None:
    ranks = [None, Role.MEMBER, Role.MODERATOR, Role.OWNER]
    for actor, target in itertools.product(ranks[1:], ranks):
        assert actor is not None
        assert outranks(actor, target) == (ranks.index(actor) > ranks.index(target))
        assert outranks(actor, Role.BANNED)
        assert not outranks(Role.BANNED, target)

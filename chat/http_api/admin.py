"""For administrators: the node's figures, and everybody's accounts and rooms."""

from __future__ import annotations

from ..domain.errors import Invalid
from ..domain.ids import is_id
from ..domain.rooms import Role, RoomId
from ..domain.users import UserId
from ..metrics.figures import NodeView
from .admin_views import (
    AccountLine,
    AccountsAnswer,
    AllMembersAnswer,
    AnyRole,
    Done,
    FoundRoomsAnswer,
    MemberLine,
    OverviewAnswer,
    RoomLine,
    SearchQuery,
)
from .routing import Call, Endpoint
from .views import MembersQuery

_ROOMS = "/api/admin/rooms"
_USERS = "/api/admin/users"


class AdminApi:
    """Every request needs the access token of an administrator, as `Operators` decides."""

    def __init__(self, node: NodeView) -> None:
        self._node = node
        self.endpoints = [
            Endpoint("GET", "/api/admin/overview", self.overview),
            Endpoint("GET", _USERS, self.find_users),
            Endpoint("POST", f"{_USERS}/{{user}}/ban", self.ban),
            Endpoint("POST", f"{_USERS}/{{user}}/unban", self.unban),
            Endpoint("POST", f"{_USERS}/{{user}}/close", self.close),
            Endpoint("GET", _ROOMS, self.find_rooms),
            Endpoint("GET", f"{_ROOMS}/{{room}}/members", self.all_members),
            Endpoint("PUT", f"{_ROOMS}/{{room}}/members/{{user}}", self.set_any_role),
            Endpoint("DELETE", f"{_ROOMS}/{{room}}/members/{{user}}", self.kick),
        ]

    async def overview(self, call: Call) -> OverviewAnswer:
        """Shows the figures of the node that answers, and the nodes of the fleet."""
        await call.services.operators.admit(call.identity)
        return OverviewAnswer.of(self._node.figures(), await self._node.nodes())

    async def find_users(self, call: Call, query: SearchQuery) -> AccountsAnswer:
        """Lists accounts whose name begins with `name`."""
        after = None if query.after is None else UserId(_cursor(query.after))
        page = await call.services.operators.users(call.identity, query.name, after, query.limit)
        lines = [AccountLine.of(account, self._node.connections_of(account.user.id)) for account in page.items]
        return AccountsAnswer(lines, page.more)

    async def ban(self, call: Call) -> Done:
        """Ends all sessions of an account, and lets it sign in no more. Administrators cannot be banned."""
        await call.services.operators.ban(call.identity, call.user)
        return Done()

    async def unban(self, call: Call) -> Done:
        """Lets a banned account sign in again."""
        await call.services.operators.unban(call.identity, call.user)
        return Done()

    async def close(self, call: Call) -> Done:
        """Ends all sessions of an account and closes its sockets, on every node."""
        await call.services.operators.sign_out(call.identity, call.user)
        return Done()

    async def find_rooms(self, call: Call, query: SearchQuery) -> FoundRoomsAnswer:
        """Lists public and private rooms whose name begins with `name`."""
        after = None if query.after is None else RoomId(_cursor(query.after))
        page = await call.services.operators.rooms(call.identity, query.name, after, query.limit)
        return FoundRoomsAnswer([RoomLine.of(state) for state in page.items], page.more)

    async def all_members(self, call: Call, query: MembersQuery) -> AllMembersAnswer:
        """Lists the members of any room."""
        after = None if query.after is None else UserId(_cursor(query.after))
        page = await call.services.operators.members(call.identity, call.room, after, query.limit)
        return AllMembersAnswer([MemberLine.of(state) for state in page.items], page.more)

    async def set_any_role(self, call: Call, body: AnyRole) -> Done:
        """Makes a user a member, moderator or owner of any room, or bans them from it, whatever they were."""
        await call.services.operators.set_role(call.identity, call.room, call.user, Role(body.role))
        return Done()

    async def kick(self, call: Call) -> Done:
        """Removes a member from any room, or lifts a ban."""
        await call.services.operators.set_role(call.identity, call.room, call.user, None)
        return Done()


def _cursor(after: str) -> str:
    """Raises: Invalid."""
    if not is_id(after):
        raise Invalid("after must be an id")
    return after

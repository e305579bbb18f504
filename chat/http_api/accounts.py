"""Accounts, sessions, and who has which name."""

from __future__ import annotations

import time

from ..domain.errors import Unauthenticated
from ..services import SignedIn
from .routing import Access, Call, Endpoint
from .views import Credentials, OwnView, Registered, TokenAnswer, UserAnswer, UserQuery, UserView


async def register(call: Call, body: Credentials) -> Registered:
    """Makes an account."""
    return Registered(UserView.of(await call.services.auth.register(body.name, body.password, call.peer)))


async def login(call: Call, body: Credentials) -> TokenAnswer:
    """Opens a session: answers an access token, and sets a cookie that only renewal and logout read."""
    return _signed_in(call, await call.services.auth.sign_in(body.name, body.password, call.peer))


async def token(call: Call) -> TokenAnswer:
    """Answers a fresh access token for the session in the cookie, and extends the session."""
    session = call.cookie
    if session is None:
        raise Unauthenticated("there is no session cookie")
    return _signed_in(call, await call.services.auth.token_for(session))


async def logout(call: Call) -> None:
    """Ends the session of the access token or else of the cookie, and closes its sockets."""
    if "authorization" in call.request.headers:
        await call.identify()
        session = call.identity.session
    elif (named := call.cookie) is not None:
        session = named
    else:
        raise Unauthenticated("there is neither an access token nor a session cookie")
    await call.services.auth.sign_out(session)
    call.set_cookie(session, 0)


async def find_user(call: Call, query: UserQuery) -> UserAnswer:
    """Finds a user by name."""
    return UserAnswer(UserView.of(await call.services.rooms.find_user(call.identity, query.name)))


def _signed_in(call: Call, signed_in: SignedIn) -> TokenAnswer:
    call.set_cookie(signed_in.session.id, signed_in.session.expires - time.time())
    return TokenAnswer(signed_in.access_token, int(signed_in.expires_in), OwnView.of(signed_in.user))


ENDPOINTS = [
    Endpoint("POST", "/api/register", register, Access.OPEN, status=201),
    Endpoint("POST", "/api/login", login, Access.OPEN),
    Endpoint("POST", "/api/token", token, Access.COOKIE),
    Endpoint("POST", "/api/logout", logout, Access.COOKIE),
    Endpoint("GET", "/api/users", find_user),
]

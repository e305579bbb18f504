"""Accounts and sessions: who somebody is, and until when."""

from __future__ import annotations

import dataclasses

from ..domain.users import Identity, Session, SessionId, User, UserId
from ..ports.session_store import SessionStore
from ..ports.user_store import UserStore
from .announcer import Announcer
from .limits import Limits, Throttle
from .passwords import Passwords
from .tokens import Tokens


@dataclasses.dataclass(frozen=True, slots=True)
class SignedIn:
    """A live session and an access token for it, good for `expires_in` seconds."""

    user: User
    session: Session
    access_token: str = dataclasses.field(repr=False)
    expires_in: float


class Auth:
    """Sign-in, verification and revocation. Every method may also raise `Unavailable`."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        *,
        tokens: Tokens,
        passwords: Passwords,
        throttle: Throttle,
        limits: Limits,
        announcer: Announcer,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._tokens = tokens
        self._passwords = passwords
        self._throttle = throttle
        self._limits = limits
        self._announcer = announcer

    async def register(self, name: str, password: str, peer: str) -> User:
        """Makes an account; it is not signed in by that. `peer` is the client's IP address.

        Raises: Invalid; Conflict if the name is taken; RateLimited.
        """
        raise NotImplementedError

    async def sign_in(self, name: str, password: str, peer: str) -> SignedIn:
        """Opens a new session.

        Raises: Unauthenticated, with the same text at the same cost for a wrong name and a wrong
        password; RateLimited, per address and per name.
        """
        raise NotImplementedError

    async def token_for(self, session: SessionId) -> SignedIn:
        """A fresh access token for a live session, which is extended by that. Raises: Unauthenticated."""
        raise NotImplementedError

    async def verify(self, access_token: str) -> Identity:
        """Who the token speaks for, if its session is alive; extends the session. Raises: Unauthenticated."""
        raise NotImplementedError

    async def sign_out(self, session: SessionId) -> None:
        """Ends the session and closes its connections on every node; one that is over is no error."""
        raise NotImplementedError

    async def ban(self, user: UserId) -> None:
        """Ends all sessions of `user`, closes their connections, and refuses new ones. Raises: NotFound."""
        raise NotImplementedError

    async def unban(self, user: UserId) -> None:
        """Lets the user sign in again. Raises: NotFound."""
        raise NotImplementedError

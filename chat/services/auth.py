"""Accounts and sessions: who somebody is, and until when."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import structlog
import trio

from ..domain.errors import ChatError, Invalid, NotFound, Unauthenticated, Unavailable
from ..domain.ids import is_id
from ..domain.users import (
    Identity,
    Session,
    SessionId,
    User,
    UserId,
    check_name,
    check_password,
    fold_name,
)
from ..ports.session_store import SessionStore
from ..ports.user_store import UserStore
from . import events
from .announcer import Announcer
from .limits import Limits, Throttle, address_key, digest
from .passwords import Passwords
from .tokens import Tokens

_log = structlog.get_logger()


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
        name, password = check_name(name), check_password(password)
        await self._throttle.take(f"register:address:{address_key(peer)}", self._limits.register_per_address)
        user = await self._users.create(name, await self._passwords.hash(password))
        _log.info("user_registered", user=user.id)
        return user

    async def sign_in(self, name: str, password: str, peer: str) -> SignedIn:
        """Opens a new session.

        Raises: Unauthenticated, with the same text at the same cost for a wrong name and a wrong
        password; RateLimited, per address and per name.
        """
        await self._throttle.take(f"login:address:{address_key(peer)}", self._limits.login_per_address)
        user = await self._proven(name, password)
        if user is None:
            # Not the name: people type their password into that field.
            _log.info("sign_in_refused", peer=peer)
            raise Unauthenticated("wrong name or password")
        signed_in = self._signed_in(user, await self._sessions.create(user.id))
        await self._refuse_banned(user, signed_in.session)
        _log.info("signed_in", user=user.id)
        return signed_in

    async def token_for(self, session: SessionId) -> SignedIn:
        """A fresh access token for a live session, which is extended by that. Raises: Unauthenticated."""
        alive = await self._alive(session)
        try:
            user = await self._users.user(alive.user)
        except NotFound:
            raise _signed_out() from None
        return self._signed_in(user, alive)

    async def verify(self, access_token: str) -> Identity:
        """Who the token speaks for, if its session is alive; extends the session. Raises: Unauthenticated."""
        [answer] = await self.verify_each([access_token])
        if isinstance(answer, ChatError):
            raise answer
        return answer

    async def verify_each(self, tokens: Sequence[str], *, resume: bool = False) -> list[Identity | ChatError]:
        """The same for many, with an answer for each; with `resume`, resume tokens count, too. Raises: no ChatError."""
        answers = [self._identity(token, resume) for token in tokens]
        valid = {number: answer for number, answer in enumerate(answers) if isinstance(answer, Identity)}
        for number, answer in zip(valid, await self.recheck_each(list(valid.values())), strict=True):
            answers[number] = answer
        return answers

    async def recheck_each(self, identities: Sequence[Identity]) -> list[Identity | ChatError]:
        """Whether users who were verified before are still signed in; extends the sessions. Raises: no ChatError.

        A session that the store has lost is made again, unless the account is banned meanwhile.
        """
        answers: list[Identity | ChatError] = []
        touched = await self._touch_each([identity.session for identity in identities])
        for identity, session in zip(identities, touched, strict=True):
            try:
                await self._check(identity, session)
            except ChatError as error:
                answers.append(error)
            else:
                answers.append(identity)
        return answers

    async def _check(self, identity: Identity, session: Session | Unavailable | None) -> None:
        """Raises: Unauthenticated, Unavailable. `session` is what the store has said of it."""
        if isinstance(session, Unavailable):
            raise session
        if session is None:
            session = await self._sessions.restore(identity.session, identity.user.id)
            if session is not None:
                await self._refuse_banned(identity.user, session)
        if session is None or session.user != identity.user.id:
            raise _signed_out()

    def resume_token(self, who: Identity, node: str) -> str:
        """A token that opens sockets and nothing else, on any node, for as long as the one `who` was proven by."""
        return self._tokens.issue_resume(who, node)

    def node_of(self, resume: str, user: UserId) -> str:
        """The node that a resume token of `user` names, however old it is; empty if it is none."""
        return self._tokens.node_of(resume, user)

    async def sign_out(self, session: SessionId) -> None:
        """Ends the session and closes its connections on every node; one that is over is no error."""
        with trio.CancelScope(shield=True):  # A revoked session's connections must not stay open.
            if is_id(session) and await self._sessions.revoke(session):
                await self._announcer.announce(events.SessionRevoked(session))

    async def sign_out_user(self, user: UserId) -> None:
        """Ends all sessions of `user` and closes their connections on every node. Raises: NotFound."""
        if not is_id(user):
            raise NotFound("no such user")
        await self._users.user(user)
        with trio.CancelScope(shield=True):
            await self._sessions.revoke_user(user)
            await self._announcer.announce(events.UserSignedOut(user))
        _log.info("user_signed_out", user=user)

    async def ban(self, user: UserId) -> None:
        """Ends all sessions of `user`, closes their connections, and refuses new ones. Raises: NotFound."""
        with trio.CancelScope(shield=True):
            await self._set_banned(user, True)
            await self._sessions.revoke_user(user)
            await self._announcer.announce(events.UserBanned(user))
        _log.info("user_banned", user=user)

    async def unban(self, user: UserId) -> None:
        """Lets the user sign in again. Raises: NotFound."""
        await self._set_banned(user, False)
        _log.info("user_unbanned", user=user)

    def _identity(self, token: str, resume: bool) -> Identity | ChatError:
        try:
            return self._tokens.verify(token, resume=resume)
        except Unauthenticated as error:
            return error

    async def _touch_each(self, sessions: Sequence[SessionId]) -> Sequence[Session | Unavailable | None]:
        try:
            return await self._sessions.touch_each(sessions) if sessions else ()
        except Unavailable as error:
            return [error] * len(sessions)

    async def _proven(self, name: str, password: str) -> User | None:
        """The user of that name, if the password is theirs; takes as long if there is no such user."""
        try:
            name, password = check_name(name), check_password(password)
        except Invalid:
            return None  # Depends on what was typed only, not on who exists: no need to take as long.
        await self._throttle.take(f"login:name:{digest(fold_name(name))}", self._limits.login_per_name)
        found = await self._users.by_name(name)
        password_hash = found[1] if found else None
        if not await self._passwords.verify(password_hash, password) or found is None:
            return None
        user, password_hash, _ = found
        if self._passwords.is_outdated(password_hash):
            await self._rehash(user, password)
        return user

    async def _rehash(self, user: User, password: str) -> None:
        try:
            await self._users.set_password_hash(user.id, await self._passwords.hash(password))
        except Unavailable:
            _log.info("password_not_rehashed", user=user.id)  # The next sign-in tries again.

    async def _refuse_banned(self, user: User, session: Session) -> None:
        """Looks after the session exists, so that a ban that races either is seen here or revokes it."""
        found = await self._users.by_name(user.name)
        if found is None or found[2]:
            await self._sessions.revoke(session.id)
            raise Unauthenticated("this account is banned")

    async def _set_banned(self, user: UserId, banned: bool) -> None:
        if not is_id(user):
            raise NotFound("no such user")
        await self._users.set_banned(user, banned)

    async def _alive(self, session: SessionId) -> Session:
        alive = await self._sessions.touch(session) if is_id(session) else None
        if alive is None:
            raise _signed_out()
        return alive

    def _signed_in(self, user: User, session: Session) -> SignedIn:
        token, expires_in = self._tokens.issue(user, session.id)
        return SignedIn(user, session, token, expires_in)


def _signed_out() -> Unauthenticated:
    return Unauthenticated("the session is over; sign in again")

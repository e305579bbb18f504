"""Who the client is: an access token, and how to get a fresh one."""

from __future__ import annotations

import trio

from ..domain.errors import ChatError, Unauthenticated
from .errors import ConnectionLost
from .http import HttpApi, SignedIn

FRESH_SECONDS = 30.0
"""A token that expires sooner is renewed before it is used."""


class Credentials:
    """A token given by the caller, or one that is obtained and renewed with name and password."""

    def __init__(
        self, api: HttpApi, name: str | None = None, password: str | None = None, token: str | None = None
    ) -> None:
        if (token is None) == (name is None or password is None):
            raise ValueError("give either name and password, or token")
        self._api = api
        self._login = (name, password) if name is not None and password is not None else None
        self._token = token
        self._expires = float("inf")
        self._has_session = False
        self._accepted = False

    @property
    def renewable(self) -> bool:
        """Whether `renew` can work: a bare token cannot be replaced."""
        return self._login is not None

    async def token(self) -> str:
        """A token that is still good for a while.

        Raises: Unauthenticated for a wrong name or password; ConnectionLost if it cannot be had now.
        """
        if self._token is None or (self.renewable and self._expires - trio.current_time() < FRESH_SECONDS):
            return await self.renew()
        return self._token

    async def renew(self) -> str:
        """A fresh token: for the session if there is one, else by signing in again. Raises as `token` does."""
        if self._login is None:
            raise Unauthenticated("the access token is not accepted any more")
        try:
            signed_in = await self._ask(*self._login)
        except (Unauthenticated, ConnectionLost):
            raise
        except ChatError as error:
            if not error.retryable:
                raise
            raise ConnectionLost(f"signing in: {error}", error.retry_after) from None
        self._has_session = True
        self._token = signed_in.access_token
        self._expires = trio.current_time() + signed_in.expires_in
        return signed_in.access_token

    def accepted(self) -> None:
        """The server took the token."""
        self._accepted = True

    def refused(self) -> None:
        """The server does not take the token (any more): the next one will be fresh.

        Raises: Unauthenticated if that cannot be, or if this one was fresh: another would fare no better.
        """
        if self._login is None or not self._accepted:
            raise Unauthenticated("the server does not accept the access token")
        self._token = None
        self._accepted = False

    async def _ask(self, name: str, password: str) -> SignedIn:
        if self._has_session:
            try:
                return await self._api.renew()
            except Unauthenticated:
                self._has_session = False
        return await self._api.login(name, password)

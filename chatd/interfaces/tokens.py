"""Whose tokens are."""

from collections.abc import Awaitable

from zope.interface import Interface

from chatd.records.tokens import Claims


class ITokenVerifier(Interface):
    """Tells who a token speaks for. Asked for each connection, renewal or HTTP request."""

    def verify(token: str, device: str) -> Awaitable[Claims]:
        """What the token says that ``device`` shows; raises :exc:`~chatd.errors.Unauthorized`.

        That tells no more than that the token does not hold, or that it would but has expired or was revoked.
        """


class ITokenReader(Interface):
    """Tells whose a token is that somebody else has shown."""

    def recognise(token: str) -> Awaitable[Claims]:
        """What a token says that was once taken, also if it has expired or was revoked here since.

        Raises :exc:`~chatd.errors.Unauthorized` for what its issuer did not sign, or no longer stands by.
        """

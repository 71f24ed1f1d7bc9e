"""Tokens that hold and have not been revoked since."""

from zope.interface import implementer

from chatd.errors import Unavailable
from chatd.interfaces import ITokenVerifier
from chatd.records import Claims
from chatd.security.tokens import TokenRefused
from chatd.state.revocations import Revocations


@implementer(ITokenVerifier)
class RevocableTokens:
    """See :class:`~chatd.interfaces.ITokenVerifier`. ``verifier`` decides first; ``revocations`` are this worker's."""

    def __init__(self, verifier: ITokenVerifier, revocations: Revocations) -> None:
        self._verifier = verifier
        self._revocations = revocations

    async def verify(self, token: str, device: str) -> Claims:
        """See :class:`~chatd.interfaces.ITokenVerifier`. Raises Unavailable until the revocations are known."""
        claims = await self._verifier.verify(token, device)
        if not self._revocations.known:
            raise Unavailable("Which tokens were revoked is not known yet. Try again.", retry_after_ms=1000)
        if self._revocations.revoked(claims, device):
            raise TokenRefused("revoked", "The token has been revoked.")
        return claims

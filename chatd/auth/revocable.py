"""Tokens that hold and have not been revoked since."""

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from chatd.errors import Unavailable
from chatd.interfaces.tokens import ITokenVerifier
from chatd.records.tokens import Claims
from chatd.security.tokens import TokenRefused
from chatd.state.revocations import Revocations

PATIENCE_SECONDS = 5.0
"""How long a token waits for what was revoked to be known: less than a handshake may take."""


@implementer(ITokenVerifier)
class RevocableTokens:
    """See :class:`~chatd.interfaces.tokens.ITokenVerifier`.

    ``verifier`` decides first; ``revocations`` are this worker's.
    """

    def __init__(self, verifier: ITokenVerifier, revocations: Revocations, reactor: IReactorTime) -> None:
        self._verifier = verifier
        self._revocations = revocations
        self._reactor = reactor

    async def verify(self, token: str, device: str) -> Claims:
        """See :class:`~chatd.interfaces.tokens.ITokenVerifier`.

        Until the revocations are known, as they are a moment after the start, it waits for them; it raises Unavailable
        where that takes long.
        """
        claims = await self._verifier.verify(token, device)
        if not self._revocations.known:
            await self._until_known()
        if self._revocations.revoked(claims, device):
            raise TokenRefused("revoked", "The token has been revoked.")
        return claims

    async def _until_known(self) -> None:
        known: Deferred[None] = Deferred()
        self._revocations.when_known(lambda: None if known.called else known.callback(None))
        try:
            await known.addTimeout(PATIENCE_SECONDS, self._reactor)
        except TimeoutError:
            raise Unavailable("Which tokens were revoked is not known yet. Try again.", retry_after_ms=1000) from None

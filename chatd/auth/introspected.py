"""Tokens that hold and that their issuer still stands by."""

import re
from collections.abc import Callable, Mapping

from msgspec.structs import replace
from zope.interface import implementer

from chatd.auth.configured import ConfiguredKeys
from chatd.auth.introspection import Introspection
from chatd.interfaces.tokens import ITokenReader, ITokenVerifier
from chatd.records.tokens import Claims, ShownToken
from chatd.security.jwks import base64url
from chatd.security.tokens import MAX_TOKEN, TokenRefused

_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1."""

JWT_DOTS = 2


@implementer(ITokenVerifier, ITokenReader)
class IntrospectedTokens:
    """Verifies and recognises tokens. ``verifier`` decides first on what is a JWT.

    ``introspections`` are by issuer; those of other issuers are not asked about. What is no JWT is shown to the one
    issuer that says that it gives out such tokens, if there is one. ``now`` gives seconds since the epoch.
    """

    def __init__(
        self, verifier: ConfiguredKeys, introspections: Mapping[str, Introspection], now: Callable[[], float]
    ) -> None:
        self._verifier = verifier
        self._introspections = introspections
        self._opaque = next((one for one in introspections.values() if one.opaque), None)
        self._now = now

    async def verify(self, token: str, device: str) -> Claims:
        """See :class:`~chatd.interfaces.tokens.ITokenVerifier`."""
        if self._opaque is not None and token.count(".") != JWT_DOTS:
            claims = await self._vouched(self._opaque, token)
            if claims.expires_at <= self._now():
                raise TokenRefused("exp: has passed", "The token has expired.")
            return claims
        claims = await self._verifier.verify(token, device)
        introspection = self._introspections.get(claims.issuer)
        if introspection is None:
            return claims
        shown = ShownToken(token)
        verdict = await introspection.verdict(shown)
        if not verdict.active:
            raise TokenRefused("introspection: not active", "The token has been revoked.")
        if verdict.user is not None and verdict.user != claims.user:
            raise TokenRefused("introspection: another sub than the token's")
        return replace(claims, shown=shown)

    async def recognise(self, token: str) -> Claims:
        """See :class:`~chatd.interfaces.tokens.ITokenReader`."""
        if self._opaque is not None and token.count(".") != JWT_DOTS:
            return await self._vouched(self._opaque, token)
        return await self._verifier.recognise(token)

    async def _vouched(self, introspection: Introspection, token: str) -> Claims:
        """What the issuer says of a token that says nothing itself. Without a ``jti`` its digest is its name."""
        if len(token) > MAX_TOKEN or not _OPAQUE.fullmatch(token):
            raise TokenRefused("neither a JWT nor an opaque token")
        shown = ShownToken(token)
        verdict = await introspection.verdict(shown)
        if not verdict.active:
            raise TokenRefused("introspection: not active")
        if verdict.claims is None:
            raise TokenRefused("introspection: the answer makes no token for us")
        token_id = verdict.claims.token_id or f"sha256:{base64url(shown.digest)}"
        return replace(verdict.claims, token_id=token_id, shown=shown)

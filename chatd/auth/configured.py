"""Tokens verified with the keys of the configured issuers, in this process."""

from collections.abc import Callable, Mapping
from typing import Protocol

from zope.interface import implementer

from chatd.interfaces.tokens import ITokenReader, ITokenVerifier
from chatd.records.tokens import Claims
from chatd.security.tokens import KeysMissing, TokenVerifier, UnknownKey


class KeySource(Protocol):
    """Where the keys of an issuer come from while chatd runs."""

    async def missing(self) -> None:
        """Return once the keys have been looked for anew; raises Unavailable where they cannot be had now."""


NOWHERE: Mapping[str, KeySource] = {}


@implementer(ITokenVerifier, ITokenReader)
class ConfiguredKeys:
    """Verifies and recognises tokens. ``sources`` are by issuer, for those whose keys are fetched."""

    def __init__(self, verifier: TokenVerifier, sources: Mapping[str, KeySource] = NOWHERE) -> None:
        self._verifier = verifier
        self._sources = sources

    async def verify(self, token: str, device: str) -> Claims:
        """See :class:`~chatd.interfaces.tokens.ITokenVerifier`."""
        return await self._looking_once_more(self._verifier.verify, token)

    async def recognise(self, token: str) -> Claims:
        """See :class:`~chatd.interfaces.tokens.ITokenReader`."""
        return await self._looking_once_more(self._verifier.recognise, token)

    async def _looking_once_more(self, verify: Callable[[str], Claims], token: str) -> Claims:
        """A key that is not known may be a new one: then fetch, once, and decide with what there is then."""
        try:
            return verify(token)
        except (UnknownKey, KeysMissing) as missed:
            source = self._sources.get(missed.issuer)
            if source is None:
                raise
            await source.missing()
        return verify(token)

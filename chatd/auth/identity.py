"""Everything that decides whose a token is, put together from the settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from chatd.auth.configured import ConfiguredKeys
from chatd.auth.fetched_keys import TIMEOUT_SECONDS, FetchedKeys, by_discovery, from_url
from chatd.auth.introspected import IntrospectedTokens
from chatd.auth.introspection import Introspection
from chatd.auth.outbound import Outbound, root_of_trust, verifying_agent
from chatd.security.jwks import KeySet, KeySetError
from chatd.security.tokens import Issuer, TokenVerifier
from chatd.settings.base import SettingsError
from chatd.settings.issuers import IntrospectionSettings, IssuerSettings
from chatd.settings.model import Settings
from chatd.state.shared_verdicts import SharedVerdicts
from chatd.state.verdicts import Verdicts

log = Logger()

VERDICTS_PER_CONNECTION = 2
"""Each living connection's token has one, and there are those shown over HTTP."""


def keys_text(configured: IssuerSettings) -> bytes:
    """What stands in the issuer's file of keys; nothing where they are to be fetched. Raises SettingsError."""
    path = configured.jwks_file or configured.pem_file
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise SettingsError("tokens", path, f"cannot be read: {error.strerror}") from error


def issuer_of(configured: IssuerSettings, keys: bytes) -> Issuer:
    """The issuer with the keys that its file held. Raises SettingsError."""
    path = configured.jwks_file or configured.pem_file
    if not path:
        return Issuer(configured.name, configured.audience, None)
    try:
        found = KeySet.from_jwks(keys, allow_hs256=configured.hs256) if configured.jwks_file else KeySet.from_pem(keys)
    except KeySetError as error:
        raise SettingsError("tokens", path, str(error)) from error
    return Issuer(configured.name, configured.audience, found)


def trusted(pem: bytes, path: str) -> Any | None:
    """Whose certificates auth services may have; None: of whomever the system trusts. Raises SettingsError."""
    if not path:
        return None
    try:
        return root_of_trust(pem)
    except ValueError as error:
        raise SettingsError("tokens.ca_file", path, str(error)) from error


@dataclass(frozen=True)
class Identity:
    """One worker's. ``verifier`` knows nothing of what was revoked here; ``sources`` and ``introspections`` by issuer.

    ``hang_up`` closes what is kept open to auth services.
    """

    verifier: IntrospectedTokens
    sources: Mapping[str, FetchedKeys]
    introspections: Mapping[str, Introspection]
    hang_up: Callable[[], Deferred[None]]

    def start(self) -> None:
        """Fetch keys from now on."""
        for source in self.sources.values():
            source.start()

    def stop(self) -> None:
        """Fetch nothing more."""
        for source in self.sources.values():
            source.stop()
        self.hang_up().addErrback(
            lambda failure: log.failure("connections to auth services could not be closed", failure)
        )


def build_identity(
    settings: Settings,
    issuers: Sequence[Issuer],
    configured: Sequence[IssuerSettings],
    authorities: Any | None,
    reactor: Any,
    now: Callable[[], float],
    shared: Callable[[IntrospectionSettings, str], SharedVerdicts | None] = lambda introspection, context: None,
) -> Identity:
    """Put it together; ``now`` gives seconds since the epoch.

    ``configured`` says what is to be asked for elsewhere, ``authorities`` who may have signed the certificates there.
    ``shared`` gives what workers share of the verdicts of one issuer in one context, if they do.
    """
    tokens = settings.tokens
    agent, hang_up = verifying_agent(reactor, authorities, timeout=TIMEOUT_SECONDS)
    outbound = Outbound(reactor, agent)
    audiences = {issuer.name: issuer.audience for issuer in issuers}
    keyless = {one.name for one in configured if not one.has_keys}
    verifier = TokenVerifier(
        [issuer for issuer in issuers if issuer.name not in keyless],
        leeway=tokens.leeway,
        max_lifetime=tokens.max_lifetime,
        clock=now,
    )
    sources = {
        one.name: FetchedKeys(
            one.name,
            by_discovery(outbound, one.name) if one.discovery else from_url(outbound, one.jwks_url),
            partial(verifier.replace_keys, one.name),
            reactor,
        )
        for one in configured
        if one.fetched
    }
    verdicts = Verdicts(VERDICTS_PER_CONNECTION * settings.limits.max_connections)
    introspections = {
        one.name: Introspection(
            one.name,
            one.introspection,
            outbound,
            partial(verifier.vouched, issuer=one.name, audience=audiences[one.name]),
            verdicts,
            reactor,
            max_staleness=tokens.max_staleness,
            shared=shared(one.introspection, f"{one.name} {one.introspection.url} {audiences[one.name]}"),
        )
        for one in configured
        if one.introspection is not None
    }
    return Identity(
        IntrospectedTokens(ConfiguredKeys(verifier, sources), introspections, now), sources, introspections, hang_up
    )

"""From settings to what they point to: keys are read here, checked, and made into what the worker uses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatd.auth.identity import issuer_of, keys_text, trusted
from chatd.edge.tls import TlsServer, context_from_pem, read_pem
from chatd.security.keyring import MasterKeyError, MasterKeys
from chatd.security.tokens import Issuer
from chatd.settings.base import Secret, SettingsError
from chatd.settings.issuers import IssuerSettings, issuers
from chatd.settings.model import Settings
from chatd.workers.development import DevelopmentIdentity
from chatd.workers.orders import Credentials, Order, TrustedIssuer


@dataclass(frozen=True)
class Secrets:
    """What tokens are checked against, what bodies are sealed with, and what TLS is served with, if it is.

    ``configured`` says where else to look, for those of the ``issuers`` whose keys or word on a token are asked for,
    and ``authorities`` whose certificates count there; None stands for the system's.
    """

    issuers: tuple[Issuer, ...]
    configured: tuple[IssuerSettings, ...]
    authorities: Any | None
    masters: MasterKeys
    tls: TlsServer | None


def order(settings: Settings, identity: DevelopmentIdentity | None, environ: Mapping[str, str] = os.environ) -> Order:
    """What workers with these settings are told; ``identity`` is that of a try-out.

    Reads the files that the settings name, and checks what is in them. Raises SettingsError.
    """
    tls = settings.tls
    certificate, tls_key = read_pem(tls.certificate, tls.key) if tls.certificate else (b"", b"")
    made = Order(
        settings=settings,
        credentials=Credentials(
            issuers=_issuers(settings, environ) if identity is None else (_of_a_try_out(identity),),
            authorities=_authorities(settings),
            master_keys=settings.encryption.master_keys if identity is None else identity.master_keys,
            dsn=settings.database.dsn,
            # PEM is text; what is not fails where it is looked into, as it would have as bytes.
            certificate=_text(certificate),
            tls_key=_text(tls_key),
        ),
    )
    opened(made)
    return made


def _issuers(settings: Settings, environ: Mapping[str, str]) -> tuple[TrustedIssuer, ...]:
    found = issuers(settings.tokens, environ)
    return tuple(TrustedIssuer(configured=one, keys=_text(keys_text(one))) for one in found)


def _of_a_try_out(identity: DevelopmentIdentity) -> TrustedIssuer:
    configured = IssuerSettings(name=identity.issuer, audience=identity.audience, jwks_file=str(identity.state))
    return TrustedIssuer(configured=configured, keys=Secret(identity.signing_key.public_jwks().decode()))


def _authorities(settings: Settings) -> Secret:
    path = settings.tokens.ca_file
    try:
        return _text(Path(path).read_bytes()) if path else Secret()
    except OSError as error:
        raise SettingsError("tokens.ca_file", path, f"cannot be read: {error.strerror}") from error


def opened(order: Order) -> Secrets:
    """The credentials, ready for use. Raises SettingsError."""
    given = order.credentials
    found = tuple(issuer_of(one.configured, one.keys.reveal().encode()) for one in given.issuers)
    try:
        masters = MasterKeys.parse(given.master_keys.reveal())
    except MasterKeyError as error:
        raise SettingsError("encryption.master_keys", "the master keys", str(error)) from error
    return Secrets(
        issuers=found,
        configured=tuple(one.configured for one in given.issuers),
        authorities=trusted(given.authorities.reveal().encode(), order.settings.tokens.ca_file),
        masters=masters,
        tls=_tls(order),
    )


def _tls(order: Order) -> TlsServer | None:
    given, tls = order.credentials, order.settings.tls
    if not tls.certificate:
        return None
    pem = given.certificate.reveal().encode(), given.tls_key.reveal().encode()
    return context_from_pem(*pem, tls.certificate, tls.key)


def _text(data: bytes) -> Secret:
    return Secret(data.decode("utf-8", "backslashreplace"))

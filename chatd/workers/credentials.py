"""From settings to what they point to: keys are read here, checked, and made into what the worker uses."""

from dataclasses import dataclass
from pathlib import Path

from chatd.edge.tls import TlsServer, context_from_pem, read_pem
from chatd.security.jwks import KeySet, KeySetError
from chatd.security.keyring import MasterKeyError, MasterKeys
from chatd.security.tokens import Issuer
from chatd.settings import Secret, Settings, SettingsError
from chatd.workers.development import DevelopmentIdentity
from chatd.workers.orders import Credentials, Order


@dataclass(frozen=True)
class Secrets:
    """What tokens are checked against, what bodies are sealed with, and what TLS is served with, if it is."""

    issuer: Issuer
    masters: MasterKeys
    tls: TlsServer | None


def order(settings: Settings, identity: DevelopmentIdentity | None) -> Order:
    """What workers with these settings are told; ``identity`` is that of a try-out.

    Reads the files that the settings name, and checks what is in them. Raises SettingsError.
    """
    tls = settings.tls
    certificate, tls_key = read_pem(tls.certificate, tls.key) if tls.certificate else (b"", b"")
    # PEM and JSON are text; what is not fails where it is looked into, as it would have as bytes.
    pem = {"certificate": _text(certificate), "tls_key": _text(tls_key)}
    if identity is None:
        credentials = Credentials(
            issuer=settings.tokens.issuer,
            audience=settings.tokens.audience,
            keys=_read_keys(settings),
            keys_path=settings.tokens.jwks_file or settings.tokens.pem_file,
            keys_form="jwks" if settings.tokens.jwks_file else "pem",
            master_keys=settings.encryption.master_keys,
            dsn=settings.database.dsn,
            **pem,
        )
    else:
        credentials = Credentials(
            issuer=identity.issuer,
            audience=identity.audience,
            keys=Secret(identity.signing_key.public_jwks().decode()),
            keys_path=str(identity.state),
            keys_form="jwks",
            master_keys=identity.master_keys,
            dsn=settings.database.dsn,
            **pem,
        )
    made = Order(settings=settings, credentials=credentials)
    opened(made)
    return made


def opened(order: Order) -> Secrets:
    """The credentials, ready for use. Raises SettingsError."""
    settings, given = order.settings, order.credentials
    keys = given.keys.reveal().encode()
    try:
        if given.keys_form == "jwks":
            found = KeySet.from_jwks(keys, allow_hs256=settings.tokens.hs256)
        else:
            found = KeySet.from_pem(keys)
    except KeySetError as error:
        raise SettingsError("tokens", given.keys_path, str(error)) from error
    try:
        masters = MasterKeys.parse(given.master_keys.reveal())
    except MasterKeyError as error:
        raise SettingsError("encryption.master_keys", "the master keys", str(error)) from error
    return Secrets(issuer=Issuer(given.issuer, given.audience, found), masters=masters, tls=_tls(order))


def _tls(order: Order) -> TlsServer | None:
    given, tls = order.credentials, order.settings.tls
    if not tls.certificate:
        return None
    pem = given.certificate.reveal().encode(), given.tls_key.reveal().encode()
    return context_from_pem(*pem, tls.certificate, tls.key)


def _read_keys(settings: Settings) -> Secret:
    path = settings.tokens.jwks_file or settings.tokens.pem_file
    try:
        return _text(Path(path).read_bytes())
    except OSError as error:
        raise SettingsError("tokens", path, f"cannot be read: {error.strerror}") from error


def _text(data: bytes) -> Secret:
    return Secret(data.decode("utf-8", "backslashreplace"))

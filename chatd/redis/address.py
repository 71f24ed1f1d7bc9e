"""Where Redis is, and the way there."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from OpenSSL import crypto
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

from chatd.records.base import Record
from chatd.settings.base import SettingsError
from chatd.settings.model import Redis

ANSWER_SECONDS: Final = 5.0
"""By when Redis has connected or answered, or is taken for dead."""


class RedisAddress(Record, frozen=True, kw_only=True, gc=False):
    """Where Redis is: a ``path`` or a ``host``, and as whom one comes."""

    path: str = ""
    host: str = ""
    port: int = 6379
    tls: bool = False
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """What a URL says; raises ValueError, which does not quote it: it may hold a password."""
        parts = urlsplit(url)
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if parts.scheme == "unix" and parts.path:
            return cls(path=unquote(parts.path), username=username, password=password)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ValueError("it is no URL such as redis://host:6379, rediss://host:6379 or unix:///path")
        try:
            port = parts.port or 6379
        except ValueError:
            raise ValueError("its port is no number up to 65535") from None
        return cls(host=parts.hostname, port=port, tls=parts.scheme == "rediss", username=username, password=password)


def endpoint(reactor: Any, address: RedisAddress, ca_file: str) -> IStreamClientEndpoint:
    """The way there. With TLS the certificate is verified, and for the host's name, against ``ca_file`` if given."""
    if address.path:
        return UNIXClientEndpoint(reactor, address.path, timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
    plain = HostnameEndpoint(reactor, address.host, address.port, timeout=ANSWER_SECONDS)
    if not address.tls:
        return plain
    return wrapClientTLS(optionsForClientTLS(address.host, trustRoot=_trusted(ca_file)), plain)


def _trusted(ca_file: str) -> Any:
    """None for whom the system trusts. Raises ValueError or OSError where the file holds no certificates."""
    if not ca_file:
        return None
    pem = Path(ca_file).read_text("ascii", "replace")
    end = "-----END CERTIFICATE-----"
    found = [part + end for part in pem.split(end) if "-----BEGIN CERTIFICATE-----" in part]
    if not found:
        raise ValueError(f"{ca_file} holds no certificates in PEM")
    try:
        certificates = [Certificate.loadPEM(part.encode()) for part in found]
        return trustRootFromCertificates(certificates)  # type: ignore[no-untyped-call]
    except crypto.Error as error:
        raise ValueError(f"{ca_file} holds what is no certificate") from error


def configured(redis: Redis, reactor: Any) -> tuple[RedisAddress, IStreamClientEndpoint]:
    """Where Redis is by the settings, and the way there. Raises SettingsError."""
    try:
        address = RedisAddress.parse(redis.url.reveal())
        return address, endpoint(reactor, address, redis.ca_file)
    except ValueError as error:
        raise SettingsError("redis.url", "Redis", str(error)) from error

"""What a worker process is given to work with, and how that travels to it.

Nothing of it stands on a command line or in an environment, which other processes may see: the parent writes it to
the worker's control channel. What files held is passed on as it was when it was checked, so that a worker that is
started again after a crash does not depend on files that somebody is changing at that moment.
"""

from typing import Any

from chatd.records.base import Record
from chatd.settings.base import Secret
from chatd.settings.issuers import IssuerSettings
from chatd.settings.model import Settings


class TrustedIssuer(Record, frozen=True, kw_only=True, gc=False):
    """An auth service. ``keys`` is what its file of keys held, empty where they are fetched."""

    configured: IssuerSettings
    keys: Secret


class Credentials(Record, frozen=True, kw_only=True, gc=False):
    """Whom to believe, what to seal with, where the database is, and what to serve TLS with.

    ``authorities`` are those who certify auth services, in PEM; empty for whom the system trusts. ``certificate`` and
    ``tls_key`` are PEM, empty without TLS.
    """

    issuers: tuple[TrustedIssuer, ...]
    authorities: Secret
    master_keys: Secret
    dsn: Secret
    certificate: Secret
    tls_key: Secret


class Order(Record, frozen=True, kw_only=True, gc=False):
    """All that one generation of workers is told. A reload makes a new one."""

    settings: Settings
    credentials: Credentials


def to_wire(value: Any) -> Any:
    """msgspec's ``enc_hook``: only the control channel, which is private, carries a secret's text."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def from_wire(kind: type, value: Any) -> Any:
    """msgspec's ``dec_hook``."""
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError(kind.__name__)

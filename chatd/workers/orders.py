"""What a worker process is given to work with, and how that travels to it.

Nothing of it stands on a command line or in an environment, which other processes may see: the parent writes it to
the worker's control channel. What files held is passed on as it was when it was checked, so that a worker that is
started again after a crash does not depend on files that somebody is changing at that moment.
"""

from typing import Any, Literal

from chatd.records import Record
from chatd.settings import Secret, Settings


class Credentials(Record, frozen=True, kw_only=True, gc=False):
    """Whom to believe, what to seal with, where the database is, and what to serve TLS with.

    ``keys`` is what ``keys_path`` held, a JWK Set or one PEM. ``certificate`` and ``tls_key`` are PEM, empty without
    TLS.
    """

    issuer: str
    audience: str
    keys: Secret
    keys_path: str
    keys_form: Literal["jwks", "pem"]
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

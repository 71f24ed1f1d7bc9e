"""Tokens as they are shown, and what a verified one says."""

from hashlib import sha256

from chatd.records.base import Record


class ShownToken:
    """The text of a token that its auth service will be asked about again. It shows itself only when asked to."""

    __slots__ = ("__text", "digest")

    def __init__(self, text: str) -> None:
        self.__text = text
        self.digest = sha256(text.encode("utf-8", "surrogatepass")).digest()

    def reveal(self) -> str:
        """The text itself; hand it to its auth service and to nobody else."""
        return self.__text

    def __repr__(self) -> str:
        return "ShownToken(...)"


class Claims(Record, frozen=True, kw_only=True, gc=False):
    """What a verified token says. ``user`` is its ``sub``; times are seconds since the epoch (RFC 7519).

    ``name`` and ``picture`` are of OpenID Connect Core 1.0, section 5.1, where they are fit for a profile.
    ``scopes`` are those that chatd knows. ``shown`` is there where the auth service has to be asked again.
    """

    user: str
    issuer: str
    expires_at: float
    token_id: str | None = None
    issued_at: float | None = None
    name: str | None = None
    picture: str | None = None
    scopes: frozenset[str] = frozenset()
    shown: ShownToken | None = None

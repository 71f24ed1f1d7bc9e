"""Frozen rows about devices and the tokens that they show. Times in seconds are since the epoch."""

from datetime import datetime

from chatd.records.base import Effect, Record, Signal


class Sighting(Record, frozen=True, kw_only=True, gc=False):
    """A device has shown a token. ``token_id`` is its ``jti``, None where it has none."""

    user: str
    device: str
    token_id: str | None
    expires_at: float


class Device(Record, frozen=True, kw_only=True, gc=False):
    """A device of a person's, since it was last ended."""

    device: str
    first_at: datetime
    last_at: datetime


class Revocation(Record, frozen=True, kw_only=True, gc=False):
    """What is no longer taken of a person's tokens, at least until ``kept_until``.

    With ``token_id``, that token; with ``device``, what that device shows if it was issued until ``issued_until``;
    with neither, whatever was issued until then but for the token ``spared``.
    """

    user: str
    issued_until: float
    kept_until: float
    device: str | None = None
    token_id: str | None = None
    spared: str | None = None


class EndDevices(Effect, frozen=True, kw_only=True, gc=False):
    """Revoke what ``device`` has shown, or with None what all devices but ``kept`` have, and forget those devices.

    ``spared`` is the token of the one who asks. The rows are the person's own, guarded by the lock of their event
    queue; only sightings come in between, and they are of tokens that are refused from then on.
    """

    user: str
    device: str | None
    kept: str
    spared: str | None
    issued_until: float
    kept_until: float


class RevokeTokens(Effect, frozen=True, kw_only=True, gc=False):
    """Revoke the token ``token_id``, or with None whatever was issued until then.

    The rows are those of :class:`EndDevices`, guarded by the lock of the event queue of ``user``, which the change that
    has this effect therefore stands in.
    """

    user: str
    token_id: str | None
    issued_until: float
    kept_until: float


class TokensRevoked(Signal, frozen=True, kw_only=True, tag="tokens.revoked"):
    """There are revocations to be read. Workers look twice a second anyway."""

"""Tokens of the product's auth service: held to their issuer's keys, and minted for trying out.

PyJWT gives the cryptography; what stands around a signature is read here, strictly and once, so that no second
reader can understand a token otherwise (RFC 7519, RFC 8725):

- at most 8 KiB; three parts of base64url, without padding;
- header: ``alg`` is the one of the key; ``kid`` is looked up in the issuer's own set, as text and nothing else; it may
  be left out where the issuer has a single key. ``typ``, if given, is ``JWT`` or ``at+jwt``. ``crit``, ``jwk`` and
  ``b64`` refuse the token. Where ``jku`` or ``x5u`` point does not matter: nothing is ever fetched;
- claims: ``iss`` names an issuer of the configuration, ``aud`` its audience, ``sub`` a user, ``exp`` an end that is no
  further away than tokens may live; ``nbf`` and ``iat`` have come, if given. ``scope`` and ``scp`` may name scopes,
  ``name`` and ``picture`` are passed on where they are fit for a profile.

Clocks: ``leeway`` excuses an auth service whose clock is ahead, so it goes to ``nbf`` and ``iat``. ``exp`` has none:
`Claims.expires_at` is also when the connection is closed, and a token let in after it would be closed at once.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated, Final, Self

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET, Meta, UnsetType

from chatd.errors import Unauthorized, Unavailable
from chatd.records.tokens import Claims
from chatd.security.jwks import MAX_KID, KeySet, KeySetError, base64url, strict_object, unpadded_base64url
from chatd.security.scopes import read_scopes
from chatd.wire.types import AvatarUrl, DisplayName

MAX_TOKEN: Final = 8192
"""Characters."""

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_REFUSED_HEADERS: Final = ("crit", "jwk", "b64")

# 9999-12-31: what datetime and timestamptz hold. Times in milliseconds fall outside.
_LAST_SECOND: Final = 253402300799
_Seconds = Annotated[float, Meta(ge=0, le=_LAST_SECOND)]
# No control character, no lone surrogate (PostgreSQL holds neither NUL nor those), and not only whitespace.
_Name = Annotated[str, Meta(max_length=255, pattern=r"^(?=.*\S)[^\x00-\x1f\x7f\ud800-\udfff]+\Z")]


class TokenRefused(Unauthorized):
    """A token that does not hold, or no longer.

    The peer is told one of two sentences. ``reason`` is for the log alone: it names the rule, and quotes nothing of
    the token.
    """

    def __init__(self, reason: str, detail: str = "The token does not hold.") -> None:
        super().__init__(detail)
        self.reason = reason


class UnknownKey(TokenRefused):
    """The token names a key that is not in its issuer's set: it may be a new one, if the set is fetched."""

    def __init__(self, issuer: str) -> None:
        super().__init__("kid: names no key of the issuer, or is missing among several")
        self.issuer = issuer


class KeysMissing(Unavailable):
    """The keys of the token's issuer have not been had yet."""

    def __init__(self, issuer: str) -> None:
        super().__init__("The keys that tokens are verified with are not known yet. Try again.", retry_after_ms=1000)
        self.issuer = issuer


@dataclass(frozen=True, slots=True)
class Issuer:
    """An auth service: its exact ``iss``, the audience that its tokens for us carry, and its keys.

    They are None while they are still to be fetched.
    """

    name: str
    audience: str
    keys: KeySet | None

    def __post_init__(self) -> None:
        if not self.name or not self.audience:
            raise ValueError("an issuer needs a name and an audience")


class _Header(msgspec.Struct, frozen=True, gc=False):
    alg: str
    kid: Annotated[str, Meta(max_length=MAX_KID)] | UnsetType = UNSET
    typ: str = "JWT"


class _Payload(msgspec.Struct, frozen=True):
    iss: str
    aud: str | list[str]
    exp: _Seconds
    sub: _Name
    nbf: _Seconds | UnsetType = UNSET
    iat: _Seconds | UnsetType = UNSET
    jti: _Name | UnsetType = UNSET
    name: object = UNSET
    picture: object = UNSET
    # Whatever stands in these, it is no reason to refuse a token.
    scope: object = UNSET
    scp: object = UNSET


class _Unverified(msgspec.Struct, frozen=True):
    """A token taken apart; none of it is to be believed yet."""

    header: _Header
    payload: _Payload
    message: bytes
    signature: bytes


class TokenVerifier:
    """Verifies tokens against configured issuers.

    ``leeway`` and ``max_lifetime``, the longest that a token may have left, are in seconds; ``clock`` gives seconds
    since the epoch. Raises `ValueError` for an issuer given twice.
    """

    def __init__(
        self,
        issuers: Sequence[Issuer],
        *,
        leeway: float = 30.0,
        max_lifetime: float = float("inf"),
        clock: Callable[[], float],
    ) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        if len(self._issuers) != len(issuers):
            raise ValueError("an issuer is given twice")
        self._leeway = leeway
        self._max_lifetime = max_lifetime
        self._clock = clock

    def verify(self, token: str) -> Claims:
        """Tell whose token this is; raises `TokenRefused`, or `KeysMissing` where that cannot be told yet.

        "The token has expired." is only told of a token that would hold otherwise.
        """
        payload = self._signed(token)
        self._check_times(payload)
        return _claims(payload)

    def recognise(self, token: str) -> Claims:
        """Tell whose token this is, was or will be: its times are not looked at. Raises like :meth:`verify`."""
        return _claims(self._signed(token))

    def vouched(self, members: Mapping[str, object], issuer: str, audience: str) -> Claims:
        """Hold what ``issuer`` itself says about a token to the rules for claims; raises `TokenRefused`."""
        payload = _convert_payload(members)
        if payload.iss != issuer:
            raise TokenRefused("iss: not the issuer that was asked")
        _check_audience(payload, audience)
        self._check_times(payload)
        return _claims(payload)

    def replace_keys(self, issuer: str, keys: KeySet) -> None:
        """From now on this issuer's tokens are verified with ``keys``."""
        self._issuers[issuer] = replace(self._issuers[issuer], keys=keys)

    def _signed(self, token: str) -> _Payload:
        """What a token says that its issuer signed, and for us."""
        unverified = _take_apart(token)
        payload = unverified.payload
        issuer = self._issuers.get(payload.iss)
        if issuer is None:
            raise TokenRefused("iss: not a configured issuer")
        if issuer.keys is None:
            raise KeysMissing(issuer.name)
        _check_signature(unverified, issuer.keys)
        _check_audience(payload, issuer.audience)
        return payload

    def _check_times(self, payload: _Payload) -> None:
        now = self._clock()
        if payload.nbf is not UNSET and payload.nbf > now + self._leeway:
            raise TokenRefused("nbf: is still to come")
        if payload.iat is not UNSET and payload.iat > now + self._leeway:
            raise TokenRefused("iat: is still to come")
        if payload.exp > now + self._max_lifetime + self._leeway:
            raise TokenRefused("exp: is further away than tokens may live here")
        if payload.exp <= now:
            raise TokenRefused("exp: has passed", "The token has expired.")


def _fit(claim: object, kind: object) -> str | None:
    """What a claim says that nobody's access depends on, or None where it is nothing of that kind."""
    try:
        text: str = msgspec.convert(claim, kind)
        text.encode()
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None
    return text


def _take_apart(token: str) -> _Unverified:
    if len(token) > MAX_TOKEN:
        raise TokenRefused("more than 8 KiB")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenRefused("not three parts")
    header, payload, signature = (unpadded_base64url(part) for part in parts)
    if not header or not payload or not signature:
        raise TokenRefused("a part is empty, or not base64url without padding")
    return _Unverified(
        header=_read_header(header),
        payload=_read_payload(payload),
        message=token.rpartition(".")[0].encode("ascii"),
        signature=signature,
    )


def _read_header(text: bytes) -> _Header:
    members = strict_object(text)
    if members is None:
        raise TokenRefused("header: not one strict JSON object")
    for name in _REFUSED_HEADERS:
        if name in members:
            raise TokenRefused(f"header: {name} is given")
    try:
        header = msgspec.convert(members, _Header)
    except msgspec.ValidationError as error:
        raise TokenRefused(f"header: {error}") from None
    if header.typ.lower() not in _TYPES:
        raise TokenRefused("header: typ is neither JWT nor at+jwt")
    return header


def _read_payload(text: bytes) -> _Payload:
    members = strict_object(text)
    if members is None:
        raise TokenRefused("claims: not one strict JSON object")
    return _convert_payload(members)


def _convert_payload(members: Mapping[str, object]) -> _Payload:
    try:
        return msgspec.convert(members, _Payload)
    except msgspec.ValidationError as error:
        raise TokenRefused(f"claims: {error}") from None


def _check_signature(unverified: _Unverified, keys: KeySet) -> None:
    header = unverified.header
    key = keys.find(None if header.kid is UNSET else header.kid)
    if key is None:
        raise UnknownKey(unverified.payload.iss)
    if header.alg not in key.names:
        raise TokenRefused("alg: not the one of the key")
    if not key.signed(unverified.message, unverified.signature):
        raise TokenRefused("signature: does not hold")


def _check_audience(payload: _Payload, audience: str) -> None:
    if audience not in ([payload.aud] if isinstance(payload.aud, str) else payload.aud):
        raise TokenRefused("aud: does not name the configured audience")


def _claims(payload: _Payload) -> Claims:
    return Claims(
        user=payload.sub,
        issuer=payload.iss,
        expires_at=payload.exp,
        token_id=None if payload.jti is UNSET else payload.jti,
        issued_at=None if payload.iat is UNSET else payload.iat,
        name=_fit(payload.name, DisplayName),
        picture=_fit(payload.picture, AvatarUrl),
        scopes=read_scopes(payload.scope, payload.scp),
    )


class SigningKey:
    """An Ed25519 key that mints tokens, for ``--dev`` and for tests; ``kid`` is its thumbprint (RFC 7638)."""

    __slots__ = ("_private", "kid")

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        # Required members alone, in lexical order, without whitespace: RFC 7638, section 3; RFC 8037, section 2.
        thumbprint = sha256(json.dumps(self._public_members(), separators=(",", ":"), sort_keys=True).encode())
        self.kid = base64url(thumbprint.digest())

    @classmethod
    def generate(cls, random: Callable[[int], bytes] = os.urandom) -> Self:
        """A new key; ``random`` gives so many bytes, fit for secrets."""
        return cls(random(32))

    @classmethod
    def from_jwk(cls, text: str) -> Self:
        """Read what `to_jwk` wrote; raises `KeySetError`, which does not quote it."""
        jwk = strict_object(text.encode("utf-8", "surrogatepass")) or {}
        secret = jwk.get("d")
        seed = unpadded_base64url(secret) if isinstance(secret, str) else None
        if seed is None or len(seed) != 32:
            raise KeySetError('a signing key must be one private JWK of Ed25519, "d" being its 32 bytes in base64url')
        key = cls(seed)
        if jwk != key._private_members():
            raise KeySetError('a signing key must be as it was written: all of its other members follow from "d"')
        return key

    def to_jwk(self) -> str:
        """The private key as JSON text: whoever has it can be anyone, so it belongs in a file of mode 0600."""
        return json.dumps(self._private_members())

    def public_jwks(self) -> bytes:
        """The JWK set that verifies what this key mints."""
        return json.dumps({"keys": [self._public_members() | self._labels()]}).encode("ascii")

    def mint(
        self,
        user: str,
        *,
        issuer: str,
        audience: str,
        now: float,
        lifetime: float,
        token_id: str,
        scope: object = UNSET,
        name: object = UNSET,
        picture: object = UNSET,
    ) -> str:
        """A token for ``user`` from ``now`` (seconds since the epoch) for ``lifetime`` seconds.

        Raises `ValueError` for a token that no verifier would take, such as one of a user with a line break in it.
        """
        claims = _Payload(
            iss=issuer,
            aud=audience,
            sub=user,
            iat=now,
            exp=now + lifetime,
            jti=token_id,
            scope=scope,
            name=name,
            picture=picture,
        )
        members = msgspec.to_builtins(claims)
        msgspec.convert(members, _Payload)
        return jwt.encode(members, self._private, algorithm="EdDSA", headers={"kid": self.kid})

    def _public_members(self) -> dict[str, str]:
        return {"crv": "Ed25519", "kty": "OKP", "x": base64url(self._private.public_key().public_bytes_raw())}

    def _private_members(self) -> dict[str, str]:
        return self._public_members() | self._labels() | {"d": base64url(self._private.private_bytes_raw())}

    def _labels(self) -> dict[str, str]:
        return {"kid": self.kid, "use": "sig", "alg": "EdDSA"}

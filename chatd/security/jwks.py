"""The keys that tokens are verified with, read strictly from a JWK set or a PEM text.

A key has exactly one algorithm, and the kind of key decides which, never the token (RFC 8725, sections 3.1 and 3.2):

=============================  =========
RSA of 2048 to 8192 bits       ``RS256``
EC on P-256                    ``ES256``
Ed25519                        ``Ed25519``, also by its deprecated name ``EdDSA`` (RFC 9864, section 2.2)
a secret of 32 bytes and more  ``HS256``, and only where the configuration asks for it
=============================  =========

A set is taken whole or refused whole: a key that cannot be used as it stands is the operator's to mend, so the error
names it (by ``kid``, else by its place) and says what would be right. It quotes nothing else of the key.
"""

import json
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import InvalidKeyError, get_algorithm_by_name

Material = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | bytes

MAX_KID: Final = 255
_RSA_BITS: Final = range(2048, 8193)
_SECRET_BYTES: Final = 32
_COORDINATE_BYTES: Final = 32
_INTEGER_DIGITS: Final = 20
# RFC 7518, sections 6.2.2 and 6.3.2, and RFC 8037, section 2.
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {"EdDSA": ("Ed25519", "EdDSA")}
"""What an algorithm is called, where that is more than what PyJWT calls it."""


class KeySetError(ValueError):
    """A key set that is not used: one line that says which key, and what would be right."""


@dataclass(frozen=True, slots=True, eq=False)
class VerifyingKey:
    """A key, its name in its set, and the one algorithm it is used with, as PyJWT calls it."""

    kid: str | None
    algorithm: str
    material: Material = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """What that algorithm may be called in a token and in a JWK."""
        return _NAMES.get(self.algorithm, (self.algorithm,))

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether ``signature`` over ``message`` was made with this key. Secrets are compared in constant time."""
        return get_algorithm_by_name(self.algorithm).verify(message, self.material, signature)


class KeySet:
    """The keys of one issuer; never changes.

    With several keys each has a ``kid`` of its own. A key without one stands alone and answers to every ``kid``, since
    then the signature alone decides. Raises `KeySetError` if that does not hold, or if there is no key.
    """

    __slots__ = ("_by_kid", "_only", "keys")

    def __init__(self, keys: Iterable[VerifyingKey]) -> None:
        self.keys = tuple(keys)
        if not self.keys:
            raise KeySetError("a key set needs at least one key")
        self._only = self.keys[0] if len(self.keys) == 1 else None
        self._by_kid: dict[str, VerifyingKey] = {}
        for place, key in enumerate(self.keys, 1):
            if key.kid is None:
                if self._only is None:
                    raise KeySetError(f'key {place} needs a "kid", as every key of a set of several does')
            elif key.kid in self._by_kid:
                raise KeySetError(f'key {place} needs a "kid" of its own: {key.kid!r} is taken by another key')
            else:
                self._by_kid[key.kid] = key

    @classmethod
    def from_jwks(cls, data: bytes, *, allow_hs256: bool = False) -> Self:
        """Read the JSON text of a JWK set (RFC 7517, section 5). Nothing that it points to is fetched."""
        members = strict_object(data)
        if members is None:
            raise KeySetError("a JWK set must be one JSON object without repeated names")
        jwks = members.get("keys")
        if not isinstance(jwks, list):
            raise KeySetError('a JWK set must have a list "keys"')
        return cls(_read_jwk(jwk, place, allow_hs256) for place, jwk in enumerate(jwks, 1))

    @classmethod
    def from_pem(cls, data: bytes, kid: str | None = None) -> Self:
        """Read one public key in PEM ("BEGIN PUBLIC KEY"); ``kid`` is the name that tokens call it by."""
        name = "the PEM key" if kid is None else f"key {kid!r}"
        if b"PRIVATE KEY-----" in data:
            raise KeySetError(f"{name} must be public: openssl pkey -in PRIVATE -pubout gives the public part")
        if data.count(b"-----BEGIN ") != 1 or b"PUBLIC KEY-----" not in data:
            raise KeySetError(f'{name} must be a single block "BEGIN PUBLIC KEY"')
        try:
            key = _verifying_key(kid, load_pem_public_key(data))
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if key is None:
            raise KeySetError(f"{name} must be RSA of 2048 to 8192 bits, EC on P-256, or Ed25519")
        return cls([key])

    def find(self, kid: str | None) -> VerifyingKey | None:
        """The key that a token means which names ``kid``, or names none."""
        if self._only is not None and (kid is None or self._only.kid is None):
            return self._only
        return None if kid is None else self._by_kid.get(kid)


def strict_object(text: bytes) -> dict[str, object] | None:
    """Decode one JSON object, or None where a lenient reader would guess.

    Refused are: anything but UTF-8, repeated names (RFC 7519, section 4), NaN and Infinity, numbers that a float
    cannot hold, integers of more than 20 digits, and nesting too deep for Python. No exception leaves, because those
    of the decoders carry the text.
    """
    try:
        decoded: object = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_int=_bounded_integer,
            parse_float=_finite_float,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def unpadded_base64url(text: str) -> bytes | None:
    """Decode base64url as RFC 7515, section 2 has it, or None for any other spelling.

    Padding, foreign characters and stray bits in the last character are refused: no two texts mean the same bytes.
    """
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return decoded if base64url(decoded) == text else None


def base64url(data: bytes) -> str:
    """Encode without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _bounded_integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS:
        raise ValueError("an integer has too many digits")
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _read_jwk(jwk: object, place: int, allow_hs256: bool) -> VerifyingKey:
    if not isinstance(jwk, dict):
        raise KeySetError(f"key {place} must be a JSON object")
    kid = jwk.get("kid")
    if "kid" in jwk and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        raise KeySetError(f'key {place}: "kid" must be text of 1 to {MAX_KID} characters, or be left out')
    name = f"key {place}" if kid is None else f"key {kid!r}"
    kty = jwk.get("kty")
    kind = _KINDS.get(kty) if isinstance(kty, str) else None
    if kind is None:
        raise KeySetError(f'{name}: "kty" must be RSA, EC, OKP or oct')
    if kty == "oct" and not allow_hs256:
        raise KeySetError(f"{name} is a shared secret, which the configuration must ask for: allow HS256, or remove it")
    if kty != "oct" and _PRIVATE_MEMBERS & jwk.keys():
        raise KeySetError(f"{name} is a private key, and must be given without its private members")
    try:
        key = _verifying_key(kid, kind.read(jwk))
    except ValueError:
        key = None
    if key is None:
        raise KeySetError(f"{name}: {kind.requirement}")
    _check_purpose(jwk, name, key)
    return key


def _check_purpose(jwk: Mapping[str, object], name: str, key: VerifyingKey) -> None:
    """Hold ``use``, ``key_ops`` and ``alg`` (RFC 7517, sections 4.2 to 4.4) against verifying with ``key``."""
    if jwk.get("use", "sig") != "sig":
        raise KeySetError(f'{name}: "use" must be "sig", or be left out')
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations or _repeats(operations):
        raise KeySetError(f'{name}: "key_ops" must be a list with "verify" and nothing twice, or be left out')
    if jwk.get("alg", key.algorithm) not in key.names:
        right = " or ".join(f'"{one}"' for one in key.names)
        raise KeySetError(f'{name}: "alg" must be {right} for a key of this kind, or be left out')


def _repeats(values: list[object]) -> bool:
    return any(value in values[:place] for place, value in enumerate(values))


def _verifying_key(kid: str | None, material: object) -> VerifyingKey | None:
    """The key with the one algorithm that its kind has, or None if it is of no use here."""
    if isinstance(material, RSAPublicKey) and material.key_size in _RSA_BITS:
        return VerifyingKey(kid, "RS256", material)
    if isinstance(material, EllipticCurvePublicKey) and isinstance(material.curve, SECP256R1):
        return VerifyingKey(kid, "ES256", material)
    if isinstance(material, Ed25519PublicKey):
        return VerifyingKey(kid, "EdDSA", material)
    if isinstance(material, bytes) and len(material) >= _SECRET_BYTES:
        return VerifyingKey(kid, "HS256", material)
    return None


def _octets(jwk: Mapping[str, object], name: str) -> bytes:
    text = jwk.get(name)
    octets = unpadded_base64url(text) if isinstance(text, str) else None
    if octets is None:
        raise ValueError("not base64url")
    return octets


def _number(jwk: Mapping[str, object], name: str) -> int:
    return int.from_bytes(_octets(jwk, name), "big")


def _coordinate(jwk: Mapping[str, object], name: str) -> int:
    octets = _octets(jwk, name)
    if len(octets) != _COORDINATE_BYTES:
        raise ValueError("a coordinate has the full size of the field")
    return int.from_bytes(octets, "big")


def _read_rsa(jwk: Mapping[str, object]) -> RSAPublicKey:
    return RSAPublicNumbers(e=_number(jwk, "e"), n=_number(jwk, "n")).public_key()


def _read_ec(jwk: Mapping[str, object]) -> EllipticCurvePublicKey:
    if jwk.get("crv") != "P-256":
        raise ValueError("another curve")
    return EllipticCurvePublicNumbers(_coordinate(jwk, "x"), _coordinate(jwk, "y"), SECP256R1()).public_key()


def _read_okp(jwk: Mapping[str, object]) -> Ed25519PublicKey:
    if jwk.get("crv") != "Ed25519":
        raise ValueError("another curve")
    return Ed25519PublicKey.from_public_bytes(_octets(jwk, "x"))


def _read_oct(jwk: Mapping[str, object]) -> bytes:
    secret = _octets(jwk, "k")
    try:
        # Refuses the text of a public key, which everyone could sign with.
        get_algorithm_by_name("HS256").prepare_key(secret)
    except InvalidKeyError:
        raise ValueError("not a secret") from None
    return secret


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a ``kty`` is read, and what to tell where that fails (RFC 7518, section 6; RFC 8037, section 2)."""

    read: Callable[[Mapping[str, object]], Material]
    requirement: str


_KINDS: Final[Mapping[str, _Kind]] = {
    "RSA": _Kind(_read_rsa, 'an RSA key needs "n" and "e" in base64url, and 2048 to 8192 bits'),
    "EC": _Kind(_read_ec, 'an EC key needs "crv" P-256, and a point of it as "x" and "y", 32 bytes each in base64url'),
    "OKP": _Kind(_read_okp, 'an OKP key needs "crv" Ed25519, and "x", 32 bytes in base64url'),
    "oct": _Kind(_read_oct, 'a shared secret needs "k", 32 random bytes or more in base64url'),
}

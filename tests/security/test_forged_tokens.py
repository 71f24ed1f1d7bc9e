"""Signatures: the published examples hold, and nothing that only looks like one does (faults 52 to 56).

Examples are those of RFC 7515, appendices A.1 to A.3, and of RFC 8037, appendix A.4.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chatd.errors import Unauthorized
from chatd.security.jwks import KeySet, KeySetError, base64url, unpadded_base64url
from chatd.security.tokens import Issuer, TokenVerifier

NOW = 1_800_000_000.0
ISSUER = "https://auth.example/"
CLAIMS = {"iss": ISSUER, "aud": "chatd", "sub": "alice", "exp": int(NOW) + 60}
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
"""SEC 2, section 2.4.2; RFC 8032, section 5.1."""

JOE = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

EXAMPLES: dict[str, tuple[dict[str, str], str]] = {
    "RFC 7515, A.1": (
        {
            "kty": "oct",
            "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        },
        f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ),
    "RFC 7515, A.2": (
        {
            "kty": "RSA",
            "n": (
                "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL"
                "-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e"
                "-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9"
                "_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
            ),
            "e": "AQAB",
        },
        f"eyJhbGciOiJSUzI1NiJ9.{JOE}."
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9"
        "CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOL"
        "n6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtV"
        "rBp0igcN_IoypGlUPQGe77Rw",
    ),
    "RFC 7515, A.3": (
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        f"eyJhbGciOiJFUzI1NiJ9.{JOE}."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    "RFC 8037, A.4": (
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_published_example_holds_and_no_part_of_it_may_change(name: str) -> None:
    jwk, token = EXAMPLES[name]
    [key] = KeySet.from_jwks(json.dumps({"keys": [jwk]}).encode(), allow_hs256=True).keys
    message, _, signature = token.rpartition(".")
    decoded = unpadded_base64url(signature)
    assert decoded is not None
    assert key.signed(message.encode(), decoded)
    for place in (0, len(decoded) // 2, len(decoded) - 1):
        assert not key.signed(message.encode(), decoded[:place] + bytes([decoded[place] ^ 1]) + decoded[place + 1 :])
    assert not key.signed(message.encode() + b"A", decoded)
    for odd in (b"", decoded[:-1], decoded + b"\0", b"\0" + decoded, decoded * 2):
        assert not key.signed(message.encode(), odd)


# -- tokens with a signature that is none --


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def encoded(part: object) -> str:
    return base64url(part if isinstance(part, bytes) else json.dumps(part).encode())


def verifier(algorithm: str) -> TokenVerifier:
    keys = KeySet.from_pem(public_pem(PRIVATE[algorithm]), "k")
    return TokenVerifier([Issuer(ISSUER, "chatd", keys)], clock=lambda: NOW)


def refused(token: str, algorithm: str) -> bool:
    """Whether the holder of that one key's public part refuses it, in the words that it has for all."""
    with pytest.raises(Unauthorized) as caught:
        verifier(algorithm).verify(token)
    return str(caught.value) == "The token does not hold."


def message_of(algorithm: str) -> str:
    return f"{encoded({'alg': algorithm, 'kid': 'k'})}.{encoded(CLAIMS)}"


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_the_key_itself_signs_what_holds(algorithm: str) -> None:
    """Lest what follows be refused for anything else."""
    token = jwt.encode(CLAIMS, PRIVATE[algorithm], algorithm=algorithm, headers={"kid": "k"})
    assert verifier(algorithm).verify(token).user == "alice"


def numbers(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def psychic() -> Iterator[bytes]:
    """ES256 signatures that broken verifiers take for any message (CVE-2022-21449), and other odd ones."""
    order = P256_ORDER
    for r in (0, 1, order, order - 1, 2**256 - 1):
        for s in (0, 1, order, order - 1, 2**256 - 1):
            yield numbers(r, s)
    yield from (b"", bytes(1), bytes(32), bytes(63), bytes(65), bytes(96), bytes(128))
    yield from (encode_dss_signature(0, 0), encode_dss_signature(1, 1), b"\x30\x06\x02\x01\x00\x02\x01\x00")


@pytest.mark.parametrize("signature", [*psychic()], ids=lambda signature: signature.hex()[:24] or "empty")
def test_psychic_signatures_are_refused(signature: bytes) -> None:
    assert refused(f"{message_of('ES256')}.{encoded(signature)}", "ES256")


def test_a_good_signature_in_der_is_none() -> None:
    """JWS has the two numbers side by side (RFC 7518, section 3.4); the other form would be a second spelling."""
    message = message_of("ES256")
    signature = EC.sign(message.encode(), ec.ECDSA(hashes.SHA256()))
    assert refused(f"{message}.{encoded(signature)}", "ES256")


def test_an_ed25519_signature_has_one_spelling() -> None:
    """To the second half the group's order can be added, where a verifier does not mind (RFC 8032, section 8.4)."""
    message = message_of("EdDSA")
    signature = ED.sign(message.encode())
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + ED25519_ORDER).to_bytes(32, "little")
    assert verifier("EdDSA").verify(f"{message}.{encoded(signature)}").user == "alice"
    for odd in (other, bytes(64), signature[:32] + bytes(32), signature + b"\0"):
        assert refused(f"{message}.{encoded(odd)}", "EdDSA")


@pytest.mark.parametrize("said", [None, "Ed25519", "EdDSA"])
def test_an_ed25519_key_has_one_algorithm_of_two_names(said: str | None) -> None:
    """RFC 9864, section 2.2: "EdDSA" is deprecated and still about; the key takes either, whichever its JWK says."""
    jwk = EXAMPLES["RFC 8037, A.4"][0] | {"x": base64url(ED.public_key().public_bytes_raw()), "kid": "k"}
    if said is not None:
        jwk["alg"] = said
    keys = KeySet.from_jwks(json.dumps({"keys": [jwk]}).encode())
    tokens = TokenVerifier([Issuer(ISSUER, "chatd", keys)], clock=lambda: NOW)
    for name in ("Ed25519", "EdDSA"):
        message = message_of(name)
        assert tokens.verify(f"{message}.{encoded(ED.sign(message.encode()))}").user == "alice"
        # What was signed under the one name does not hold under the other.
        other = message_of("EdDSA" if name == "Ed25519" else "Ed25519")
        with pytest.raises(Unauthorized):
            tokens.verify(f"{other}.{encoded(ED.sign(message.encode()))}")


def test_a_name_of_ed25519_makes_no_other_key_take_other_signatures() -> None:
    message = message_of("Ed25519")
    signed = {
        "RS256": RSA.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256()),
        "ES256": numbers(*decode_dss_signature(EC.sign(message.encode(), ec.ECDSA(hashes.SHA256())))),
    }
    for algorithm, signature in signed.items():
        for forged in (signature, ED.sign(message.encode()), bytes(64)):
            assert refused(f"{message}.{encoded(forged)}", algorithm)
    for stranger in (ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()):
        assert refused(f"{message}.{encoded(stranger.sign(message.encode()))}", "EdDSA")


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA384(), hashes.SHA512()], ids=lambda digest: digest.name)
def test_an_rsa_signature_over_another_digest_is_none(digest: hashes.HashAlgorithm) -> None:
    message = message_of("RS256")
    assert refused(f"{message}.{encoded(RSA.sign(message.encode(), padding.PKCS1v15(), digest))}", "RS256")


def test_an_rsa_signature_with_another_padding_is_none() -> None:
    message = message_of("RS256")
    for salt in (0, 32):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
        assert refused(f"{message}.{encoded(RSA.sign(message.encode(), pss, hashes.SHA256()))}", "RS256")
    for odd in (
        bytes(256),
        b"\0" * 255 + b"\1",
        b"\xff" * 256,
        b"\0" + RSA.sign(b"", padding.PKCS1v15(), hashes.SHA256()),
    ):
        assert refused(f"{message}.{encoded(odd)}", "RS256")


def forms(key: Any) -> Iterator[bytes]:
    """A public key in all the spellings in which it might be taken for a shared secret."""
    public = key.public_key()
    pem, der = public_pem(key), public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    yield from (pem, pem.strip(), pem.replace(b"\n", b"\r\n"), der, base64.b64encode(der))
    if isinstance(key, rsa.RSAPrivateKey):
        yield public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        yield public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        yield public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        yield public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    else:
        yield public.public_bytes_raw()
    yield json.dumps(jwt.get_algorithm_by_name(_algorithm(key)).to_jwk(public, as_dict=True)).encode()
    yield b""


def _algorithm(key: Any) -> str:
    return next(name for name, one in PRIVATE.items() if one is key)


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "none", "RS256", "ES256", "EdDSA", "Ed25519"])
@pytest.mark.parametrize("algorithm", PRIVATE)
def test_no_spelling_of_a_public_key_is_a_secret(algorithm: str, alg: str) -> None:
    """Whatever the header says: known by its ``kid``, or as the issuer's only key."""
    for header in ({"alg": alg, "kid": "k"}, {"alg": alg}):
        message = f"{encoded(header)}.{encoded(CLAIMS)}"
        for secret in forms(PRIVATE[algorithm]):
            digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(alg, hashlib.sha256)
            assert refused(f"{message}.{encoded(hmac.digest(secret, message.encode(), digest))}", algorithm)


@pytest.mark.parametrize("key", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()], ids=lambda curve: curve.name)
def test_a_key_on_another_curve_is_no_key_and_signs_nothing(key: ec.EllipticCurve) -> None:
    other = ec.generate_private_key(key)
    with pytest.raises(KeySetError):
        KeySet.from_pem(public_pem(other))
    message = message_of("ES256")
    signature = other.sign(message.encode(), ec.ECDSA(hashes.SHA256()))
    assert refused(f"{message}.{encoded(signature)}", "ES256")


def test_rsa_keys_that_can_be_broken_are_no_keys() -> None:
    modulus = (1 << 511) | 1, (1 << 1023) | 1, (1 << 2046) | 1
    for n, e in (*((n, 65537) for n in modulus), (RSA.public_key().public_numbers().n, 1)):
        octets = n.to_bytes((n.bit_length() + 7) // 8, "big")
        jwk = {"kty": "RSA", "n": base64url(octets), "e": base64url(e.to_bytes(3, "big").lstrip(b"\0"))}
        with pytest.raises(KeySetError):
            KeySet.from_jwks(json.dumps({"keys": [jwk]}).encode())


def test_what_is_no_signed_token_at_all_is_refused() -> None:
    """Encrypted ones, tokens within tokens, and the JSON forms of JWS."""
    good = jwt.encode(CLAIMS, ED, algorithm="EdDSA", headers={"kid": "k"})
    head, payload, signature = good.split(".")
    nested = {"alg": "EdDSA", "kid": "k", "cty": "JWT"}
    message = f"{encoded(nested)}.{encoded(good.encode())}"
    for token in (
        f"{encoded({'alg': 'dir', 'enc': 'A256GCM'})}..{encoded(bytes(12))}.{payload}.{encoded(bytes(16))}",
        f"{message}.{encoded(ED.sign(message.encode()))}",
        json.dumps({"protected": head, "payload": payload, "signature": signature}),
        json.dumps({"payload": payload, "signatures": [{"protected": head, "signature": signature}]}),
        f"{head}..{signature}",
        good.swapcase(),
        good[::-1],
    ):
        assert refused(token, "EdDSA")


def test_a_header_that_is_large_is_read_and_one_that_is_huge_is_refused() -> None:
    def padded(size: int) -> str:
        message = f"{encoded({'alg': 'EdDSA', 'kid': 'k', 'x': 'y' * size})}.{encoded(CLAIMS)}"
        return f"{message}.{encoded(ED.sign(message.encode()))}"

    assert verifier("EdDSA").verify(padded(4000)).user == "alice"
    assert refused(padded(8000), "EdDSA")

"""Key sets are taken whole or refused with one line that names the key and quotes nothing else of it."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chatd.security.jwks import KeySet, KeySetError, base64url, strict_object, unpadded_base64url

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SECRET = bytes(range(200, 232))


def octets(number: int, size: int | None = None) -> str:
    return base64url(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


RSA_NUMBERS = RSA.public_key().public_numbers()
EC_NUMBERS = EC.public_key().public_numbers()
JWK_RSA = {"kty": "RSA", "kid": "r", "n": octets(RSA_NUMBERS.n), "e": "AQAB"}
JWK_EC = {"kty": "EC", "kid": "e", "crv": "P-256", "x": octets(EC_NUMBERS.x, 32), "y": octets(EC_NUMBERS.y, 32)}
JWK_ED = {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": base64url(ED.public_key().public_bytes_raw())}
JWK_OCT = {"kty": "oct", "kid": "s", "k": base64url(SECRET)}


def pem_of_unknown_kind() -> bytes:
    """A SubjectPublicKeyInfo whose algorithm is 1.2.3.4 and whose key is empty."""
    return b"-----BEGIN PUBLIC KEY-----\nMAowBQYDKgMEAwEA\n-----END PUBLIC KEY-----\n"


def jwks(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def without(jwk: dict[str, str], name: str) -> dict[str, str]:
    return {member: value for member, value in jwk.items() if member != name}


def test_each_kind_of_key_has_one_algorithm() -> None:
    keys = KeySet.from_jwks(jwks(JWK_RSA, JWK_EC, JWK_ED, JWK_OCT), allow_hs256=True)
    assert [(key.kid, key.algorithm) for key in keys.keys] == [
        ("r", "RS256"),
        ("e", "ES256"),
        ("o", "EdDSA"),
        ("s", "HS256"),
    ]


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_a_pem_key_has_the_algorithm_of_its_kind(key: Any, algorithm: str) -> None:
    [read] = KeySet.from_pem(pem(key), kid="k").keys
    assert (read.kid, read.algorithm) == ("k", algorithm)


@pytest.mark.parametrize(
    "members",
    [
        {"use": "sig"},
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]},
        {"alg": "ES256"},
        {"use": "sig", "key_ops": ["verify"], "alg": "ES256", "x5u": "http://127.0.0.1/", "unknown": 1},
    ],
)
def test_a_key_that_says_it_is_for_signatures_is_taken(members: dict[str, object]) -> None:
    assert KeySet.from_jwks(jwks(JWK_EC | members)).keys


@pytest.mark.parametrize(
    ("jwk", "told"),
    [
        ("text", "key 1 must be a JSON object"),
        (["kty"], "key 1 must be a JSON object"),
        ({}, 'key 1: "kty" must be RSA, EC, OKP or oct'),
        (JWK_EC | {"kty": "ec"}, "key 'e': \"kty\" must be"),
        (JWK_EC | {"kty": ["EC"]}, "key 'e': \"kty\" must be"),
        (JWK_EC | {"kid": 7}, 'key 1: "kid" must be text'),
        (JWK_EC | {"kid": None}, 'key 1: "kid" must be text'),
        (JWK_EC | {"kid": ""}, 'key 1: "kid" must be text'),
        (JWK_EC | {"kid": "k" * 256}, 'key 1: "kid" must be text'),
        (JWK_EC | {"kid": "a\nb", "use": "enc"}, "key 'a\\nb': \"use\" must be"),
        (JWK_EC | {"use": "enc"}, "key 'e': \"use\" must be"),
        (JWK_EC | {"use": None}, "key 'e': \"use\" must be"),
        (JWK_EC | {"use": "SIG"}, "key 'e': \"use\" must be"),
        (JWK_EC | {"key_ops": []}, "key 'e': \"key_ops\" must be"),
        (JWK_EC | {"key_ops": "verify"}, "key 'e': \"key_ops\" must be"),
        (JWK_EC | {"key_ops": {"verify": 1}}, "key 'e': \"key_ops\" must be"),
        (JWK_EC | {"key_ops": ["sign"]}, "key 'e': \"key_ops\" must be"),
        (JWK_EC | {"key_ops": ["encrypt", "wrapKey"]}, "key 'e': \"key_ops\" must be"),
        (JWK_EC | {"key_ops": ["verify", "verify"]}, "key 'e': \"key_ops\" must be"),
        (JWK_EC | {"key_ops": ["verify", {"a": 1}, {"a": 1}]}, "key 'e': \"key_ops\" must be"),
        (JWK_EC | {"alg": "ES384"}, 'key \'e\': "alg" must be "ES256"'),
        (JWK_EC | {"alg": "HS256"}, 'key \'e\': "alg" must be "ES256"'),
        (JWK_EC | {"alg": "none"}, 'key \'e\': "alg" must be "ES256"'),
        (JWK_EC | {"alg": None}, 'key \'e\': "alg" must be "ES256"'),
        (JWK_RSA | {"alg": "RS512"}, 'key \'r\': "alg" must be "RS256"'),
        (JWK_RSA | {"alg": "PS256"}, 'key \'r\': "alg" must be "RS256"'),
        (JWK_RSA | {"alg": "HS256"}, 'key \'r\': "alg" must be "RS256"'),
        (JWK_ED | {"alg": "ES256"}, 'key \'o\': "alg" must be "Ed25519" or "EdDSA" for'),
        (JWK_ED | {"alg": "Ed448"}, 'key \'o\': "alg" must be "Ed25519" or "EdDSA" for'),
        (JWK_ED | {"alg": ["Ed25519"]}, 'key \'o\': "alg" must be "Ed25519" or "EdDSA" for'),
        (JWK_EC | {"alg": "Ed25519"}, 'key \'e\': "alg" must be "ES256"'),
        (without(JWK_RSA, "n"), "key 'r': an RSA key needs"),
        (JWK_RSA | {"n": 65537}, "key 'r': an RSA key needs"),
        (JWK_RSA | {"n": JWK_RSA["n"] + "=="}, "key 'r': an RSA key needs"),
        (JWK_RSA | {"e": "AQ"}, "key 'r': an RSA key needs"),
        (JWK_RSA | {"n": octets((1 << 2046) + 1)}, "key 'r': an RSA key needs"),
        (JWK_RSA | {"n": octets((1 << 8192) + 1)}, "key 'r': an RSA key needs"),
        (JWK_EC | {"crv": "P-384"}, "key 'e': an EC key needs"),
        (JWK_EC | {"crv": "secp256k1"}, "key 'e': an EC key needs"),
        (JWK_EC | {"y": JWK_EC["x"]}, "key 'e': an EC key needs"),
        (JWK_EC | {"x": octets(EC_NUMBERS.x, 33)}, "key 'e': an EC key needs"),
        (without(JWK_EC, "y"), "key 'e': an EC key needs"),
        (JWK_ED | {"crv": "X25519"}, "key 'o': an OKP key needs"),
        (JWK_ED | {"crv": "Ed448"}, "key 'o': an OKP key needs"),
        (JWK_ED | {"x": base64url(bytes(31))}, "key 'o': an OKP key needs"),
        (without(JWK_ED, "x"), "key 'o': an OKP key needs"),
        (JWK_ED | {"d": base64url(bytes(32))}, "key 'o' is a private key"),
        (JWK_EC | {"d": base64url(bytes(32))}, "key 'e' is a private key"),
        (JWK_RSA | {"qi": "AQ"}, "key 'r' is a private key"),
        (JWK_OCT | {"use": "enc"}, "key 's': \"use\" must be"),
        (JWK_OCT | {"alg": "HS512"}, 'key \'s\': "alg" must be "HS256"'),
        (JWK_OCT | {"alg": "A256GCM"}, 'key \'s\': "alg" must be "HS256"'),
        (JWK_OCT | {"k": base64url(SECRET[1:])}, "key 's': a shared secret needs"),
        (JWK_OCT | {"k": ""}, "key 's': a shared secret needs"),
        (JWK_OCT | {"k": base64url(pem(EC))}, "key 's': a shared secret needs"),
        (without(JWK_OCT, "k"), "key 's': a shared secret needs"),
    ],
)
def test_a_key_that_does_not_fit_is_refused_by_name(jwk: object, told: str) -> None:
    with pytest.raises(KeySetError) as caught:
        KeySet.from_jwks(jwks(jwk), allow_hs256=True)
    assert str(caught.value).startswith(told)
    assert_one_line_without_material(caught.value)


def assert_one_line_without_material(error: KeySetError) -> None:
    message = str(error)
    assert "\n" not in message
    for material in (JWK_RSA["n"], JWK_EC["x"], JWK_EC["y"], JWK_ED["x"], JWK_OCT["k"]):
        assert material[:10] not in message


def test_a_shared_secret_is_refused_unless_it_is_asked_for() -> None:
    with pytest.raises(KeySetError, match="key 's' is a shared secret, which the configuration must ask for") as caught:
        KeySet.from_jwks(jwks(JWK_RSA, JWK_OCT))
    assert_one_line_without_material(caught.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "one JSON object"),
        (b"[]", "one JSON object"),
        (b'"keys"', "one JSON object"),
        (b"\xef\xbb\xbf{}", "one JSON object"),
        (jwks(JWK_EC).decode().encode("utf-16"), "one JSON object"),
        (b'{"keys":[],"keys":[]}', "one JSON object"),
        (b'{"keys":' + b"[" * 100_000, "one JSON object"),
        (b"{}", 'a list "keys"'),
        (json.dumps(JWK_EC).encode(), 'a list "keys"'),
        (b'{"keys":{}}', 'a list "keys"'),
        (b'{"keys":[]}', "at least one key"),
        (jwks(JWK_EC, JWK_EC), "key 2 needs a \"kid\" of its own: 'e' is taken"),
        (jwks(JWK_EC, without(JWK_ED, "kid")), 'key 2 needs a "kid"'),
    ],
)
def test_a_set_that_does_not_hold_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(KeySetError) as caught:
        KeySet.from_jwks(data)
    assert told in str(caught.value)
    assert_one_line_without_material(caught.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "single block"),
        (b"no PEM", "single block"),
        (pem(EC) + pem(ED), "single block"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "single block"),
        (private_pem(EC), "must be public"),
        (private_pem(RSA, PrivateFormat.TraditionalOpenSSL), "must be public"),
        (pem(EC) + private_pem(EC), "must be public"),
        (pem(EC).replace(b"M", b"!", 1), "must be RSA of"),
        (pem(EC)[:60] + b"\n-----END PUBLIC KEY-----\n", "must be RSA of"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "must be RSA of"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "must be RSA of"),
        (pem_of_unknown_kind(), "must be RSA of"),
        (pem(ed448.Ed448PrivateKey.generate()), "must be RSA of"),
        (pem(rsa.generate_private_key(65537, 1024)), "must be RSA of"),
    ],
)
def test_a_pem_that_is_no_fit_public_key_is_refused(data: bytes, told: str) -> None:
    for kid, name in ((None, "the PEM key "), ("k", "key 'k' ")):
        with pytest.raises(KeySetError, match=told) as caught:
            KeySet.from_pem(data, kid)
        assert str(caught.value).startswith(name)
        assert "\n" not in str(caught.value)


def test_among_several_keys_each_is_found_by_its_own_name_alone() -> None:
    keys = KeySet.from_jwks(jwks(JWK_RSA, JWK_EC))
    found = keys.find("e")
    assert found is not None
    assert found.algorithm == "ES256"
    for kid in (None, "", "E", "e ", "e\0", "../e", "o", "x' OR '1'='1"):
        assert keys.find(kid) is None


def test_a_single_named_key_answers_to_its_name_and_to_none() -> None:
    keys = KeySet.from_pem(pem(EC), kid="e")
    assert keys.find("e") is keys.find(None) is keys.keys[0]
    assert keys.find("r") is None


def test_a_single_key_without_a_name_answers_to_every_name() -> None:
    keys = KeySet.from_pem(pem(EC))
    assert keys.find("e") is keys.find(None) is keys.keys[0]


def test_sets_can_be_put_together() -> None:
    keys = KeySet([*KeySet.from_pem(pem(EC), "e").keys, *KeySet.from_jwks(jwks(JWK_ED)).keys])
    assert [key.kid for key in keys.keys] == ["e", "o"]


def test_no_secret_shows_in_repr() -> None:
    keys = KeySet.from_jwks(jwks(JWK_OCT), allow_hs256=True)
    for text in (repr(keys), repr(keys.keys)):
        assert repr(SECRET)[2:12] not in text


@given(st.binary(max_size=64))
def test_base64url_has_one_spelling_for_any_bytes(data: bytes) -> None:
    text = base64url(data)
    assert unpadded_base64url(text) == data
    for other in (text + "=", text + "==", text + "\n", " " + text, text + "A===", text + "é"):
        assert unpadded_base64url(other) is None


@pytest.mark.parametrize(
    "text", ["=", "A", "AB", "AAB", "AA==", "+/+/", "AA AA", "AA\nAA", "AAAA\n", "ÄÄÄÄ", "\ud800AAA", "A" * 5]
)
def test_other_spellings_of_base64url_are_refused(text: str) -> None:
    assert unpadded_base64url(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b"", b"null", b"1", b"[]", b"{", b"{}{}", b"\xff", b"{'a':1}", b'{"a":1,}', b'{"a":NaN}', b'{"a":-Infinity}',
        b'{"a":1e400}', b'{"a":-1e400}', b'{"a":' + b"1" * 21 + b"}", b'{"a":' + b"1" * 5000 + b"}", b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":1}', b'{"b":{"a":1,"a":2}}', b'{"a":' * 2000, b'{"a":"\n"}', b'{"a":01}',
    ],
)  # fmt: skip
def test_json_that_a_lenient_reader_would_guess_at_is_refused(text: bytes) -> None:
    assert strict_object(text) is None


def test_an_object_is_read_with_its_escapes_and_numbers() -> None:
    text = b' {"a": "\\u00e9\\n", "n": [1, -20, 1.5, 1e3], "o": {"a": true, "b": null}} '
    assert strict_object(text) == {"a": "é\n", "n": [1, -20, 1.5, 1000.0], "o": {"a": True, "b": None}}

"""A token holds if its issuer signed it, for us, for somebody, and for now; whatever else it is, it gets one answer."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chatd.errors import Unauthorized
from chatd.records.tokens import Claims
from chatd.security.jwks import KeySet, KeySetError
from chatd.security.tokens import Issuer, KeysMissing, SigningKey, TokenRefused, TokenVerifier, UnknownKey

NOW = 1_800_000_000.0
ISSUER = "https://auth.example/"
SIGNER = SigningKey(bytes(range(32)))
OTHER = SigningKey(bytes(range(1, 33)))
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
SECRET = bytes(range(200, 232))
HEADER = {"alg": "EdDSA", "kid": SIGNER.kid, "typ": "JWT"}
CLAIMS = {"iss": ISSUER, "aud": "chatd", "sub": "alice", "exp": NOW + 60, "iat": NOW, "nbf": NOW, "jti": "t1"}
UNFIT_TEXTS = ["", " ", "\t", "\u2003 ", "a\0", "a\nb", "alice\n", "\x1b[2J", "a\x7f", "\ud800", "a\udfffb", "x" * 256]
UNFIT_NAMES = [None, 7, True, [], {}, ["alice"], *UNFIT_TEXTS]
UNFIT_TIMES = [None, "", "1800000060", True, False, [], {}, -1, 253402300800, NOW * 1000, 10**19, 1e300]


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded(part: object) -> str:
    return b64(part if isinstance(part, bytes) else json.dumps(part).encode())


def signed(header: object, claims: object, signer: SigningKey = SIGNER) -> str:
    """A token whose signature holds, whatever its parts are."""
    message = f"{encoded(header)}.{encoded(claims)}"
    private = jwt.PyJWK(json.loads(signer.to_jwk())).key
    return f"{message}.{b64(private.sign(message.encode()))}"


def with_hmac(header: object, claims: object, secret: bytes) -> str:
    message = f"{encoded(header)}.{encoded(claims)}"
    return f"{message}.{b64(hmac.digest(secret, message.encode(), hashlib.sha256))}"


def without(members: Mapping[str, object], name: str) -> dict[str, object]:
    return {member: value for member, value in members.items() if member != name}


def verifier(*, keys: KeySet | None = None, now: float = NOW) -> TokenVerifier:
    keys = keys or KeySet([*KeySet.from_jwks(SIGNER.public_jwks()).keys, *KeySet.from_pem(public_pem(RSA), "rsa").keys])
    other = Issuer("https://other.example", "chatd", KeySet.from_jwks(OTHER.public_jwks()))
    return TokenVerifier([Issuer(ISSUER, "chatd", keys), other], clock=lambda: now)


VERIFIER = verifier()


def reason_of(token: str, verifier: TokenVerifier = VERIFIER) -> str:
    """Why a token is refused, having checked that the peer is told nothing but that it is."""
    with pytest.raises(TokenRefused) as caught:
        verifier.verify(token)
    refused = caught.value
    assert isinstance(refused, Unauthorized)
    assert (refused.code, refused.status, refused.retryable) == ("unauthorized", 401, False)
    assert str(refused) == refused.detail == "The token does not hold."
    assert refused.reason.isprintable()
    assert refused.reason.isascii()
    assert refused.__cause__ is None
    return refused.reason


def test_a_good_token_tells_whose_it_is() -> None:
    assert VERIFIER.verify(signed(HEADER, CLAIMS)) == Claims(
        user="alice", issuer=ISSUER, expires_at=NOW + 60, token_id="t1", issued_at=NOW
    )


def test_a_token_may_say_what_its_person_is_called_and_looks_like() -> None:
    claims = CLAIMS | {"name": "Zoë 😀", "picture": "https://example.com/zoe.png"}
    verified = VERIFIER.verify(signed(HEADER, claims))
    assert (verified.name, verified.picture) == ("Zoë 😀", "https://example.com/zoe.png")


@pytest.mark.parametrize("name", [None, 1, True, [], {"a": 1}, "", "x" * 201, "a\0b", "\ud800"])
@pytest.mark.parametrize("picture", [None, 1, "javascript:alert(1)", "https://a b", "https://" + "x" * 2048])
def test_names_and_pictures_that_are_none_lock_nobody_out(name: object, picture: object) -> None:
    verified = VERIFIER.verify(signed(HEADER, CLAIMS | {"name": name, "picture": picture}))
    assert (verified.user, verified.name, verified.picture) == ("alice", None, None)


def test_a_minted_token_says_them_if_it_is_told_to() -> None:
    times = {"now": NOW, "lifetime": 60, "token_id": "t"}
    token = SIGNER.mint("alice", issuer=ISSUER, audience="chatd", name="Alice", picture="http://a.example/", **times)
    verified = VERIFIER.verify(token)
    assert (verified.name, verified.picture) == ("Alice", "http://a.example/")


def test_a_token_needs_no_more_than_issuer_audience_user_and_end() -> None:
    claims = {"iss": ISSUER, "aud": ["other", "chatd"], "sub": "Zoë 😀", "exp": int(NOW) + 1, "more": {"a": [1.5]}}
    assert VERIFIER.verify(signed({"alg": "EdDSA", "kid": SIGNER.kid}, claims)) == Claims(
        user="Zoë 😀", issuer=ISSUER, expires_at=NOW + 1
    )


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/jwt", "application/at+jwt"])
def test_the_type_of_a_token_is_read_without_regard_to_case(typ: str) -> None:
    assert VERIFIER.verify(signed(HEADER | {"typ": typ}, CLAIMS)).user == "alice"


@pytest.mark.parametrize("name", ["jku", "x5u", "x5c", "x5t", "cty"])
def test_where_a_header_points_does_not_matter_to_a_good_token(name: str) -> None:
    assert VERIFIER.verify(signed(HEADER | {name: "http://127.0.0.1:1/"}, CLAIMS)).user == "alice"


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
def test_the_other_kinds_of_public_key_verify(key: Any, algorithm: str) -> None:
    token = jwt.encode(CLAIMS, key, algorithm=algorithm)
    keys = KeySet.from_pem(public_pem(key))
    assert verifier(keys=keys).verify(token).user == "alice"
    head, _, signature = token.rpartition(".")
    changed = ("B" if signature[0] == "A" else "A") + signature[1:]
    assert reason_of(f"{head}.{changed}", verifier(keys=keys)).startswith("signature")
    assert reason_of(f"{head}.{signature[:40]}", verifier(keys=keys)).startswith("signature")


def test_a_shared_secret_verifies_where_it_is_asked_for() -> None:
    keys = KeySet.from_jwks(json.dumps({"keys": [{"kty": "oct", "k": b64(SECRET)}]}).encode(), allow_hs256=True)
    assert verifier(keys=keys).verify(with_hmac({"alg": "HS256"}, CLAIMS, SECRET)).user == "alice"
    assert reason_of(with_hmac({"alg": "HS256"}, CLAIMS, SECRET[1:]), verifier(keys=keys)).startswith("signature")
    assert reason_of(with_hmac({"alg": "HS512"}, CLAIMS, SECRET), verifier(keys=keys)).startswith("alg")


def test_an_issuer_with_one_key_needs_no_kid_but_a_kid_must_be_its() -> None:
    one = verifier(keys=KeySet.from_jwks(SIGNER.public_jwks()))
    assert one.verify(signed({"alg": "EdDSA"}, CLAIMS)).user == "alice"
    assert reason_of(signed(HEADER | {"kid": "other"}, CLAIMS), one).startswith("kid")


@pytest.mark.parametrize(
    "alg",
    [
        *("none", "None", "NONE", "nOnE", "", " none", "none\0", "n\u043ene"),
        *("eddsa", "EDDSA", "EdDSA ", "ed25519", "ED25519", "Ed25519\0", "Ed25519ph", "Ed448"),
    ],
)
def test_an_algorithm_that_is_none_or_nearly_the_right_one_is_refused(alg: str) -> None:
    header = HEADER | {"alg": alg}
    assert reason_of(signed(header, CLAIMS)).startswith("alg")
    assert reason_of(f"{encoded(header)}.{encoded(CLAIMS)}.").startswith("a part is empty")
    assert reason_of(f"{encoded(header)}.{encoded(CLAIMS)}.AA").startswith("alg")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "ES256", "EdDSA", "Ed25519"])
def test_a_key_is_used_with_its_own_algorithm_alone(alg: str) -> None:
    header = {"alg": alg, "kid": "rsa"}
    if alg.startswith(("RS", "PS")):
        token = jwt.encode(CLAIMS, RSA, algorithm=alg, headers={"kid": "rsa"})
    else:
        token = with_hmac(header, CLAIMS, public_pem(RSA))
    assert reason_of(token).startswith("alg")


def test_a_public_key_is_no_shared_secret() -> None:
    for key, kid in ((public_pem(RSA), "rsa"), (public_pem(RSA).strip(), "rsa"), (SIGNER.public_jwks(), SIGNER.kid)):
        assert reason_of(with_hmac({"alg": "HS256", "kid": kid}, CLAIMS, key)).startswith("alg")


def attackers_key() -> dict[str, Any]:
    return json.loads(OTHER.public_jwks())["keys"][0]


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (HEADER | {"jwk": attackers_key()}, "header: jwk"),
        (HEADER | {"jwk": None}, "header: jwk"),
        (HEADER | {"crit": ["exp"], "exp": NOW}, "header: crit"),
        (HEADER | {"crit": []}, "header: crit"),
        (HEADER | {"crit": None}, "header: crit"),
        (HEADER | {"b64": False}, "header: b64"),
        (HEADER | {"b64": False, "crit": ["b64"]}, "header: crit"),
        (HEADER | {"typ": "JOSE"}, "header: typ"),
        (HEADER | {"typ": "logout+jwt"}, "header: typ"),
        (HEADER | {"typ": ""}, "header: typ"),
        (HEADER | {"typ": None}, "header: Expected"),
        (HEADER | {"typ": ["JWT"]}, "header: Expected"),
        (HEADER | {"alg": None}, "header: Expected"),
        (HEADER | {"alg": ["EdDSA"]}, "header: Expected"),
        (without(HEADER, "alg"), "header: Object missing"),
        (without(HEADER, "kid"), "kid"),
        (HEADER | {"kid": None}, "header: Expected"),
        (HEADER | {"kid": 0}, "header: Expected"),
        (HEADER | {"kid": [SIGNER.kid]}, "header: Expected"),
        (HEADER | {"kid": "k" * 256}, "header: Expected"),
        (HEADER | {"kid": ""}, "kid"),
        (HEADER | {"kid": SIGNER.kid + "\0"}, "kid"),
        (HEADER | {"kid": SIGNER.kid.swapcase()}, "kid"),
        (HEADER | {"kid": "../../../../dev/null"}, "kid"),
        (HEADER | {"kid": "/proc/self/environ"}, "kid"),
        (HEADER | {"kid": "x' UNION SELECT 'AAAA' --"}, "kid"),
        (HEADER | {"kid": "http://127.0.0.1:1/jwks.json"}, "kid"),
        (HEADER | {"kid": "\ud800"}, "kid"),
        (HEADER | {"kid": OTHER.kid}, "kid"),
        ({}, "header: Object missing"),
        ([], "header: not one"),
        (["EdDSA"], "header: not one"),
        ("EdDSA", "header: not one"),
        (7, "header: not one"),
        (b"null", "header: not one"),
        (b"{", "header: not one"),
        (b"\xff", "header: not one"),
        (b'\xef\xbb\xbf{"alg":"EdDSA"}', "header: not one"),
        (json.dumps(HEADER).encode("utf-16"), "header: not one"),
        (b'{"alg":"none","alg":"EdDSA","kid":"' + SIGNER.kid.encode() + b'"}', "header: not one"),
        (b'{"alg":"none","\\u0061lg":"EdDSA","kid":"' + SIGNER.kid.encode() + b'"}', "header: not one"),
        (b'{"a":' * 1100, "header: not one"),
    ],
)  # fmt: skip
def test_a_signed_token_with_an_odd_header_is_refused(header: object, rule: str) -> None:
    assert reason_of(signed(header, CLAIMS)).startswith(rule)


def test_an_algorithm_written_in_escapes_is_the_algorithm() -> None:
    header = json.dumps(HEADER).replace("EdDSA", "\\u0045dDSA").encode()
    assert VERIFIER.verify(signed(header, CLAIMS)).user == "alice"


@pytest.mark.parametrize("name", ["jku", "x5u", "x5c"])
def test_a_key_that_the_token_points_to_is_not_used(name: str) -> None:
    header = HEADER | {name: "http://127.0.0.1:1/jwks.json"}
    assert reason_of(signed(header, CLAIMS, OTHER)).startswith("signature")


def test_a_key_counts_for_its_own_issuer_alone() -> None:
    other = CLAIMS | {"iss": "https://other.example"}
    header = HEADER | {"kid": OTHER.kid}
    assert VERIFIER.verify(signed(header, other, OTHER)).issuer == "https://other.example"
    assert reason_of(signed(header, CLAIMS, OTHER)).startswith("kid")
    assert reason_of(signed(HEADER, CLAIMS, OTHER)).startswith("signature")
    assert reason_of(signed(HEADER, other, SIGNER)).startswith("kid")


@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        *((without(CLAIMS, name), "claims: Object missing") for name in ("iss", "aud", "sub", "exp")),
        *((CLAIMS | {"exp": value}, "claims: Expected `float`") for value in UNFIT_TIMES),
        *((CLAIMS | {"nbf": value}, "claims: Expected `float`") for value in UNFIT_TIMES),
        *((CLAIMS | {"iat": value}, "claims: Expected `float`") for value in UNFIT_TIMES),
        *((CLAIMS | {"sub": value}, "claims: Expected `str`") for value in UNFIT_NAMES),
        *((CLAIMS | {"jti": value}, "claims: Expected `str`") for value in UNFIT_NAMES),
        (CLAIMS | {"nbf": NOW + 30.5}, "nbf"),
        (CLAIMS | {"iat": NOW + 30.5}, "iat"),
        (CLAIMS | {"aud": ""}, "aud"),
        (CLAIMS | {"aud": []}, "aud"),
        (CLAIMS | {"aud": "chat"}, "aud"),
        (CLAIMS | {"aud": "chatd "}, "aud"),
        (CLAIMS | {"aud": "CHATD"}, "aud"),
        (CLAIMS | {"aud": "xchatdx"}, "aud"),
        (CLAIMS | {"aud": ["c", "h", "a", "t", "d"]}, "aud"),
        (CLAIMS | {"aud": None}, "claims: Expected"),
        (CLAIMS | {"aud": {"chatd": 1}}, "claims: Expected"),
        (CLAIMS | {"aud": ["chatd", 1]}, "claims: Expected"),
        (CLAIMS | {"aud": ["chatd", None]}, "claims: Expected"),
        (CLAIMS | {"aud": [["chatd"]]}, "claims: Expected"),
        (CLAIMS | {"iss": ""}, "iss"),
        (CLAIMS | {"iss": "https://auth.example"}, "iss"),
        (CLAIMS | {"iss": "https://AUTH.example/"}, "iss"),
        (CLAIMS | {"iss": ISSUER + "\0"}, "iss"),
        (CLAIMS | {"iss": "\ud800"}, "iss"),
        (CLAIMS | {"iss": None}, "claims: Expected"),
        (CLAIMS | {"iss": [ISSUER]}, "claims: Expected"),
        ({}, "claims: Object missing"),
        ([], "claims: not one"),
        ([CLAIMS], "claims: not one"),
        ("alice", "claims: not one"),
        (7, "claims: not one"),
        (b"null", "claims: not one"),
        (b"alice", "claims: not one"),
        (b"\xff\xfe", "claims: not one"),
        (json.dumps(CLAIMS).encode() + b"{}", "claims: not one"),
        (json.dumps(CLAIMS).encode("utf-16"), "claims: not one"),
        (json.dumps(CLAIMS)[:-1].encode() + b',"sub":"bob"}', "claims: not one"),
        (json.dumps(CLAIMS)[:-1].encode() + b',"\\u0073ub":"bob"}', "claims: not one"),
        (json.dumps(CLAIMS)[:-1].encode() + b',"more":{"a":1,"a":2}}', "claims: not one"),
        (json.dumps(CLAIMS | {"exp": float("nan")}).encode(), "claims: not one"),
        (json.dumps(CLAIMS | {"exp": float("inf")}).encode(), "claims: not one"),
        (json.dumps(CLAIMS).replace("1800000060.0", "1e400").encode(), "claims: not one"),
        (json.dumps(CLAIMS | {"exp": 10**20}).encode(), "claims: not one"),
        (json.dumps(CLAIMS | {"exp": 10**4000}).encode(), "claims: not one"),
        (json.dumps(CLAIMS | {"more": 10**20}).encode(), "claims: not one"),
        (b'{"a":' * 1100, "claims: not one"),
    ],
)  # fmt: skip
def test_a_signed_token_with_odd_claims_is_refused(claims: object, rule: str) -> None:
    assert reason_of(signed(HEADER, claims)).startswith(rule)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda token: token + "=", "a part"),
        (lambda token: token + "==", "a part"),
        (lambda token: token.replace(".", "=."), "a part"),
        (lambda token: token.replace(".", "==.", 1), "a part"),
        (lambda token: token + "\n", "a part"),
        (lambda token: " " + token, "a part"),
        (lambda token: token.replace(".", ". "), "a part"),
        (lambda token: token.replace(".", ".\r\n"), "a part"),
        (lambda token: token[:20] + "\0" + token[20:], "a part"),
        (lambda token: token[:20] + "!" + token[20:], "a part"),
        (lambda token: token[:20] + "é" + token[20:], "a part"),
        (lambda token: token[:20] + "\ud800" + token[20:], "a part"),
        (lambda token: token[:-1] + chr(ord(token[-1]) + 1), "a part"),
        (lambda token: token.replace(".", "\uff0e"), "not three"),
        (lambda token: token + ".", "not three"),
        (lambda token: token + ".AAAA", "not three"),
        (lambda token: "." + token, "not three"),
        (lambda token: token.replace(".", "..", 1), "not three"),
        (lambda token: token.rpartition(".")[0], "not three"),
        (lambda token: token.rpartition(".")[0] + ".", "a part"),
        (lambda token: "." + token.partition(".")[2], "a part"),
        (lambda token: "Bearer " + token, "a part"),
        (lambda token: "", "not three"),
        (lambda token: "..", "a part"),
        (lambda token: "." * 8192, "not three"),
        (lambda token: "." * 8193, "more than 8 KiB"),
        (lambda token: token + "A" * 8192, "more than 8 KiB"),
        (lambda token: json.dumps({"payload": "", "signatures": []}), "not three"),
    ],
)
def test_a_good_token_written_otherwise_is_refused(change: Callable[[str], str], rule: str) -> None:
    token = signed(HEADER, CLAIMS)
    assert VERIFIER.verify(token).user == "alice"
    assert reason_of(change(token)).startswith(rule)


@given(place=st.integers(0, 10_000), letter=st.sampled_from("ABYZabyz0189-_"))
def test_a_change_of_any_letter_is_detected(place: int, letter: str) -> None:
    token = signed(HEADER, CLAIMS)
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        assert reason_of(changed)


def test_a_token_of_exactly_8_kib_is_read_and_a_longer_one_is_not() -> None:
    spare = (8192 - len(signed(HEADER, CLAIMS | {"more": ""}))) * 3 // 4
    tokens = [signed(HEADER, CLAIMS | {"more": "x" * size}) for size in range(spare - 4, spare + 5)]
    sizes = {len(token): token for token in tokens}
    assert VERIFIER.verify(sizes[8192]).user == "alice"
    longer = min(size for size in sizes if size > 8192)
    assert longer <= 8194
    assert reason_of(sizes[longer]) == "more than 8 KiB"


def test_the_ends_of_what_names_and_times_may_be_are_taken() -> None:
    claims = CLAIMS | {"sub": "😀" * 255, "jti": "j" * 255, "exp": 253402300799, "nbf": 0, "iat": 0.5}
    assert VERIFIER.verify(signed(HEADER, claims)) == Claims(
        user="😀" * 255, issuer=ISSUER, expires_at=253402300799, token_id="j" * 255, issued_at=0.5
    )


def test_a_token_from_a_clock_that_is_ahead_within_the_leeway_is_taken() -> None:
    assert VERIFIER.verify(signed(HEADER, CLAIMS | {"nbf": NOW + 30, "iat": NOW + 30})).user == "alice"


def test_a_token_expires_at_the_very_second_it_names() -> None:
    token = signed(HEADER, CLAIMS | {"exp": NOW + 60})
    assert verifier(now=NOW + 59.9).verify(token).expires_at == NOW + 60
    for now in (NOW + 60, NOW + 61, NOW + 10**9):
        with pytest.raises(TokenRefused) as caught:
            verifier(now=now).verify(token)
        assert str(caught.value) == "The token has expired."
        assert caught.value.reason == "exp: has passed"


def test_a_token_that_lives_longer_than_tokens_may_is_refused() -> None:
    issuer = Issuer(ISSUER, "chatd", KeySet.from_jwks(SIGNER.public_jwks()))
    strict = TokenVerifier([issuer], leeway=5, max_lifetime=100, clock=lambda: NOW)
    assert strict.verify(signed(HEADER, CLAIMS | {"exp": NOW + 105})).expires_at == NOW + 105
    assert reason_of(signed(HEADER, CLAIMS | {"exp": NOW + 105.5}), strict).startswith("exp: is further away")


def test_that_a_token_has_expired_is_told_of_tokens_that_would_hold_otherwise_alone() -> None:
    expired = CLAIMS | {"exp": NOW - 1}
    assert reason_of(signed(HEADER, expired, OTHER)).startswith("signature")
    assert reason_of(signed(HEADER, expired | {"aud": "other"})).startswith("aud")
    assert reason_of(signed(HEADER, expired | {"nbf": NOW + 100})).startswith("nbf")


def test_no_error_holds_the_token() -> None:
    for claims in (CLAIMS | {"sub": "SECRET\n"}, b'{"SECRET', CLAIMS | {"aud": "SECRET"}, CLAIMS | {"iss": "SECRET"}):
        token = signed(HEADER, claims)
        with pytest.raises(TokenRefused) as caught:
            VERIFIER.verify(token)
        for text in (repr(caught.value), caught.value.reason, repr(vars(caught.value))):
            assert "SECRET" not in text
            assert token[:20] not in text


def test_an_issuer_needs_a_name_and_an_audience_and_is_given_once() -> None:
    keys = KeySet.from_jwks(SIGNER.public_jwks())
    for name, audience in (("", "chatd"), (ISSUER, "")):
        with pytest.raises(ValueError, match="needs a name and an audience"):
            Issuer(name, audience, keys)
    issuer = Issuer(ISSUER, "chatd", keys)
    with pytest.raises(ValueError, match="given twice"):
        TokenVerifier([issuer, issuer], clock=lambda: NOW)


def mint(key: SigningKey, user: str = "alice", **changes: Any) -> str:
    given = {"issuer": ISSUER, "audience": "chatd", "now": NOW, "lifetime": 3600.0, "token_id": "t1"}
    return key.mint(user, **given | changes)


def test_a_minted_token_holds_where_its_key_is_known() -> None:
    key = SigningKey.generate()
    knowing = verifier(keys=KeySet.from_jwks(key.public_jwks()))
    assert knowing.verify(mint(key)) == Claims(
        user="alice", issuer=ISSUER, expires_at=NOW + 3600, token_id="t1", issued_at=NOW
    )
    assert reason_of(mint(key)).startswith("kid")


def test_a_key_that_was_written_and_read_mints_the_same() -> None:
    read = SigningKey.from_jwk(SIGNER.to_jwk())
    assert read.kid == SIGNER.kid
    assert mint(read) == mint(SIGNER)
    assert read.public_jwks() == SIGNER.public_jwks()


def test_the_kid_of_a_key_is_its_thumbprint() -> None:
    """The example of RFC 8037, appendix A.1 and A.3."""
    key = SigningKey(base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="))
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_generated_keys_differ_and_come_from_the_random_source() -> None:
    assert SigningKey.generate().kid != SigningKey.generate().kid
    assert SigningKey.generate(lambda size: bytes(range(size))).kid == SIGNER.kid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "\ud800",
        SIGNER.public_jwks().decode(),
        json.dumps(without(json.loads(SIGNER.to_jwk()), "d")),
        json.dumps(json.loads(SIGNER.to_jwk()) | {"d": 7}),
        json.dumps(json.loads(SIGNER.to_jwk()) | {"d": b64(bytes(31))}),
        json.dumps(json.loads(SIGNER.to_jwk()) | {"d": b64(bytes(32))}),
        json.dumps(json.loads(SIGNER.to_jwk()) | {"kty": "EC"}),
        json.dumps(json.loads(SIGNER.to_jwk()) | {"crv": "X25519"}),
        json.dumps(json.loads(SIGNER.to_jwk()) | {"kid": "other"}),
    ],
)
def test_what_is_no_signing_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(KeySetError, match="a signing key must be") as caught:
        SigningKey.from_jwk(text)
    assert json.loads(SIGNER.to_jwk())["d"][:8] not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"user": "a\n"}, {"user": ""}, {"token_id": ""}, {"now": -9e9}, {"lifetime": 1e300}]
)
def test_nothing_is_minted_that_no_verifier_would_take(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        mint(SIGNER, **changes)


def test_a_signing_key_shows_its_secret_in_to_jwk_alone() -> None:
    secret = json.loads(SIGNER.to_jwk())["d"]
    assert secret not in repr(SIGNER)
    assert secret not in SIGNER.public_jwks().decode()
    assert set(json.loads(SIGNER.public_jwks())["keys"][0]) == {"kty", "crv", "x", "kid", "use", "alg"}


# -- keys that come later, and what an issuer says itself --


def test_before_an_issuers_keys_are_had_there_is_no_verdict_on_its_tokens():
    verifier = TokenVerifier([Issuer(ISSUER, "chatd", None)], clock=lambda: NOW)
    token = signed(HEADER, CLAIMS)
    with pytest.raises(KeysMissing) as caught:
        verifier.verify(token)
    assert (caught.value.retryable, caught.value.issuer) == (True, ISSUER)
    verifier.replace_keys(ISSUER, KeySet.from_jwks(SIGNER.public_jwks()))
    assert verifier.verify(token).user == "alice"


def test_replaced_keys_count_at_once_and_the_old_ones_no_longer():
    verifier = TokenVerifier([Issuer(ISSUER, "chatd", KeySet.from_jwks(SIGNER.public_jwks()))], clock=lambda: NOW)
    verifier.replace_keys(ISSUER, KeySet.from_jwks(OTHER.public_jwks()))
    with pytest.raises(UnknownKey) as caught:
        verifier.verify(signed(HEADER, CLAIMS))
    assert caught.value.issuer == ISSUER
    assert verifier.verify(signed(HEADER | {"kid": OTHER.kid}, CLAIMS, OTHER)).user == "alice"


@pytest.mark.parametrize("times", [{"exp": NOW - 1}, {"nbf": NOW + 999}, {"iat": NOW + 999}])
def test_a_token_is_recognised_whenever_it_holds(times):
    token = signed(HEADER, CLAIMS | times)
    with pytest.raises(TokenRefused):
        VERIFIER.verify(token)
    assert VERIFIER.recognise(token).user == "alice"
    with pytest.raises(TokenRefused):
        VERIFIER.recognise(signed(HEADER, CLAIMS | times, OTHER))


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "openid chatd:revoke"}, {"chatd:revoke"}),
        ({"scp": ["chatd:act"]}, {"chatd:act"}),
        ({"scope": 7, "scp": None}, set()),
        ({"scope": {"chatd:act": True}}, set()),
    ],
)
def test_scopes_are_read_and_odd_ones_are_no_reason_to_refuse(claims, scopes):
    assert VERIFIER.verify(signed(HEADER, CLAIMS | claims)).scopes == scopes


VOUCHED = {"active": True, **CLAIMS}


def test_what_an_issuer_says_of_a_token_is_held_to_the_same_rules():
    claims = VERIFIER.vouched(VOUCHED | {"scope": "chatd:act"}, ISSUER, "chatd")
    assert (claims.user, claims.expires_at, claims.token_id, claims.scopes) == ("alice", NOW + 60, "t1", {"chatd:act"})


@pytest.mark.parametrize(
    "members",
    [
        *(without(VOUCHED, name) for name in ("iss", "aud", "sub", "exp")),
        VOUCHED | {"iss": "https://other.example"},
        VOUCHED | {"aud": "another"},
        VOUCHED | {"exp": NOW},
        VOUCHED | {"nbf": NOW + 999},
        *(VOUCHED | {"sub": name} for name in UNFIT_NAMES),
        *(VOUCHED | {"exp": time} for time in UNFIT_TIMES),
    ],
)
def test_what_it_leaves_out_or_contradicts_makes_no_token(members):
    with pytest.raises(TokenRefused):
        VERIFIER.vouched(members, ISSUER, "chatd")

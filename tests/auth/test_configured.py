"""Tokens checked against configured keys: the real verifier behind the seam."""

import pytest
from zope.interface.verify import verifyObject

from chatd.auth.configured import ConfiguredKeys
from chatd.errors import Unauthorized, Unavailable
from chatd.interfaces.tokens import ITokenReader, ITokenVerifier
from chatd.security.jwks import KeySet
from chatd.security.tokens import Issuer, SigningKey, TokenVerifier
from tests.kit.at_once import at_once

KEY = SigningKey.generate()
ISSUER = "https://auth.example.com"


@pytest.fixture
def verifier() -> ConfiguredKeys:
    issuer = Issuer(ISSUER, "chat", KeySet.from_jwks(KEY.public_jwks()))
    return ConfiguredKeys(TokenVerifier([issuer], leeway=0.0, clock=lambda: 1000.0))


def token(key: SigningKey = KEY, *, now: float = 1000.0) -> str:
    return key.mint("alice", issuer=ISSUER, audience="chat", now=now, lifetime=60.0, token_id="t1")


def test_it_keeps_the_seams(verifier: ConfiguredKeys) -> None:
    assert verifyObject(ITokenVerifier, verifier)
    assert verifyObject(ITokenReader, verifier)


def test_a_token_that_holds_says_who_it_speaks_for(verifier: ConfiguredKeys) -> None:
    claims = at_once(verifier.verify(token(), "phone"))
    assert (claims.user, claims.issuer, claims.expires_at, claims.token_id) == ("alice", ISSUER, 1060.0, "t1")


@pytest.mark.parametrize("bad", [token(SigningKey.generate()), token()[:-2], "", "x"])
def test_one_that_does_not_is_unauthorized_always_in_the_same_words(verifier: ConfiguredKeys, bad: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        at_once(verifier.verify(bad, "phone"))
    assert caught.value.detail == "The token does not hold."


def test_only_of_one_that_would_hold_otherwise_is_it_told_that_it_has_expired(verifier: ConfiguredKeys) -> None:
    with pytest.raises(Unauthorized, match="expired"):
        at_once(verifier.verify(token(now=900.0), "phone"))


class Source:
    """Puts ``keys`` in place when they are missed, or raises."""

    def __init__(self, verifier: TokenVerifier, key: SigningKey | None) -> None:
        self.verifier, self.key, self.missed = verifier, key, 0

    async def missing(self) -> None:
        self.missed += 1
        if self.key is None:
            raise Unavailable
        self.verifier.replace_keys(ISSUER, KeySet.from_jwks(self.key.public_jwks()))


@pytest.mark.parametrize("known", [None, SigningKey.generate()])
def test_a_key_that_is_not_known_is_looked_for_once(known: SigningKey | None) -> None:
    keys = None if known is None else KeySet.from_jwks(known.public_jwks())
    verifier = TokenVerifier([Issuer(ISSUER, "chat", keys)], clock=lambda: 1000.0)
    fresh = SigningKey.generate()
    source = Source(verifier, None)
    tokens = ConfiguredKeys(verifier, {ISSUER: source})
    with pytest.raises(Unavailable):
        at_once(tokens.verify(token(fresh), "phone"))
    source.key = fresh
    assert at_once(tokens.verify(token(fresh), "phone")).user == "alice"
    assert at_once(tokens.recognise(token(fresh))).user == "alice"
    assert source.missed == 2
    for _ in range(2):
        with pytest.raises(Unauthorized, match="does not hold"):
            at_once(tokens.verify(token(SigningKey.generate()), "phone"))
    assert source.missed == 4

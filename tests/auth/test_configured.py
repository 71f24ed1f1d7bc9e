"""Tokens checked against configured keys: the real verifier behind the seam."""

import pytest
from zope.interface.verify import verifyObject

from chatd.auth.configured import ConfiguredKeys
from chatd.errors import Unauthorized
from chatd.interfaces import ITokenVerifier
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


def test_it_keeps_the_seam(verifier: ConfiguredKeys) -> None:
    assert verifyObject(ITokenVerifier, verifier)


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

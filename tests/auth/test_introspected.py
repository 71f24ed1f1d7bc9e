"""What holds by itself is taken if its issuer stands by it; what says nothing itself is taken on its issuer's word."""

import pytest
from zope.interface.verify import verifyObject

from chatd.auth.configured import ConfiguredKeys
from chatd.auth.introspected import IntrospectedTokens
from chatd.errors import Unauthorized
from chatd.interfaces.tokens import ITokenReader, ITokenVerifier
from chatd.records.tokens import Claims
from chatd.security.jwks import KeySet
from chatd.security.tokens import Issuer, SigningKey, TokenVerifier
from chatd.state.verdicts import Verdict
from tests.kit.at_once import at_once

ISSUER, NOW = "https://a", 1000.0
KEY = SigningKey(bytes(32))


class Introspection:
    """Says of tokens what ``verdicts`` has for them, and of others that they are not active."""

    def __init__(self, opaque):
        self.opaque, self.verdicts, self.asked = opaque, {}, []

    async def verdict(self, token):
        self.asked.append(token.reveal())
        return self.verdicts.get(token.reveal(), Verdict(active=False, at=0.0))


class World:
    def __init__(self, *, opaque=True, asked=True):
        self.now = NOW
        verifier = TokenVerifier([Issuer(ISSUER, "chat", KeySet.from_jwks(KEY.public_jwks()))], clock=lambda: self.now)
        self.introspection = Introspection(opaque)
        introspections = {ISSUER: self.introspection} if asked else {}
        self.tokens = IntrospectedTokens(ConfiguredKeys(verifier), introspections, lambda: self.now)

    def jwt(self, lifetime=60.0):
        return KEY.mint("alice", issuer=ISSUER, audience="chat", now=NOW, lifetime=lifetime, token_id="t1")

    def say(self, token, user=None, claims=None):
        self.introspection.verdicts[token] = Verdict(active=True, at=0.0, user=user, claims=claims)

    def verify(self, token):
        return at_once(self.tokens.verify(token, "phone"))

    def refusal(self, token):
        with pytest.raises(Unauthorized) as caught:
            self.verify(token)
        return caught.value.detail


def test_it_keeps_the_seams():
    assert verifyObject(ITokenVerifier, World().tokens)
    assert verifyObject(ITokenReader, World().tokens)


def test_a_jwt_is_asked_about_and_remembered_for_the_next_time():
    world = World()
    token = world.jwt()
    world.say(token, user="alice")
    claims = world.verify(token)
    assert (claims.user, claims.token_id, claims.shown.reveal()) == ("alice", "t1", token)
    assert world.introspection.asked == [token]


def test_nobody_is_asked_about_a_jwt_that_does_not_hold_or_whose_issuer_need_not_be():
    world = World()
    assert world.refusal(world.jwt()[:-4]) == "The token does not hold."
    assert world.refusal("a.b.c") == "The token does not hold."
    assert world.introspection.asked == []
    world = World(asked=False)
    assert world.verify(world.jwt()).shown is None


def test_what_its_issuer_no_longer_stands_by_is_refused():
    world = World()
    token = world.jwt()
    assert world.refusal(token) == "The token has been revoked."
    world.say(token, user="mallory")
    assert world.refusal(token) == "The token does not hold."


def test_an_opaque_token_is_taken_on_its_issuers_word_until_its_end():
    world = World()
    claims = Claims(user="bob", issuer=ISSUER, expires_at=NOW + 10, token_id="t2")
    world.say("opaque", claims=claims)
    taken = world.verify("opaque")
    assert (taken.user, taken.token_id, taken.shown.reveal()) == ("bob", "t2", "opaque")
    world.now += 10
    assert world.refusal("opaque") == "The token has expired."
    assert at_once(world.tokens.recognise("opaque")).user == "bob"


def test_an_opaque_token_without_a_name_is_named_by_its_digest():
    world = World()
    for token in ("one", "two"):
        world.say(token, claims=Claims(user="bob", issuer=ISSUER, expires_at=NOW + 10))
    names = [world.verify(token).token_id for token in ("one", "two", "one")]
    assert names[0] == names[2] != names[1]
    assert names[0].startswith("sha256:")


@pytest.mark.parametrize("token", ["", "with space", "a\0", "=", "ä", "x" * 8193, "a.b", "a.b.c.d", "unknown"])
def test_what_is_neither_is_refused(token):
    world = World()
    assert world.refusal(token) == "The token does not hold."
    asked = {"a.b", "a.b.c.d", "unknown"}
    assert world.introspection.asked == ([token] if token in asked else [])


def test_an_answer_that_makes_no_token_is_none():
    world = World()
    world.say("opaque", user="bob")
    assert world.refusal("opaque") == "The token does not hold."


def test_where_no_issuer_has_opaque_tokens_nobody_is_asked_about_them():
    world = World(opaque=False)
    assert world.refusal("opaque") == "The token does not hold."
    assert world.introspection.asked == []


def test_a_jwt_is_recognised_after_its_end_and_without_asking():
    world = World()
    token = world.jwt()
    world.now += 1000
    assert world.refusal(token) == "The token has expired."
    assert at_once(world.tokens.recognise(token)).token_id == "t1"
    with pytest.raises(Unauthorized):
        at_once(world.tokens.recognise(token[:-4]))
    assert world.introspection.asked == []

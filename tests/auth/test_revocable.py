"""Tokens that hold are taken until they are revoked."""

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from chatd.auth.revocable import PATIENCE_SECONDS, RevocableTokens
from chatd.errors import Unauthorized, Unavailable
from chatd.interfaces.tokens import ITokenVerifier
from chatd.records.devices import Revocation
from chatd.records.tokens import Claims
from chatd.state.revocations import Revocations
from tests.kit.at_once import at_once, watch


class Verifier:
    """Takes "good", and nothing else."""

    async def verify(self, token, device):
        if token != "good":
            raise Unauthorized
        return Claims(user="alice", issuer="i", expires_at=1e9, token_id="t1", issued_at=100.0)


@pytest.fixture
def revocations():
    return Revocations()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(revocations, clock):
    return RevocableTokens(Verifier(), revocations, clock)


def test_it_keeps_the_seam(tokens):
    assert verifyObject(ITokenVerifier, tokens)


def test_tokens_wait_until_the_revocations_are_known(tokens, revocations):
    good, revoked = watch(tokens.verify("good", "phone")), watch(tokens.verify("good", "tablet"))
    with pytest.raises(Unauthorized):
        at_once(tokens.verify("bad", "phone"))
    assert not good.ended
    revocations.learn([Revocation(user="alice", device="tablet", issued_until=100.0, kept_until=1e9)])
    assert good.result.user == "alice"
    assert isinstance(revoked.error, Unauthorized)


def test_where_that_takes_long_nothing_is_taken_and_they_may_try_again(tokens, revocations, clock):
    waiting = watch(tokens.verify("good", "phone"))
    clock.advance(PATIENCE_SECONDS)
    assert isinstance(waiting.error, Unavailable)
    revocations.learn([])
    assert at_once(tokens.verify("good", "phone")).user == "alice"


def test_a_revoked_token_is_refused_and_only_of_one_that_would_hold_is_it_told(tokens, revocations):
    revocations.learn([Revocation(user="alice", device="phone", issued_until=100.0, kept_until=1e9)])
    with pytest.raises(Unauthorized, match=r"The token has been revoked\."):
        at_once(tokens.verify("good", "phone"))
    with pytest.raises(Unauthorized, match=r"The token is missing or does not hold\."):
        at_once(tokens.verify("bad", "phone"))
    assert at_once(tokens.verify("good", "tablet")).user == "alice"

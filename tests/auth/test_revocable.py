"""Tokens that hold are taken until they are revoked."""

import pytest
from zope.interface.verify import verifyObject

from chatd.auth.revocable import RevocableTokens
from chatd.devices import Revocation
from chatd.errors import Unauthorized, Unavailable
from chatd.interfaces import ITokenVerifier
from chatd.records import Claims
from chatd.state.revocations import Revocations
from tests.kit.at_once import at_once


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
def tokens(revocations):
    return RevocableTokens(Verifier(), revocations)


def test_it_keeps_the_seam(tokens):
    assert verifyObject(ITokenVerifier, tokens)


def test_nothing_is_taken_before_the_revocations_are_known(tokens, revocations):
    with pytest.raises(Unavailable):
        at_once(tokens.verify("good", "phone"))
    with pytest.raises(Unauthorized):
        at_once(tokens.verify("bad", "phone"))
    revocations.learn([])
    assert at_once(tokens.verify("good", "phone")).user == "alice"


def test_a_revoked_token_is_refused_and_only_of_one_that_would_hold_is_it_told(tokens, revocations):
    revocations.learn([Revocation(user="alice", device="phone", issued_until=100.0, kept_until=1e9)])
    with pytest.raises(Unauthorized, match=r"The token has been revoked\."):
        at_once(tokens.verify("good", "phone"))
    with pytest.raises(Unauthorized, match=r"The token is missing or does not hold\."):
        at_once(tokens.verify("bad", "phone"))
    assert at_once(tokens.verify("good", "tablet")).user == "alice"

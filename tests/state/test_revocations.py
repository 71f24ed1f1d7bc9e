"""Which tokens a worker takes no longer."""

import pytest

from chatd.records.devices import Revocation
from chatd.records.tokens import Claims
from chatd.state.revocations import Revocations


def claims(token_id="t1", issued_at=100.0, user="alice"):
    return Claims(user=user, issuer="i", expires_at=1e9, token_id=token_id, issued_at=issued_at)


def revocation(**fields):
    return Revocation(**({"user": "alice", "issued_until": 100.0, "kept_until": 1000.0} | fields))


@pytest.fixture
def revocations():
    return Revocations()


def test_a_token_by_its_id_whatever_device_shows_it(revocations):
    revocations.learn([revocation(token_id="t1")])
    assert revocations.revoked(claims("t1"), "phone")
    assert revocations.revoked(claims("t1", issued_at=500.0), "tablet")
    assert not revocations.revoked(claims("t2"), "phone")
    assert not revocations.revoked(claims(None), "phone")
    assert not revocations.revoked(claims("t1", user="bob"), "phone")


def test_what_one_device_shows_if_it_was_issued_until_then(revocations):
    revocations.learn([revocation(device="phone")])
    assert revocations.revoked(claims(issued_at=100.0), "phone")
    assert not revocations.revoked(claims(issued_at=100.5), "phone")
    assert not revocations.revoked(claims(issued_at=100.0), "tablet")
    assert not revocations.revoked(claims(issued_at=100.0, user="bob"), "phone")


def test_everything_that_was_issued_until_then_but_for_one_that_is_spared(revocations):
    revocations.learn([revocation(spared="mine")])
    assert revocations.revoked(claims("t1"), "phone")
    assert revocations.revoked(claims(None), "phone")
    assert not revocations.revoked(claims("mine"), "phone")
    assert not revocations.revoked(claims("t1", issued_at=101.0), "phone")
    assert not revocations.revoked(claims("t1", user="bob"), "phone")
    revocations.learn([revocation(issued_until=200.0)])
    assert revocations.revoked(claims("mine"), "phone")


def test_a_token_that_does_not_say_when_it_was_issued_is_older_than_anything(revocations):
    revocations.learn([revocation(device="phone"), revocation(user="bob")])
    assert revocations.revoked(claims(issued_at=None), "phone")
    assert revocations.revoked(claims(issued_at=None, user="bob"), "phone")


def test_only_those_are_concerned_of_whom_something_is_new(revocations):
    assert not revocations.known
    first = [revocation(token_id="t1"), revocation(user="bob")]
    assert revocations.learn(first) == {"alice", "bob"}
    assert revocations.learn(first) == set()
    assert revocations.learn([*first, revocation(user="bob", issued_until=101.0)]) == {"bob"}
    assert revocations.learn([]) == set()
    assert revocations.known


def test_what_refuses_nothing_any_more_is_let_go(revocations):
    revocations.learn([revocation(token_id="t1"), revocation(device="phone", kept_until=999.0), revocation(user="bob")])
    revocations.forget(999.5)
    assert len(revocations) == 2
    assert not revocations.revoked(claims("t2"), "phone")
    revocations.forget(1001.0)
    assert len(revocations) == 0

"""Workers share what an auth service stands by, for no longer than one of them may believe it."""

import pytest

from chatd.auth.configured import ConfiguredKeys
from chatd.auth.introspected import IntrospectedTokens
from chatd.auth.introspection import Introspection
from chatd.auth.revocable import RevocableTokens
from chatd.records.devices import Revocation
from chatd.records.tokens import Claims, ShownToken
from chatd.security.tokens import TokenRefused, TokenVerifier
from chatd.state.revocations import Revocations
from chatd.state.shared_verdicts import SharedVerdicts, Vouched
from chatd.state.verdicts import Verdicts
from tests.auth.test_introspection import EVERY, STALE, TOKEN, Service, told
from tests.kit.at_once import at_once
from tests.kit.shelves import Shelves

EVERYTHING = Claims(
    user="alice",
    issuer="https://a",
    expires_at=1e9,
    token_id="t1",
    issued_at=1e8,
    name="Alice",
    picture="https://a/p.png",
    scopes=frozenset({"chat:admin"}),
)


class Worker(Service):
    """One of those that share a cache."""

    def __init__(self, shelves, *, context="a", opaque=False):
        super().__init__(opaque=opaque)
        self.clock = shelves.clock
        settings = self.introspection._settings
        shelf = shelves.make(Vouched, use="verdicts", seconds=EVERY)
        self.introspection = Introspection(
            "https://a",
            settings,
            self,
            self.vouch,
            Verdicts(100),
            self.clock,
            max_staleness=STALE,
            jitter=lambda: 1.0,
            shared=SharedVerdicts(shelf, context),
        )

    def vouch(self, members):
        return EVERYTHING


@pytest.fixture
def shelves():
    return Shelves()


def test_one_question_is_enough_for_all(shelves):
    one, other = Worker(shelves), Worker(shelves)
    assert one.ask().active
    shelves.clock.advance(EVERY / 2)
    verdict = other.ask()
    assert (verdict.active, verdict.user, verdict.claims) == (True, "alice", None)
    assert (len(one.asked), len(other.asked)) == (1, 0)


def test_what_was_shared_counts_from_when_it_was_said(shelves):
    one, other = Worker(shelves), Worker(shelves)
    one.ask()
    shelves.clock.advance(EVERY - 1)
    other.ask()
    shelves.clock.advance(1)
    other.says = told(active=False)
    assert not other.ask().active
    assert len(other.asked) == 1


def test_an_opaque_token_is_vouched_for_in_full(shelves):
    one, other = Worker(shelves, opaque=True), Worker(shelves, opaque=True)
    assert one.ask().claims == other.ask().claims == EVERYTHING
    assert other.asked == []


def test_of_a_bad_token_every_worker_hears_itself(shelves):
    one, other = Worker(shelves), Worker(shelves)
    one.says = other.says = told(active=False)
    assert not one.ask().active
    assert not other.ask().active
    assert (len(one.asked), len(other.asked)) == (1, 1)
    assert shelves.cache.values == {}


def test_a_token_that_has_become_bad_is_no_longer_shared(shelves):
    one, other, third = Worker(shelves), Worker(shelves), Worker(shelves)
    one.ask()
    shelves.clock.advance(EVERY)
    other.ask()
    one.says = third.says = told(active=False)
    shelves.cache.away = True
    assert not one.ask().active
    shelves.cache.away = False
    assert not third.ask().active, "the first one has taken it back"


@pytest.mark.parametrize("context", ["b", "a "])
def test_what_was_said_to_others_does_not_count(shelves, context):
    """Another issuer or audience."""
    one, other = Worker(shelves), Worker(shelves, context=context)
    one.ask()
    other.says = told(active=False)
    assert not other.ask().active


def test_nothing_of_the_token_rests_in_the_cache(shelves):
    Worker(shelves).ask()
    [[name, value]] = shelves.cache.values.items()
    for secret in (TOKEN.digest, TOKEN.digest.hex().encode(), b"alice"):
        assert secret not in value
        assert secret not in name.encode()


def test_a_verdict_of_another_token_does_not_count(shelves):
    one, other = Worker(shelves), Worker(shelves)
    one.ask()
    [value] = shelves.cache.values.values()
    one.ask(ShownToken("u"))
    for name in shelves.cache.values:
        shelves.cache.put(name, value, 60)
    other.says = told(active=False)
    verdicts = [at_once(other.introspection.verdict(ShownToken(text))).active for text in "tu"]
    assert verdicts == [True, False]


def test_what_was_revoked_here_is_refused_at_once_whatever_the_others_were_told(shelves):
    one, other = Worker(shelves, opaque=True), Worker(shelves, opaque=True)
    revocations = Revocations()
    revocations.learn([])
    keys = ConfiguredKeys(TokenVerifier([], leeway=0, max_lifetime=1e9, clock=lambda: 5e8))
    introspected = IntrospectedTokens(keys, {"https://a": other.introspection}, lambda: 5e8)
    tokens = RevocableTokens(introspected, revocations, shelves.clock)
    one.ask(ShownToken("opaque"))
    assert at_once(tokens.verify("opaque", "phone")).user == "alice"
    assert other.asked == []
    revocations.learn([Revocation(user="alice", token_id="t1", issued_until=0.0, kept_until=1e9)])
    with pytest.raises(TokenRefused):
        at_once(tokens.verify("opaque", "phone"))

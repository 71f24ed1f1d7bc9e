"""An issuer is asked about a token as seldom as is right, by one at a time, and not at all while it is down."""

import json

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.auth import introspection as module
from chatd.auth.introspection import AT_ONCE, RETRY_SECONDS, Introspection
from chatd.auth.outbound import Answer, AuthServiceFailed
from chatd.errors import Overloaded, Unavailable
from chatd.records.tokens import Claims, ShownToken
from chatd.security.breaker import LIMIT, State
from chatd.security.tokens import TokenRefused
from chatd.settings.base import Secret
from chatd.settings.issuers import IntrospectionSettings
from chatd.state.verdicts import Verdicts
from tests.kit.at_once import at_once, watch

EVERY, STALE = 10.0, 60.0
TOKEN = ShownToken("t")
SETTINGS = IntrospectionSettings(
    url="https://a/introspect", client_id="chatd", client_secret=Secret("s"), every_seconds=EVERY
)


def told(**members):
    return Answer(body=json.dumps(members).encode(), cache_control="")


class Service:
    """Answers by ``says``: an Answer, an error, or a Deferred; or a list of those, one after the other."""

    def __init__(self, *, opaque=False):
        self.clock, self.asked, self.says = Clock(), [], told(active=True, sub="alice")
        settings = IntrospectionSettings(
            url=SETTINGS.url,
            client_id=SETTINGS.client_id,
            client_secret=SETTINGS.client_secret,
            every_seconds=EVERY,
            opaque=opaque,
        )
        self.introspection = Introspection(
            "https://a", settings, self, self.vouch, Verdicts(100), self.clock, max_staleness=STALE, jitter=lambda: 1.0
        )

    def vouch(self, members):
        if "sub" not in members:
            raise TokenRefused("claims")
        return Claims(user=members["sub"], issuer="https://a", expires_at=1e9)

    async def post(self, url, form, *, user, password, timeout):
        self.asked.append((url, form["token"], user, password))
        says = self.says.pop(0) if isinstance(self.says, list) else self.says
        if isinstance(says, Exception):
            raise says
        return await says if isinstance(says, Deferred) else says

    def ask(self, token=TOKEN):
        return at_once(self.introspection.verdict(token))

    def fail(self, token=TOKEN):
        """Ask in vain, the second attempt included."""
        asking = watch(self.introspection.verdict(token))
        self.clock.advance(RETRY_SECONDS[1])
        assert isinstance(asking.error, Unavailable)
        return asking.error


@pytest.fixture
def service():
    return Service()


def test_a_verdict_counts_for_a_while(service):
    verdict = service.ask()
    assert (verdict.active, verdict.user, verdict.claims) == (True, "alice", None)
    service.clock.advance(EVERY - 1)
    assert service.ask() is verdict
    assert service.asked == [("https://a/introspect", "t", "chatd", "s")]
    service.clock.advance(1)
    service.says = told(active=False)
    assert not service.ask().active
    service.clock.advance(EVERY - 1)
    assert not service.ask().active
    assert len(service.asked) == service.introspection.questions == 2


def test_whoever_asks_meanwhile_shares_the_answer(service):
    service.says = Deferred()
    asking = [watch(service.introspection.verdict(ShownToken(text))) for text in ("t", "t", "t", "u")]
    assert [token for _, token, _, _ in service.asked] == ["t", "u"]
    service.says.callback(told(active=True))
    assert [one.ended for one in asking][:3] == [True] * 3
    assert asking[0].result is asking[1].result is asking[2].result


def test_only_so_many_questions_are_under_way_and_wait(service, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    service.says = [Deferred() for _ in range(AT_ONCE + 3)]
    answers = list(service.says)
    asking = [watch(service.introspection.verdict(ShownToken(str(n)))) for n in range(AT_ONCE + 3)]
    assert len(service.asked) == AT_ONCE
    with pytest.raises(Overloaded):
        service.ask(ShownToken("one more"))
    shared = watch(service.introspection.verdict(ShownToken("0")))
    for answer in answers:
        answer.callback(told(active=True))
    assert all(one.result.active for one in [*asking, shared])


@pytest.mark.parametrize("nonsense", [b"", b"<html>", b"[]", b"{}", b'{"active": "true"}', b'{"active": 1}', b"true"])
def test_nonsense_is_no_verdict(nonsense, service):
    service.says = Answer(body=nonsense, cache_control="")
    error = service.fail()
    assert error.retryable
    assert error.retry_after_ms >= 1000
    assert service.introspection.known(TOKEN) is None
    assert service.introspection.failures == 2


def test_a_question_is_put_once_more(service):
    service.says = [AuthServiceFailed("cut"), told(active=True)]
    asking = watch(service.introspection.verdict(TOKEN))
    assert not asking.ended
    service.clock.advance(RETRY_SECONDS[1])
    assert asking.result.active


def test_while_it_is_down_a_good_verdict_counts_until_it_is_too_old(service):
    service.ask()
    service.says = AuthServiceFailed("down")
    service.clock.advance(EVERY)
    asking = watch(service.introspection.verdict(TOKEN))
    service.clock.advance(RETRY_SECONDS[1])
    assert asking.result.active
    service.fail(ShownToken("somebody new"))
    service.clock.advance(STALE)
    service.fail()


def test_a_bad_verdict_counts_no_longer_than_others(service):
    service.says = told(active=False)
    service.ask()
    service.clock.advance(EVERY)
    service.says = AuthServiceFailed("down")
    service.fail()


def test_while_it_is_down_it_is_left_alone(service):
    service.says = AuthServiceFailed("down")
    for n in range(LIMIT):
        watch(service.introspection.verdict(ShownToken(str(n))))
    assert service.introspection.breaker.state is State.OPEN
    asked = len(service.asked)
    for n in range(100):
        with pytest.raises(Unavailable):
            service.ask(ShownToken(f"new {n}"))
    assert len(service.asked) == asked
    service.clock.advance(RETRY_SECONDS[1])
    assert len(service.asked) == asked
    service.clock.advance(60)
    service.says = told(active=True)
    assert service.ask().active
    assert service.introspection.breaker.state is State.CLOSED


def test_what_it_says_of_an_opaque_token_is_judged():
    service = Service(opaque=True)
    assert service.ask().claims.user == "alice"
    service.says = told(active=True)
    verdict = service.ask(ShownToken("u"))
    assert (verdict.active, verdict.claims, verdict.user) == (True, None, None)


def test_the_token_shows_itself_to_nobody_else():
    assert "secret" not in repr(Claims(user="a", issuer="b", expires_at=1.0, shown=ShownToken("secret")))

"""Living tokens are asked about again in time, and their connections end when nobody stands by them any more."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.errors import CloseCode, Unavailable
from chatd.records.tokens import Claims, ShownToken
from chatd.state.verdicts import Verdict
from chatd.workers.introspection_watch import AT_ONCE, LOOK_SECONDS, IntrospectionWatch
from chatd.workers.rhythm import Rhythm

ISSUER, EVERY, STALE = "https://a", 10.0, 60.0


class Introspection:
    """Verdicts count for EVERY seconds; ``says`` is a Verdict's ``active``, an error, or Deferreds to wait for."""

    issuer = ISSUER

    class Breaker:
        refusing = False

    def __init__(self, clock):
        self.clock, self.verdicts, self.says, self.asked, self.breaker = clock, {}, True, [], self.Breaker()

    def known(self, token):
        return self.verdicts.get(token.digest)

    def counts(self, verdict):
        return self.clock.seconds() - verdict.at < EVERY

    def outdated(self, verdict):
        return self.clock.seconds() - verdict.at > STALE

    async def verdict(self, token):
        self.asked.append(token.reveal())
        says = self.says.pop(0) if isinstance(self.says, list) else self.says
        if isinstance(says, Deferred):
            says = await says
        if isinstance(says, Exception):
            raise says
        verdict = self.verdicts[token.digest] = Verdict(active=says, at=self.clock.seconds())
        return verdict


class World:
    def __init__(self):
        self.clock, self.living, self.ended = Clock(), {}, []
        self.introspection = Introspection(self.clock)
        self.rhythm = Rhythm(self.clock, lambda error: pytest.fail(repr(error)))
        IntrospectionWatch({ISSUER: self.introspection}, lambda: list(self.living.values()), self.end, self.rhythm)

    def connect(self, *names, issuer=ISSUER, shown=True):
        for name in names:
            token = ShownToken(name)
            self.living[token.digest] = Claims(user=name, issuer=issuer, expires_at=1e9, shown=token if shown else None)
            self.introspection.verdicts[token.digest] = Verdict(active=True, at=self.clock.seconds())

    def end(self, digests, code, reason):
        for digest in digests:
            self.ended.append((self.living.pop(digest).user, code))

    def pass_time(self, seconds):
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.clock.advance(LOOK_SECONDS)


@pytest.fixture
def world():
    world = World()
    world.rhythm.startService()
    yield world
    world.rhythm.stopService()
    assert world.clock.getDelayedCalls() == []


def test_living_tokens_are_asked_about_in_their_interval(world):
    world.connect("alice")
    world.pass_time(EVERY - LOOK_SECONDS)
    assert world.introspection.asked == []
    world.pass_time(LOOK_SECONDS)
    assert world.introspection.asked == ["alice"]
    world.pass_time(2 * EVERY)
    assert world.introspection.asked == ["alice"] * 3
    assert world.ended == []


def test_what_is_not_introspected_is_left_alone(world):
    world.connect("alice", shown=False)
    world.connect("bob", issuer="https://b")
    world.pass_time(2 * EVERY)
    assert world.introspection.asked == []


def test_a_token_that_is_no_longer_active_ends_its_connections(world):
    world.connect("alice")
    world.introspection.says = False
    world.pass_time(EVERY)
    assert world.ended == [("alice", CloseCode.TOKEN_REVOKED)]


def test_so_it_does_if_somebody_else_has_found_out(world):
    world.connect("alice")
    [digest] = world.living
    world.introspection.verdicts[digest] = Verdict(active=False, at=0.0)
    world.pass_time(LOOK_SECONDS)
    assert world.ended == [("alice", CloseCode.TOKEN_REVOKED)]
    assert world.introspection.asked == []


def test_where_no_verdict_is_to_be_had_any_more_they_come_back_later(world):
    world.connect("alice")
    world.introspection.says = Unavailable()
    world.pass_time(EVERY)
    assert world.ended == [("alice", CloseCode.TRY_AGAIN_LATER)]


def test_while_the_service_is_left_alone_they_go_on_until_the_last_word_is_too_old(world):
    world.connect("alice")
    world.introspection.breaker.refusing = True
    world.pass_time(STALE)
    assert (world.ended, world.introspection.asked) == ([], [])
    world.pass_time(LOOK_SECONDS)
    assert world.ended == [("alice", CloseCode.TRY_AGAIN_LATER)]


def test_many_are_asked_about_a_few_at_once_the_longest_unasked_first(world):
    names = [f"user-{n:02}" for n in range(3 * AT_ONCE)]
    world.connect(*names[1:])
    world.clock.advance(0)
    world.living = dict(reversed(world.living.items()))
    world.connect(names[0])
    first = ShownToken(names[0])
    world.introspection.verdicts[first.digest] = Verdict(active=True, at=-1.0)
    answers = [Deferred() for _ in names]
    world.introspection.says = list(answers)
    world.pass_time(EVERY)
    assert len(world.introspection.asked) == AT_ONCE
    assert world.introspection.asked[0] == names[0]
    world.pass_time(EVERY)
    assert len(world.introspection.asked) == AT_ONCE
    for n, answer in enumerate(answers[:-AT_ONCE], 1):
        answer.callback(True)
        assert len(world.introspection.asked) == AT_ONCE + n
    assert sorted(world.introspection.asked) == names
    for answer in answers[-AT_ONCE:]:
        answer.callback(True)


def test_what_was_not_foreseen_ends_neither_the_watch_nor_a_connection(world):
    world.connect("alice")
    world.introspection.says = [ZeroDivisionError(), True]
    world.pass_time(EVERY)
    assert world.introspection.asked == ["alice"]
    world.pass_time(LOOK_SECONDS)
    assert world.introspection.asked == ["alice"] * 2
    assert world.ended == []


def test_without_introspection_nothing_is_looked_at():
    clock = Clock()
    rhythm = Rhythm(clock, lambda error: pytest.fail(repr(error)))
    IntrospectionWatch({}, lambda: pytest.fail("asked"), lambda *given: None, rhythm)
    rhythm.startService()
    clock.advance(10)
    rhythm.stopService()
    assert clock.getDelayedCalls() == []

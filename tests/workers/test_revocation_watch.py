"""Revocations reach a worker by a signal or by looking, whichever comes first, and whatever the database does."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.errors import Unavailable
from chatd.records.devices import Revocation, TokensRevoked
from chatd.state.exchange import Exchange
from chatd.state.revocations import Revocations
from chatd.workers.revocation_watch import LOOK_BACK_SECONDS, LOOK_SECONDS, PRUNE_SECONDS, RevocationWatch
from chatd.workers.rhythm import Rhythm


def revocation(user):
    return Revocation(user=user, issued_until=0.0, kept_until=1e4)


class Store:
    """Revocations as the database would tell them. ``answers`` come first: errors, or Deferreds to wait for."""

    def __init__(self):
        self.kept, self.lately, self.asked, self.answers, self.pruned = [], [], [], [], 0

    async def revocations(self, within=None):
        self.asked.append(within)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            await answer
        return self.kept if within is None else self.lately

    async def prune(self):
        self.pruned += 1


class World:
    def __init__(self):
        self.clock, self.store, self.revocations, self.told = Clock(), Store(), Revocations(), []
        self.exchange = Exchange(lambda error: pytest.fail(str(error)))
        self.failed = []
        self.rhythm = Rhythm(self.clock, self.failed.append)
        self.ahead = 0.0
        RevocationWatch(self.store, self.revocations, self.exchange, self.rhythm, self.wall_clock, self.told.append)

    def wall_clock(self):
        return self.clock.seconds() + self.ahead


@pytest.fixture
def world():
    world = World()
    yield world
    world.rhythm.stopService()


def test_at_the_start_everything_is_read_then_what_is_new(world):
    world.store.kept = [revocation("alice")]
    world.store.lately = [revocation("alice"), revocation("bob")]
    assert not world.revocations.known
    world.rhythm.startService()
    assert (world.revocations.known, world.told) == (True, [{"alice"}])
    world.clock.advance(LOOK_SECONDS)
    assert (world.store.asked, world.told) == ([None, LOOK_BACK_SECONDS], [{"alice"}, {"bob"}])
    world.clock.advance(LOOK_SECONDS)
    assert world.told == [{"alice"}, {"bob"}]


def test_a_signal_is_looked_into_at_once(world):
    world.rhythm.startService()
    world.store.lately = [revocation("alice")]
    world.exchange.heed(TokensRevoked())
    assert world.told == [{"alice"}]


def test_signals_during_a_look_are_answered_by_one_more(world):
    world.rhythm.startService()
    slow = Deferred()
    world.store.answers = [slow]
    for _ in range(3):
        world.exchange.heed(TokensRevoked())
    assert len(world.store.asked) == 2
    slow.callback(None)
    assert len(world.store.asked) == 3


def test_after_an_outage_everything_is_read_again(world):
    world.rhythm.startService()
    world.store.answers = [Unavailable(), Unavailable()]
    world.store.kept = [revocation("alice")]
    world.clock.pump([LOOK_SECONDS] * 4)
    assert world.store.asked == [None, LOOK_BACK_SECONDS, None, None, LOOK_BACK_SECONDS]
    assert world.told == [{"alice"}]


def test_a_worker_that_stood_still_reads_everything_again(world):
    """Its connections may have lived on, and what was revoked meanwhile is older than a look goes back."""
    world.rhythm.startService()
    world.clock.advance(LOOK_SECONDS)
    world.store.kept = [revocation("alice")]
    world.clock.advance(2 * LOOK_BACK_SECONDS)
    assert world.told == [{"alice"}]
    world.clock.advance(LOOK_SECONDS)
    assert world.store.asked == [None, LOOK_BACK_SECONDS, None, LOOK_BACK_SECONDS]


def test_a_defect_is_told_and_does_not_end_the_watch(world):
    world.rhythm.startService()
    defect = LookupError("a defect")
    world.store.answers = [defect]
    world.clock.pump([LOOK_SECONDS] * 2)
    assert world.failed == [defect]
    assert world.store.asked == [None, LOOK_BACK_SECONDS, None]


def test_what_has_expired_is_let_go_now_and_then(world):
    world.store.kept = [revocation("alice")]
    world.rhythm.startService()
    world.clock.advance(PRUNE_SECONDS)
    assert (world.store.pruned, len(world.revocations)) == (0, 1)
    world.clock.advance(2e4)
    assert (world.store.pruned, len(world.revocations)) == (1, 0)


def test_a_clock_that_is_set_forward_for_a_while_lets_no_revoked_token_in_again(world):
    world.store.kept = [revocation("alice")]
    world.rhythm.startService()
    world.ahead = 7000.0
    world.clock.advance(PRUNE_SECONDS + LOOK_SECONDS)
    assert (world.store.pruned, len(world.revocations)) == (1, 1)


def test_stopping_is_no_error_before_it_has_begun(world):
    world.rhythm.stopService()
    world.rhythm.startService()
    world.rhythm.stopService()
    world.clock.advance(10 * LOOK_SECONDS)
    assert world.store.asked == [None]

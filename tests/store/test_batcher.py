"""Group commit: batches, their order, and who is told what."""

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from chatd.errors import Internal, OutcomeUnknown, Overloaded, Unavailable
from chatd.store.batcher import Batcher
from chatd.store.refusals import Refused


class Committing:
    """A commit that waits until the test ends it; the items of each batch so far in ``batches``."""

    def __init__(self):
        self.batches = []
        self.unforeseen = []
        self._ends = []

    async def commit(self, batch):
        self.batches.append([waiting.item for waiting in batch])
        end = Deferred()
        self._ends.append(end)
        await end
        for waiting in batch:
            waiting.settle(waiting.item.upper())

    def end(self):
        self._ends.pop(0).callback(None)

    def fail(self, error):
        self._ends.pop(0).errback(error)

    def batcher(self, max_waiting=100, **settings):
        return Batcher(self.commit, max_waiting=max_waiting, failed=self.unforeseen.append, **settings)


def failure_of(refused):
    found = []
    refused.addErrback(lambda failure: found.append(failure.value))
    return found[0]


@pytest.fixture
def committing():
    return Committing()


def outcome(deferred):
    """What a Deferred gave by now, or the type of the error that it failed with."""
    seen = []
    deferred.addBoth(seen.append)
    return next((type(one.value) if isinstance(one, Failure) else one for one in seen), None)


def test_a_lone_item_is_committed_at_once(committing):
    result = committing.batcher().submit("a")
    assert committing.batches == [["a"]]
    committing.end()
    assert outcome(result) == "A"


def test_what_arrives_during_a_commit_is_the_next_batch_in_its_order(committing):
    batcher = committing.batcher()
    results = [batcher.submit(item) for item in "abcd"]
    assert (committing.batches, batcher.waiting) == ([["a"]], 3)
    committing.end()
    assert (committing.batches, batcher.waiting) == ([["a"], ["b", "c", "d"]], 0)
    results.append(batcher.submit("e"))
    assert not any(result.called for result in results[1:])
    committing.end()
    committing.end()
    assert [outcome(result) for result in results] == [*"ABCDE"]
    assert committing.batches[2:] == [["e"]]


def test_batches_are_bounded_and_keep_the_order(committing):
    batcher = committing.batcher(max_batch=2)
    for item in "abcdef":
        batcher.submit(item)
    for _ in range(4):
        committing.end()
    assert committing.batches == [["a"], ["b", "c"], ["d", "e"], ["f"]]


def test_one_item_too_many_is_refused_and_never_committed(committing):
    batcher = committing.batcher(max_waiting=2)
    taken = [batcher.submit(item) for item in "abc"]
    refused = batcher.submit("d")
    assert outcome(refused) is Overloaded
    committing.end()
    later = batcher.submit("e")
    committing.end()
    committing.end()
    assert [outcome(result) for result in (*taken, later)] == [*"ABCE"]
    assert committing.batches == [["a"], ["b", "c"], ["e"]]


def test_an_item_submitted_by_who_hears_a_result_is_committed(committing):
    batcher = committing.batcher()
    later = []
    batcher.submit("a").addCallback(lambda _: later.append(batcher.submit("b")))
    committing.end()
    committing.end()
    assert [outcome(result) for result in later] == ["B"]


def test_whoever_no_longer_waits_harms_nobody(committing):
    batcher = committing.batcher()
    gone, stays = batcher.submit("a"), batcher.submit("b")
    gone.cancel()
    assert outcome(gone) is CancelledError
    committing.end()
    committing.end()
    assert (outcome(stays), committing.unforeseen) == ("B", [])


def test_an_error_is_told_to_its_batch_alone(committing):
    batcher = committing.batcher()
    results = [batcher.submit(item) for item in "abc"]
    committing.fail(OutcomeUnknown())
    committing.end()
    assert outcome(results[0]) is OutcomeUnknown
    assert [outcome(result) for result in results[1:]] == ["B", "C"]
    assert committing.unforeseen == []


def test_who_waits_for_a_database_that_is_away_is_told_at_once(committing):
    batcher = committing.batcher(max_batch=2)
    results = [batcher.submit(item) for item in "abcdef"]
    committing.end()
    committing.fail(Unavailable())
    assert outcome(results[0]) == "A"
    assert [outcome(result) for result in results[1:]] == [Unavailable] * 5
    again = batcher.submit("g")
    committing.end()
    assert outcome(again) == "G"
    assert committing.batches == [["a"], ["b", "c"], ["g"]]


def test_what_was_not_foreseen_is_logged_and_told_as_internal(committing):
    batcher = committing.batcher()
    results = [batcher.submit(item) for item in "ab"]
    error = LookupError("a defect")
    committing.fail(error)
    committing.end()
    assert outcome(results[0]) is Internal
    assert outcome(results[1]) == "B"
    assert committing.unforeseen == [error]


def test_an_item_that_cannot_be_stored_fails_alone():
    batches, unforeseen, cause = [], [], ValueError("bad")

    async def commit(batch):
        batches.append("".join(waiting.item for waiting in batch))
        if "x" in batches[-1]:
            raise Refused from cause
        for waiting in batch:
            waiting.settle(waiting.item.upper())

    first = Deferred()

    async def hold_the_first(batch):
        if not batches:
            await first
        await commit(batch)

    batcher = Batcher(hold_the_first, max_waiting=100, failed=unforeseen.append)
    results = [batcher.submit(item) for item in "-abcdxefx"]
    first.callback(None)
    assert [outcome(result) for result in results] == [*"-ABCD", Internal, "E", "F", Internal]
    assert unforeseen == [cause, cause]
    assert batches == ["-", "abcdxefx", "abcd", "xefx", "xe", "x", "e", "fx", "f", "x"]


def test_what_was_settled_before_a_refusal_stays_and_a_refusal_without_a_cause_is_logged_itself():
    batches, unforeseen, gate = [], [], Deferred()

    async def commit(batch):
        batches.append([waiting.item for waiting in batch])
        await gate
        batch[0].settle("A")
        raise Refused

    batcher = Batcher(commit, max_waiting=100, failed=unforeseen.append)
    results = [batcher.submit(item) for item in "abc"]
    gate.callback(None)
    assert [outcome(result) for result in results] == ["A", "A", Internal]
    assert batches == [["a"], ["b", "c"]]
    assert [type(error) for error in unforeseen] == [Refused, Refused]


def test_half_of_a_split_batch_may_meet_an_outage():
    async def commit(batch):
        if len(batch) > 1:
            raise Refused
        raise Unavailable

    gate = Deferred()

    async def gated(batch):
        await gate
        await commit(batch)

    batcher = Batcher(gated, max_waiting=100, failed=lambda error: None)
    results = [batcher.submit(item) for item in "abc"]
    gate.callback(None)
    assert [outcome(result) for result in results] == [Unavailable] * 3


def test_what_was_settled_before_an_error_stays():
    gate = Deferred()

    async def commit(batch):
        await gate
        batch[0].settle("A")
        raise OutcomeUnknown

    batcher = Batcher(commit, max_waiting=100, failed=lambda error: None)
    results = [batcher.submit(item) for item in "abc"]
    gate.callback(None)
    assert [outcome(result) for result in results] == ["A", "A", OutcomeUnknown]


@pytest_twisted.ensureDeferred
async def test_a_long_queue_does_not_grow_the_stack():
    async def commit(batch):
        for waiting in batch:
            waiting.settle(waiting.item)

    gate = Deferred()

    async def gated(batch):
        await gate
        await commit(batch)

    batcher = Batcher(gated, max_waiting=5000, max_batch=1, failed=lambda error: None)
    results = [batcher.submit(number) for number in range(5000)]
    gate.callback(None)
    assert await gatherResults(results) == list(range(5000))


def test_who_has_waited_too_long_when_its_turn_comes_is_refused_and_the_rest_is_committed(committing):
    clock = Clock()
    batcher = committing.batcher(patience=10, clock=clock.seconds)
    first = batcher.submit("a")
    late = batcher.submit("b")
    clock.advance(8)
    in_time = batcher.submit("c")
    clock.advance(3)
    committing.end()
    assert isinstance(failure_of(late), Overloaded)
    assert committing.batches == [["a"], ["c"]]
    committing.end()
    assert [first.result, in_time.result] == ["A", "C"]


def test_a_batch_of_none_but_the_late_is_not_committed(committing):
    clock = Clock()
    batcher = committing.batcher(patience=10, clock=clock.seconds)
    batcher.submit("a")
    late = batcher.submit("b")
    clock.advance(11)
    committing.end()
    assert isinstance(failure_of(late), Overloaded)
    assert committing.batches == [["a"]]
    batcher.submit("c")
    assert committing.batches == [["a"], ["c"]]

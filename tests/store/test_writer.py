"""What the log writer tells whom, and when, whatever becomes of its batches."""

from datetime import UTC, datetime

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from chatd.errors import Conflict, Internal, NotFound, OutcomeUnknown, Overloaded, Unavailable
from chatd.records.logs import Appended
from chatd.store import writer as log_writer
from chatd.store.refusals import Refused, Repeated
from tests.kit.stores import draft, new_id
from tests.kit.writing import LOST, VANISHED, FaultyLog, Writing

ONE, OTHER, THIRD, BEFORE = (new_id() for _ in range(4))


@pytest.fixture
def log():
    return FaultyLog(lambda: datetime.now(UTC), ONE, OTHER, THIRD, BEFORE)


@pytest.fixture
def writing(log):
    return Writing(log)


@pytest.fixture
def together(writing, log):
    """Hands drafts to the writer so that they become one batch, and gives what became of them."""

    def hand(*drafts):
        gate = Deferred()
        log.faults.insert(0, gate)
        before = writing.writer.append(draft(BEFORE))
        results = writing.append(*drafts)
        log.asked.clear()
        gate.callback(None)
        assert outcome(before)
        writing.published[:] = [one for one in writing.published if one.entry.conversation != BEFORE]
        return outcomes(results)

    return hand


def outcome(deferred):
    """Where a draft stands, or the type of the error that it got; None while it waits."""
    seen = []
    deferred.addBoth(seen.append)
    for one in seen:
        if isinstance(one, Failure):
            return type(one.value)
        assert isinstance(one, Appended)
        return one.seq
    return None


def outcomes(deferreds):
    return [outcome(deferred) for deferred in deferreds]


# Committed


def test_nothing_is_answered_or_published_before_the_commit(writing, log):
    gate = Deferred()
    log.faults = [gate]
    results = writing.append(draft(ONE, "a"), draft(ONE, "b"))
    assert ([result.called for result in results], writing.news) == ([False, False], [])
    assert writing.writer.waiting == 1
    gate.callback(None)
    assert (outcomes(results), writing.news) == ([1, 2], [("a", 1, False), ("b", 2, False)])


@pytest.mark.parametrize("error", [Unavailable, Overloaded])
def test_what_was_not_committed_is_never_published(writing, log, error):
    log.faults = [error()]
    assert outcomes(writing.append(draft(ONE))) == [error]
    assert writing.news == []


def test_the_author_hears_of_the_commit_before_everybody_else(writing, log):
    heard, gate = [], Deferred()
    writing.bus.subscribe(
        lambda publications: heard.append(publications[0].entry.sealed), lambda *_: None, lambda *_: None
    )
    log.faults = [gate]
    writing.writer.append(draft(ONE, "a")).addCallback(lambda place: heard.append(place.seq))
    gate.callback(None)
    assert heard == [1, b"a"]


def test_a_publication_holds_all_that_a_listener_needs(writing):
    said = draft(ONE, "a")
    [result] = writing.append(said)
    [published] = writing.published
    assert (published.content, published.audience) == (said.content, said.audience)
    assert (published.entry.conversation, published.entry.seq, published.entry.time) == (ONE, 1, result.result.time)
    assert (published.entry.author, published.entry.client_id) == (said.author, said.client_id)
    assert (published.entry.kind, published.entry.sealed) == (said.kind, said.sealed)


def test_a_conversation_that_is_not_there_fails_alone(writing, together):
    nowhere = draft(new_id())
    assert together(draft(ONE, "a"), nowhere, draft(ONE, "b"), nowhere) == [1, NotFound, 2, NotFound]
    assert writing.news == [("a", 1, False), ("b", 2, False)]


def test_where_no_conversation_is_there_nothing_is_published(writing, together):
    writing.bus.subscribe(lambda publications: pytest.fail("something was published"), lambda *_: None, lambda *_: None)
    assert outcomes(writing.append(draft(new_id()))) == [NotFound]


def test_one_draft_too_many_is_refused_and_changes_nothing(log):
    writing, gate = Writing(log, max_waiting=2), Deferred()
    log.faults = [gate]
    results = writing.append(*(draft(ONE, text) for text in "abcd"))
    gate.callback(None)
    assert outcomes(results) == [1, 2, 3, Overloaded]
    assert [text for text, _, _ in writing.news] == ["a", "b", "c"]


# Repeated


def test_a_repeat_within_a_batch_gets_the_same_place_and_is_published_once(writing, together):
    said = draft(ONE, "a")
    assert together(said, draft(ONE, "b"), said, said) == [1, 2, 1, 1]
    assert writing.news == [("a", 1, False), ("b", 2, False)]


def test_a_repeat_in_a_later_batch_gets_the_same_place_and_disturbs_nobody(writing, together):
    said = draft(ONE, "a")
    assert together(said) == [1]
    assert together(draft(ONE, "b"), said, draft(ONE, "c")) == [2, 1, 3]
    assert [(text, seq) for text, seq, doubtful in writing.news if not doubtful] == [("a", 1), ("b", 2), ("c", 3)]


def test_what_another_worker_committed_and_may_not_have_published_is_published_by_who_meets_it(writing, log):
    said = draft(ONE, "a")
    log.faults = [log.elsewhere(said)]
    assert outcomes(writing.append(said)) == [1]
    assert writing.news == [("a", 1, True)]


def test_what_is_met_again_is_published_without_its_content(writing, log):
    said = draft(ONE, "a")
    log.faults = [log.elsewhere(said)]
    writing.append(said)
    [published] = writing.published
    assert (published.content, published.audience) == (None, said.audience)


def test_what_is_met_again_is_published_by_seq(writing, log, together):
    first, second = draft(ONE, "a"), draft(ONE, "b")
    log.faults = [log.elsewhere(first, second)]
    assert together(second, first) == [2, 1]
    assert writing.news == [("a", 1, True), ("b", 2, True)]


def test_a_client_id_that_was_used_for_something_else_is_a_conflict(writing, together):
    said = draft(ONE, "a")
    other = draft(ONE, "other", client_id=said.client_id)
    elsewhere = draft(OTHER, "a", client_id=said.client_id)
    assert together(said, other, draft(ONE, "b"), elsewhere) == [1, Conflict, 2, Conflict]
    assert together(draft(ONE, "c"), other, other, said) == [3, Conflict, Conflict, 1]
    assert [(text, seq) for text, seq, doubtful in writing.news if not doubtful] == [("a", 1), ("b", 2), ("c", 3)]


def test_a_flood_of_conflicts_costs_no_more_than_a_few_questions(together, log):
    said = draft(ONE, "a")
    flood = [draft(ONE, str(n), client_id=said.client_id) for n in range(100)]
    assert together(said, *flood) == [1] + [Conflict] * 100
    assert log.asked == [1, -100]
    assert together(*flood, said) == [Conflict] * 100 + [1]
    assert log.asked == [1, -1, -100]


def test_an_echo_of_what_was_not_found_may_be_stored_elsewhere(together):
    lost = draft(new_id(), "a")
    assert together(lost, draft(ONE, "a", client_id=lost.client_id)) == [NotFound, 1]


def test_a_batch_that_meets_repeats_being_committed_elsewhere_is_tried_again(writing, log, together):
    a, b, c = (draft(ONE, text) for text in "abc")
    log.faults = [log.elsewhere(a), log.elsewhere(b)]
    assert together(a, b, c) == [1, 2, 3]
    assert writing.news == [("a", 1, True), ("b", 2, True), ("c", 3, False)]


def test_a_batch_that_meets_too_many_of_them_may_be_sent_again(writing, log, together):
    drafts = [draft(ONE, text) for text in "abcd"]
    log.faults = [log.elsewhere(one) for one in drafts[:3]]
    assert together(*drafts) == [1, 2, 3, Overloaded]
    assert outcomes(writing.append(drafts[3])) == [4]


# Refused, or not foreseen


def test_a_draft_that_cannot_be_stored_fails_alone(writing, log, together):
    cause = ValueError("a text with NUL")
    refusal = Refused()
    refusal.__cause__ = cause
    log.faults = [refusal, None, refusal, refusal]
    assert together(*(draft(ONE, text) for text in "abcd")) == [1, 2, Internal, 3]
    assert writing.news == [("a", 1, False), ("b", 2, False), ("d", 3, False)]
    assert writing.unforeseen == [cause]


def test_what_nobody_foresaw_is_logged_once_and_told_as_internal(writing, log, together):
    log.faults = [defect := LookupError("a defect")]
    assert together(draft(ONE), draft(OTHER)) == [Internal, Internal]
    assert writing.unforeseen == [defect]
    assert outcomes(writing.append(draft(ONE))) == [1]


def test_a_bus_that_fails_costs_no_answer_and_makes_the_next_publication_doubtful(writing, log):
    def fail(publications):
        raise LookupError("a defect")

    listen = writing.published.extend
    writing.bus.subscribe(fail, lambda *_: None, lambda *_: None)
    assert outcomes(writing.append(draft(ONE, "a"), draft(OTHER, "b"))) == [1, 1]
    writing.bus.subscribe(listen, lambda *_: None, lambda *_: None)
    assert outcomes(writing.append(draft(ONE, "c"), draft(OTHER, "d"), draft(ONE, "e"))) == [2, 2, 3]
    assert writing.news == [("c", 2, True), ("d", 2, True), ("e", 3, False)]
    assert [type(error) for error in writing.unforeseen] == [LookupError, LookupError]


# Unknown


def test_a_lost_reply_is_looked_up_and_what_stands_there_is_answered_and_published(writing, log, together):
    log.faults = [LOST]
    assert together(draft(ONE, "a"), draft(OTHER, "b"), draft(ONE, "c")) == [1, 1, 2]
    assert writing.news == [("a", 1, True), ("b", 1, True), ("c", 2, True)]


def test_a_lost_reply_to_what_was_never_done_is_looked_up_and_done(writing, log, together):
    log.faults = [VANISHED, VANISHED]
    assert together(draft(ONE, "a"), draft(ONE, "b")) == [1, 2]
    assert writing.news == [("a", 1, False), ("b", 2, False)]


def test_where_it_cannot_be_looked_up_the_outcome_is_unknown(writing, log, together):
    log.faults, log.away = [LOST], True
    assert together(draft(ONE, "a"), draft(OTHER, "b")) == [OutcomeUnknown, OutcomeUnknown]
    assert writing.news == []


def test_after_an_unknown_outcome_the_same_client_id_gives_the_one_place(writing, log, together):
    said = [draft(ONE, "a"), draft(OTHER, "b")]
    log.faults, log.away = [LOST], True
    together(*said)
    log.away = False
    assert together(*said) == [1, 1]
    assert writing.news == [("a", 1, True), ("b", 1, True)]


def test_after_an_unknown_outcome_the_next_publication_of_each_conversation_is_doubtful(writing, log, together):
    log.faults, log.away = [LOST], True
    together(draft(ONE, "a"), draft(OTHER, "b"))
    log.away = False
    assert together(draft(ONE, "c"), draft(THIRD, "d")) == [2, 1]
    assert together(draft(ONE, "e"), draft(OTHER, "f"), draft(THIRD, "g")) == [3, 2, 2]
    assert writing.news == [("c", 2, True), ("d", 1, False), ("e", 3, False), ("f", 2, True), ("g", 2, False)]


def test_a_doubt_is_not_taken_away_by_what_is_met_again(writing, log, together):
    said = draft(ONE, "a")
    assert together(said) == [1]
    log.faults, log.away = [LOST], True
    assert together(draft(ONE, "b")) == [OutcomeUnknown]
    log.away = False
    assert together(said) == [1]
    assert together(draft(ONE, "c")) == [3]
    assert writing.news == [("a", 1, False), ("a", 1, True), ("c", 3, True)]


@pytest.mark.parametrize("later", [[Overloaded()], [Unavailable()], [VANISHED, VANISHED], [Repeated(), Repeated()]])
def test_an_outcome_stays_unknown_whatever_fails_later(writing, log, later):
    log.faults = [VANISHED, *later]
    assert outcomes(writing.append(draft(ONE, "a"))) == [OutcomeUnknown]
    assert outcomes(writing.append(draft(ONE, "b"))) == [1]
    assert writing.news == [("b", 1, True)]


def test_an_outcome_stays_doubtful_when_something_unforeseen_follows(writing, log):
    log.faults = [VANISHED, LookupError("a defect")]
    assert outcomes(writing.append(draft(ONE, "a"))) == [Internal]
    assert outcomes(writing.append(draft(ONE, "b"))) == [1]
    assert writing.news == [("b", 1, True)]
    assert len(writing.unforeseen) == 1


def test_those_who_wait_behind_a_lost_reply_are_committed_after_it(writing, log):
    gate = Deferred()

    async def lose():
        await gate
        raise OutcomeUnknown

    log.faults = [lose]
    results = writing.append(draft(ONE, "a"), draft(ONE, "b"), draft(ONE, "c"))
    gate.callback(None)
    assert outcomes(results) == [1, 2, 3]


def test_doubts_are_bounded_and_the_oldest_goes_first(writing, log, monkeypatch):
    monkeypatch.setattr(log_writer, "MAX_DOUBTFUL", 2)
    log.away = True
    for conversation in (ONE, OTHER, THIRD):
        log.faults = [LOST]
        assert outcomes(writing.append(draft(conversation))) == [OutcomeUnknown]
    log.away = False
    writing.append(*(draft(conversation) for conversation in (ONE, OTHER, THIRD)))
    assert [one.doubtful for one in writing.published] == [False, True, True]

"""A service that fails is left alone for a while, then tried by one call."""

from twisted.internet.task import Clock

from chatd.security.breaker import FIRST_PAUSE, LAST_PAUSE, LIMIT, Breaker, State


def opened(clock):
    breaker = Breaker(clock.seconds)
    for _ in range(LIMIT):
        assert breaker.admit()
        breaker.failed()
    assert breaker.state is State.OPEN
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not_count():
    breaker = Breaker(Clock().seconds)
    for _ in range(3):
        for _ in range(LIMIT - 1):
            assert breaker.admit()
            breaker.failed()
        assert breaker.admit()
        breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.retry_after == 0.0


def test_while_it_is_open_nothing_is_asked():
    clock = Clock()
    breaker = opened(clock)
    assert breaker.refusing
    assert not breaker.admit()
    assert breaker.retry_after == FIRST_PAUSE
    clock.advance(FIRST_PAUSE / 2)
    assert not breaker.admit()
    assert breaker.retry_after == FIRST_PAUSE / 2


def test_after_the_pause_one_call_decides():
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_PAUSE)
    assert not breaker.refusing
    assert breaker.admit()
    assert breaker.state is State.HALF_OPEN
    assert breaker.refusing
    assert not breaker.admit()
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.admit()
    assert breaker.admit()


def test_pauses_grow_within_bounds_and_begin_anew_after_a_success():
    clock = Clock()
    breaker = opened(clock)
    pauses = []
    for _ in range(8):
        pauses.append(breaker.retry_after)
        clock.advance(breaker.retry_after)
        assert breaker.admit()
        breaker.failed()
    assert pauses == [min(FIRST_PAUSE * 2**n, LAST_PAUSE) for n in range(8)]
    clock.advance(LAST_PAUSE)
    assert breaker.admit()
    breaker.succeeded()
    for _ in range(LIMIT):
        breaker.failed()
    assert breaker.retry_after == FIRST_PAUSE


def test_what_was_asked_before_it_opened_and_fails_late_changes_nothing_and_a_late_answer_closes_it():
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_PAUSE / 2)
    breaker.failed()
    assert breaker.retry_after == FIRST_PAUSE / 2
    breaker.succeeded()
    assert breaker.state is State.CLOSED

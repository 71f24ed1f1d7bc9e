"""How a place in the pool is kept, on a clock of the test's own and without a server."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from chatd.store.connection import Bounds, Connection
from chatd.store.failures import LetGo, Lost
from chatd.store.slot import LONGEST, Slot, backoff

OVER = Lost("over")


class Place:
    """A slot, and what it was given and did. ``answers`` are what the next attempts to connect come to."""

    def __init__(self, *answers):
        self.clock = Clock()
        self.answers = list(answers)
        self.attempts = []
        self.told = []
        self.slot = Slot(self.clock, self.connect, self.joined, self.left, random=lambda: 1.0)

    async def connect(self, failures):
        self.attempts.append((self.clock.seconds(), failures))
        answer = self.answers.pop(0) if self.answers else Lost("nobody there")
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer

    def joined(self, connection):
        self.told.append(("joined", connection))

    def left(self, connection):
        self.told.append(("left", connection))

    def connection(self):
        return Connection(self.clock, Bounds())

    def pass_time(self, seconds):
        self.clock.pump([0.01] * round(seconds / 0.01))


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_waits_double_up_to_a_cap_and_are_halved_at_most(chance):
    waits = [backoff(attempt, lambda: 0.999) for attempt in range(1, 2000)]
    jittered = [backoff(attempt, lambda: chance) for attempt in range(1, 2000)]
    assert waits[0] < waits[1] < waits[2] <= waits[0] * 4.001
    assert max(waits) <= LONGEST
    assert all(
        shorter == pytest.approx(wait * (0.5 + chance / 2), rel=0.01)
        for wait, shorter in zip(waits, jittered, strict=True)
    )


def test_it_never_gives_up_and_complains_ever_more_rarely():
    place = Place()
    with capturedLogs() as events:
        place.slot.start()
        place.pass_time(60)
    assert len(place.attempts) == 17
    assert [failures for _, failures in place.attempts] == list(range(17))
    assert place.attempts[-1][0] - place.attempts[-2][0] == pytest.approx(LONGEST, abs=0.02)
    assert [event["failures"] for event in events] == [1, 2, 4, 8, 16]
    assert place.told == []


def test_a_connection_that_ends_is_replaced():
    place = Place()
    first, second = place.connection(), place.connection()
    place.answers += [first, second]
    place.slot.start()
    place.pass_time(60)
    first.end(OVER)
    assert place.told == [("joined", first), ("left", first)]
    place.pass_time(0.2)
    assert place.told == [("joined", first), ("left", first), ("joined", second)]


def test_connections_that_end_at_once_are_replaced_more_and_more_slowly():
    place = Place()
    place.answers += [place.connection() for _ in range(5)]
    for connection in place.answers:
        connection.end(OVER)
    place.slot.start()
    place.pass_time(3.2)
    assert [failures for _, failures in place.attempts] == [0, 1, 2, 3, 4, 5]


def test_a_connection_that_its_user_gave_up_is_replaced_at_once():
    place = Place()
    place.answers += [place.connection() for _ in range(5)]
    place.slot.start()
    for _ in range(4):
        living = place.told[-1][1]
        living._cancel(Deferred())
        place.pass_time(0.11)
    assert [failures for _, failures in place.attempts] == [0, 1, 1, 1, 1]


def test_a_defect_while_connecting_is_logged_and_does_not_cost_the_place():
    place = Place(ZeroDivisionError("a defect"))
    place.answers.append(place.connection())
    with capturedLogs() as events:
        place.slot.start()
        place.pass_time(0.2)
    assert [(event["log_level"], event["log_failure"].type) for event in events] == [
        (LogLevel.critical, ZeroDivisionError)
    ]
    assert place.told[0][0] == "joined"


def test_a_defect_of_the_pool_is_logged():
    place = Place()
    place.answers.append(place.connection())
    slot = Slot(place.clock, place.connect, None, place.left, random=lambda: 1.0)
    with capturedLogs() as events:
        slot.start()
    assert events[-1]["log_level"] == LogLevel.critical


def test_a_place_whose_connection_was_let_go_stays_empty_until_all_who_were_refused_have_tried_again():
    place = Place()
    first, second = place.connection(), place.connection()
    place.answers += [first, second]
    with capturedLogs() as events:
        place.slot.start()
        place.pass_time(60)
        first.end(LetGo("to spare"))
        place.pass_time(LONGEST)
        assert place.told == [("joined", first), ("left", first)]
        place.pass_time(0.2)
    assert place.told[-1] == ("joined", second)
    assert events == []


@pytest.mark.parametrize("moment", ["connecting", "waiting to try again", "living", "let go"])
def test_it_stops_at_any_moment(moment):
    place = Place()
    living, connecting = place.connection(), Deferred()
    answers = {"connecting": [connecting], "waiting to try again": [], "living": [living], "let go": [living]}
    place.answers += answers[moment]
    with capturedLogs() as events:
        place.slot.start()
        if moment == "let go":
            living.end(LetGo("to spare"))
        events.clear()
        place.slot.stop(OVER)
        place.slot.stop(OVER)
        assert place.clock.getDelayedCalls() == []
        assert connecting.called == (moment == "connecting")
        place.pass_time(30)
    assert len(place.attempts) == 1
    assert place.told == ([("joined", living), ("left", living)] if moment in ("living", "let go") else [])
    assert events == []


def test_one_that_was_never_started_stops():
    Place().slot.stop(OVER)

"""A limit on connections holds for all workers together, but for what they could not know of each other yet."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from chatd.bus.local import LocalBus
from chatd.bus.packets import OVERHEAD, Vocabulary, signalled
from chatd.bus.postgresql import MAX_BYTES
from chatd.security.counts import KeyedCount
from chatd.state.census import (
    ALIVE_SECONDS,
    BEAT_SECONDS,
    MOST,
    REVIEW_SECONDS,
    SILENT_SECONDS,
    Census,
    Counted,
    Present,
)
from chatd.state.exchange import Exchange
from chatd.workers.rhythm import Rhythm
from tests.kit.signal_line import SignalLine, raised

LIMIT = 4
ALICE, BOB = b"alice---", b"bob-----"


_names = itertools.count(1)


class Worker:
    """One of those on a line. ``has`` are its connections."""

    def __init__(self, line: SignalLine[Present], most: int = LIMIT, limits: int = 1) -> None:
        self.line = line
        self.counts = [KeyedCount(f"limit {number}", most) for number in range(limits)]
        self.count = self.counts[0]
        exchange = Exchange(raised)
        self.rhythm = Rhythm(line.clock, raised)
        name = next(_names).to_bytes(16)
        self.census = Census(self.counts, line, exchange, self.rhythm, name, line.clock.seconds)  # type: ignore[arg-type]
        self.heed = exchange.heed
        line.heeds.append(self.heed)
        self.rhythm.startService()

    def enter(self, times: int = 1, key: bytes = ALICE) -> int:
        """How many of so many find room."""
        return sum(self.count.enter(key) for _ in range(times))

    def die(self) -> None:
        """As by kill -9."""
        for _, looping, _ in self.rhythm._beats:
            looping.stop()
        self.line.heeds.remove(self.heed)


@pytest.fixture
def line() -> SignalLine[Present]:
    return SignalLine(Present)


def pass_by(line: SignalLine[Present], seconds: float) -> None:
    for _ in range(round(seconds / BEAT_SECONDS)):
        line.clock.advance(BEAT_SECONDS)


def test_who_is_on_one_worker_takes_room_on_all(line: SignalLine[Present]) -> None:
    first, second = Worker(line), Worker(line)
    assert first.enter(3) == 3
    line.clock.advance(BEAT_SECONDS)
    assert second.enter(3) == 1
    assert second.enter(3, BOB) == 3
    line.clock.advance(BEAT_SECONDS)
    assert (first.enter(), first.enter(3, BOB)) == (0, 1)


def test_who_leaves_one_worker_makes_room_on_all(line: SignalLine[Present]) -> None:
    first, second = Worker(line), Worker(line)
    first.enter(LIMIT)
    line.clock.advance(BEAT_SECONDS)
    first.count.leave(ALICE)
    line.clock.advance(BEAT_SECONDS)
    assert second.enter(2) == 1


def test_a_lost_word_is_made_up_for(line: SignalLine[Present]) -> None:
    first, second = Worker(line), Worker(line)
    first.enter(2)
    second.enter(1, BOB)
    line.clock.advance(BEAT_SECONDS)
    line.cut = True
    first.enter(1)
    first.enter(1, BOB)
    second.count.leave(BOB)
    line.clock.advance(BEAT_SECONDS)
    line.cut = False
    assert (first.count.known(BOB), second.count.known(ALICE), second.count.known(BOB)) == (2, 2, 0)
    pass_by(line, 2 * REVIEW_SECONDS + BEAT_SECONDS)
    assert (first.count.known(BOB), second.count.known(ALICE), second.count.known(BOB)) == (1, 3, 1)


def test_a_word_that_was_overtaken_by_a_later_one_changes_nothing(line: SignalLine[Present]) -> None:
    first, second = Worker(line), Worker(line)
    first.enter(2)
    line.late = 2 * BEAT_SECONDS
    line.clock.advance(BEAT_SECONDS)
    first.count.leave(ALICE)
    line.late = 0.0
    pass_by(line, 5 * BEAT_SECONDS)
    assert second.count.known(ALICE) == 1


def test_those_of_a_worker_that_was_killed_take_no_room_for_long(line: SignalLine[Present]) -> None:
    first, second = Worker(line), Worker(line)
    first.enter(LIMIT)
    line.clock.advance(BEAT_SECONDS)
    pass_by(line, 10 * SILENT_SECONDS)
    assert second.enter() == 0
    first.die()
    pass_by(line, SILENT_SECONDS - ALIVE_SECONDS)
    assert second.enter() == 0
    pass_by(line, 2 * ALIVE_SECONDS)
    assert (second.enter(LIMIT), len(second.census._peers)) == (LIMIT, 0)


def test_those_of_a_worker_that_ended_take_none(line: SignalLine[Present]) -> None:
    first, second = Worker(line), Worker(line)
    first.enter(LIMIT)
    line.clock.advance(BEAT_SECONDS)
    first.rhythm.stopService()
    line.clock.advance(0)
    assert (second.enter(LIMIT), len(second.census._peers)) == (LIMIT, 0)


def test_without_a_bus_each_worker_limits_by_itself_and_together_again_when_it_is_back(
    line: SignalLine[Present],
) -> None:
    first, second = Worker(line), Worker(line)
    first.enter(3)
    line.clock.advance(BEAT_SECONDS)
    line.cut = True
    pass_by(line, SILENT_SECONDS + BEAT_SECONDS)
    assert second.enter(LIMIT + 1) == LIMIT
    assert first.enter(LIMIT) == 1
    line.cut = False
    pass_by(line, ALIVE_SECONDS + 2 * BEAT_SECONDS)
    for worker in (first, second):
        assert worker.count.known(ALICE) == 2 * LIMIT
        worker.count.leave(ALICE)
        assert worker.enter() == 0


def test_a_new_worker_soon_knows_what_the_others_have_had_for_long(line: SignalLine[Present]) -> None:
    first, second = Worker(line), Worker(line)
    first.enter(2)
    second.enter(1)
    pass_by(line, 1.5 * REVIEW_SECONDS)
    new = Worker(line)
    pass_by(line, 2 * BEAT_SECONDS)
    assert new.enter(2) == 1


def test_a_lost_word_takes_nothing_away_that_was_told(line: SignalLine[Present]) -> None:
    first, second = Worker(line), Worker(line)
    first.enter(LIMIT)
    pass_by(line, 1.0)
    while first.census._review_at - line.clock.seconds() > BEAT_SECONDS:
        pass_by(line, BEAT_SECONDS)
    line.cut = True
    pass_by(line, 2 * BEAT_SECONDS)
    line.cut = False
    for _ in range(round(2 * REVIEW_SECONDS / BEAT_SECONDS)):
        assert second.count.known(ALICE) == LIMIT
        pass_by(line, BEAT_SECONDS)


def test_with_more_to_tell_than_a_round_takes_news_comes_at_once_and_what_was_lost_is_made_up_for(
    line: SignalLine[Present],
) -> None:
    first, second = Worker(line), Worker(line)
    # One tells of so many in this time.
    many = round(2 * REVIEW_SECONDS / BEAT_SECONDS) * MOST
    for number in range(many):
        first.enter(1, number.to_bytes(8))
    pass_by(line, 2.2 * REVIEW_SECONDS)
    assert all(second.count.known(number.to_bytes(8)) for number in range(many))
    for _ in range(20):
        first.enter(1)
        pass_by(line, BEAT_SECONDS)
        assert second.count.known(ALICE) == 1
        line.cut = True
        first.count.leave(ALICE)
        pass_by(line, BEAT_SECONDS)
        line.cut = False
    pass_by(line, 2 * 3 * REVIEW_SECONDS)
    assert second.count.known(ALICE) == 0
    assert all(second.count.known(number.to_bytes(8)) for number in range(many))


def test_whoever_has_nothing_says_nothing(line: SignalLine[Present]) -> None:
    worker = Worker(line)
    # But that it is there.
    line.said.clear()
    pass_by(line, 2 * REVIEW_SECONDS)
    assert line.said == []
    worker.enter()
    worker.count.leave(ALICE)
    pass_by(line, 2 * REVIEW_SECONDS)
    assert line.said == []
    worker.enter()
    pass_by(line, ALIVE_SECONDS)
    assert len(line.said) > 0
    worker.count.leave(ALICE)
    pass_by(line, BEAT_SECONDS)
    line.said.clear()
    pass_by(line, 2 * REVIEW_SECONDS)
    assert line.said == []


def test_little_is_said_while_nothing_changes(line: SignalLine[Present]) -> None:
    worker = Worker(line)
    worker.enter(2)
    pass_by(line, REVIEW_SECONDS)
    line.said.clear()
    pass_by(line, 10 * REVIEW_SECONDS)
    assert len(line.said) <= 10 * REVIEW_SECONDS / ALIVE_SECONDS
    assert sum(len(present.counted) for present in line.said) <= 10


def test_however_many_there_are_what_is_said_fits_into_one_packet_and_all_are_told(line: SignalLine[Present]) -> None:
    first, second = Worker(line, most=10**6, limits=2), Worker(line, most=10**6, limits=2)
    number = 3 * MOST + 1
    for count in first.counts:
        for one in range(number):
            # As many as are worth telling, and to be written in as many bytes as they can take.
            count._here[one.to_bytes(8)] = 10**6 - one
        count.review(2)
    line.said.clear()
    line.clock.advance(BEAT_SECONDS)
    assert [len(counted.amounts) for counted in line.said[0].counted] == [MOST] * 2
    assert len(signalled(line.said[0])) <= MAX_BYTES - OVERHEAD
    pass_by(line, 3 * BEAT_SECONDS)
    # It takes several words to tell all anew, and meanwhile what was told before still holds.
    for _ in range(round(2 * REVIEW_SECONDS / BEAT_SECONDS)):
        for count in second.counts:
            assert [count.known(one.to_bytes(8)) for one in range(number)] == [10**6 - one for one in range(number)]
        line.clock.advance(BEAT_SECONDS)


def test_a_limit_of_another_version_changes_nothing(line: SignalLine[Present]) -> None:
    worker = Worker(line)
    line.signal(
        Present(
            worker=b"newer",
            number=1,
            since=1,
            counted=(Counted(limit="sorcery", amounts=((ALICE, 10),)),),
        )
    )
    line.clock.advance(0)
    assert (worker.enter(), len(worker.census._peers)) == (1, 1)


@pytest.mark.parametrize(
    "told",
    [
        {"counted": [["limit", [[b"short", 1]]]]},
        {"counted": [["limit", [[bytes(8), -1]]]]},
        {"counted": [["limit", [[bytes(8), 1]] * (MOST + 1)]]},
        {"counted": [["limit", []]] * 65},
        {"number": 0},
        {"since": 0},
        {"worker": bytes(17)},
    ],
)
def test_what_no_worker_says_is_not_heard(told: dict[str, Any]) -> None:
    unknown: list[str] = []
    said = {"type": "limits.present", "worker": b"w", "number": 1, "since": 1, "counted": [], **told}
    assert Vocabulary([Present], unknown.append).read(msgspec.Raw(msgspec.msgpack.encode(said))) is None
    assert unknown == ["limits.present"]


def test_one_worker_alone_hears_itself_and_counts_nothing_twice() -> None:
    bus, clock = LocalBus(), Clock()
    exchange, rhythm = Exchange(raised), Rhythm(clock, raised)
    count = KeyedCount("limit", LIMIT)
    bus.subscribe(lambda publications: None, lambda users, event: None, exchange.heed)
    census = Census([count], bus, exchange, rhythm, b"w", clock.seconds)
    rhythm.startService()
    assert count.enter(ALICE)
    clock.pump([BEAT_SECONDS] * 100)
    assert (count.known(ALICE), len(census._peers)) == (1, 0)


moves = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.sampled_from(("enter", "enter", "leave")),
        st.integers(0, 2),
        st.sampled_from((0.0, 0.0, 0.25, 1.0, 7.0)),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(number=st.integers(2, 4), most=st.sampled_from((3, 8, 60)), moves=moves, data=st.data())
def test_whatever_was_lost_repeated_and_late_in_the_end_all_know(
    number: int, most: int, moves: list[tuple[int, str, int, float]], data: st.DataObject
) -> None:
    line: SignalLine[Present] = SignalLine(Present)
    workers = [Worker(line, most) for _ in range(number)]
    # Nothing, once, twice; at once or so late that later ones overtake it.
    chances = st.sampled_from(((0.0,), (0.0,), (), (0.0, 0.6), (0.9,), (5.0,)))
    line.chance = lambda: data.draw(chances)
    has = [[0, 0, 0] for _ in workers]
    for where, what, whose, pause in moves:
        at, key = where % number, bytes([whose]) * 8
        # A crowd at a time: with a larger limit single ones are not told of.
        for _ in range(max(1, most // 8)):
            if what == "enter":
                has[at][whose] += workers[at].enter(1, key)
            elif has[at][whose]:
                workers[at].count.leave(key)
                has[at][whose] -= 1
        pass_by(line, pause)
    line.chance = lambda: (0.0,)
    pass_by(line, 5.0 + 2 * REVIEW_SECONDS + ALIVE_SECONDS + BEAT_SECONDS)
    for at, worker in enumerate(workers):
        for whose in range(3):
            total = sum(there[whose] for there in has)
            known = worker.count.known(bytes([whose]) * 8)
            assert total - most / 4 < known <= total
            if most == 3:
                assert known == total
            assert worker.count._here.get(bytes([whose]) * 8, 0) == has[at][whose]


@settings(max_examples=30)
@given(
    number=st.integers(2, 8),
    late=st.sampled_from((0.0, 0.25, 1.0)),
    tries=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 6)), min_size=10, max_size=60),
)
def test_together_they_let_in_what_the_documentation_says_at_most(
    number: int, late: float, tries: list[tuple[int, int]]
) -> None:
    most = 40
    line: SignalLine[Present] = SignalLine(Present)
    workers = [Worker(line, most) for _ in range(number)]
    for worker in workers:
        # They know of each other, as workers do that have clients.
        worker.enter(1, BOB)
    pass_by(line, ALIVE_SECONDS + 1)
    line.late = late
    # What came in the time that news takes, and the most that ever did.
    had, unheard, peak = 0, [0] * (1 + round(late / BEAT_SECONDS)), 0
    for where, times in tries:
        came = workers[where % number].enter(times)
        had += came
        unheard = [*unheard[1:], came]
        peak = max(peak, sum(unheard))
        assert had <= most + most / 4 + peak
        line.clock.advance(BEAT_SECONDS)

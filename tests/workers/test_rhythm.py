"""What a worker does again and again goes on whatever happens, and ends when the worker does."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from chatd.errors import Unavailable
from chatd.interfaces.bus import IRhythm
from chatd.workers.rhythm import Rhythm
from tests.kit.at_once import Watch


class Beats:
    """Counts calls; each answers with what ``answers`` give, once."""

    def __init__(self, clock):
        self.at = []
        self.answers = []
        self._clock = clock

    async def beat(self):
        self.at.append(self._clock.seconds())
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            await answer


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def failed():
    return []


@pytest.fixture
def rhythm(clock, failed):
    return Rhythm(clock, failed.append)


@pytest.fixture
def beats(clock, rhythm):
    beats = Beats(clock)
    rhythm.every(2.0, beats.beat)
    return beats


def test_it_is_a_rhythm(rhythm):
    assert verifyObject(IRhythm, rhythm)


def test_it_beats_from_the_start_to_the_end(clock, rhythm, beats):
    clock.advance(10)
    assert (beats.at, rhythm.seconds()) == ([], 10)
    rhythm.startService()
    clock.pump([1] * 5)
    assert Watch(rhythm.stopService()).ended
    clock.pump([1] * 5)
    assert beats.at == [10, 12, 14]


def test_a_beat_waits_for_the_one_before_it(clock, rhythm, beats):
    slow = Deferred()
    beats.answers = [slow]
    rhythm.startService()
    clock.pump([1] * 5)
    assert beats.at == [0]
    slow.callback(None)
    clock.pump([1] * 2)
    assert beats.at == [0, 6]


def test_one_that_is_prompted_comes_at_once_beside_the_others(clock, rhythm):
    beats = Beats(clock)
    prompt = rhythm.every(2.0, beats.beat)
    rhythm.startService()
    clock.advance(1)
    prompt()
    clock.advance(1)
    assert beats.at == [0, 1, 2]


def test_one_that_is_prompted_while_it_is_under_way_comes_once_more(clock, rhythm):
    beats, slow = Beats(clock), Deferred()
    prompt = rhythm.every(2.0, beats.beat)
    rhythm.startService()
    beats.answers = [slow]
    prompt()
    prompt()
    clock.advance(3)
    prompt()
    assert beats.at == [0, 0]
    slow.callback(None)
    assert beats.at == [0, 0, 3]


def test_a_beat_that_fails_is_followed_by_the_next(clock, rhythm, beats, failed):
    defect = ValueError("a defect")
    beats.answers = [Unavailable(), defect]
    rhythm.startService()
    clock.pump([1] * 4)
    assert (beats.at, failed) == ([0, 2, 4], [defect])


def test_the_farewell_comes_last_and_is_waited_for(clock, rhythm, beats):
    farewell, under_way, over = Beats(clock), Deferred(), Deferred()
    beats.answers, farewell.answers = [under_way], [over]
    rhythm.at_end(farewell.beat)
    rhythm.startService()
    stopping = Watch(rhythm.stopService())
    assert farewell.at == []
    under_way.callback(None)
    assert (farewell.at, stopping.ended) == ([0], False)
    over.callback(None)
    assert stopping.ended


def test_one_that_was_prompted_is_waited_for_as_well_and_none_comes_after_the_farewell(clock, rhythm):
    beats, farewell, slow = Beats(clock), Beats(clock), Deferred()
    prompt = rhythm.every(2.0, beats.beat)
    rhythm.at_end(farewell.beat)
    rhythm.startService()
    beats.answers = [slow]
    clock.advance(1)
    prompt()
    stopping = Watch(rhythm.stopService())
    assert (farewell.at, stopping.ended) == ([], False)
    slow.callback(None)
    assert stopping.ended
    prompt()
    assert (beats.at, farewell.at) == ([0, 1], [1])


def test_a_farewell_that_fails_keeps_nobody_from_ending(rhythm, clock):
    farewell = Beats(clock)
    farewell.answers = [Unavailable()]
    rhythm.at_end(farewell.beat)
    rhythm.startService()
    assert Watch(rhythm.stopService()).error is None

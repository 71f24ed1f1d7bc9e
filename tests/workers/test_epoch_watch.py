"""A worker learns that the epoch which it serves is over, whoever ended it, and is told once."""

from datetime import UTC, datetime
from itertools import count

import pytest
from twisted.internet.task import Clock

from chatd.errors import Unavailable
from chatd.store.epochs import EpochChanged
from chatd.store.memory.epochs import MemoryEpochs
from chatd.workers.epoch_watch import LOOK_SECONDS, EpochWatch
from chatd.workers.rhythm import Rhythm
from tests.kit.at_once import at_once


class Epochs(MemoryEpochs):
    """In memory; ``away`` is for a database that is."""

    def __init__(self):
        names = count(1)
        super().__init__(lambda: datetime.now(UTC), lambda: f"epoch-{next(names)}")
        self.away = False

    async def current(self):
        if self.away:
            raise Unavailable
        return await super().current()


class World:
    def __init__(self):
        self.clock, self.epochs, self.over, self.failed = Clock(), Epochs(), [], []
        self.rhythm = Rhythm(self.clock, self.failed.append)
        self.watch = EpochWatch(self.epochs, self.rhythm, self.over.append)

    def begin(self):
        at_once(self.watch.begin())
        self.rhythm.startService()

    def look(self):
        self.clock.advance(LOOK_SECONDS)


@pytest.fixture
def world():
    world = World()
    yield world
    world.rhythm.stopService()
    assert world.failed == []


def renew(world):
    at_once(world.epochs.renew())


def move(world):
    world.epochs.here = "elsewhere"


def test_it_serves_the_epoch_that_holds_when_it_begins(world):
    assert world.watch.current == ""
    world.begin()
    assert world.watch.current == "epoch-1"
    for _ in range(3):
        world.look()
    assert world.over == []


@pytest.mark.parametrize("end", [renew, move])
def test_the_end_of_its_epoch_is_told_once(world, end):
    world.begin()
    world.look()
    end(world)
    for _ in range(3):
        world.look()
    [over] = world.over
    assert isinstance(over, EpochChanged)
    assert "no longer of the epoch epoch-1:" in str(over)
    assert world.watch.current == "epoch-1"


def test_a_successor_serves_the_next_one(world):
    world.begin()
    move(world)
    successor = World()
    successor.epochs = world.epochs
    successor.watch = EpochWatch(world.epochs, successor.rhythm, successor.over.append)
    successor.begin()
    successor.look()
    assert (successor.watch.current, successor.over) == ("epoch-2", [])
    successor.rhythm.stopService()


def test_while_the_database_is_away_nothing_is_concluded(world):
    world.begin()
    world.epochs.away = True
    renew(world)
    world.look()
    assert world.over == []
    world.epochs.away = False
    world.look()
    assert len(world.over) == 1

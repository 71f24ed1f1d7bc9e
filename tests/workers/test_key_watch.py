"""Workers forget keys that were destroyed within a look, and say which master keys they lack."""

from datetime import UTC, datetime, timedelta

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from chatd.errors import Unavailable
from chatd.handlers.profiles import ProfilesChanged
from chatd.security.keyring import Keyring, MasterKeys
from chatd.state.authors import SERVER, Authors
from chatd.state.exchange import Exchange
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.keys import MemoryKeys
from chatd.workers.key_watch import CHECK_SECONDS, LOOK_BACK_SECONDS, LOOK_SECONDS, KeyWatch
from chatd.workers.rhythm import Rhythm
from tests.kit.at_once import at_once, watch

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD = MasterKeys({"old": bytes(32)})
NEW = MasterKeys({"old": bytes(32), "new": bytes(range(32))})


class Keys(MemoryKeys):
    """Keys in memory that may be ``away``, whose answers may be ``held``, and that note how far back was looked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(MemoryDatabase(lambda: NOON + timedelta(seconds=clock.seconds())))
        self.asked: list[float] = []
        self.away = False
        self.held: Deferred[None] | None = None

    async def keys(self, users):
        found = await super().keys(users)
        if self.held is not None:
            await self.held
        return found

    async def destroyed_within(self, seconds: float):
        self.asked.append(seconds)
        if self.away:
            raise Unavailable
        return await super().destroyed_within(seconds)


class World:
    def __init__(self, masters: MasterKeys = OLD) -> None:
        self.clock, self.failed, self.changed = Clock(), [], []
        self.store = Keys(self.clock)
        self.authors = Authors(self.store, Keyring(masters))
        exchange = Exchange(self.failed.append)
        exchange.listen(ProfilesChanged, lambda signal: self.changed.append(signal.users))
        self.rhythm = Rhythm(self.clock, self.failed.append)
        self.watch = KeyWatch(self.store, self.authors, masters.versions, exchange, self.rhythm)

    def look(self, times: int = 1) -> None:
        self.clock.pump([LOOK_SECONDS] * times)


@pytest.fixture
def world():
    world = World()
    yield world
    world.rhythm.stopService()
    assert world.failed == []


@pytest.fixture
def logged():
    """What was logged, by level."""
    events = []

    def observe(event):
        if event["log_namespace"] == "chatd.workers.key_watch":
            events.append((event["log_level"], event["log_format"].format_map(event)))

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


def test_a_destroyed_key_is_forgotten_within_one_look_and_so_is_the_profile(world, logged) -> None:
    world.rhythm.startService()
    for user in ("alice", "bob"):
        at_once(world.authors.writing(user))
    at = at_once(world.store.destroy("alice"))
    world.look()
    assert world.authors.known("alice") is None
    assert world.authors.known("bob") is not None
    assert world.changed == [("alice",)]
    assert logged == [(LogLevel.info, f"the data key of 'alice' was destroyed at {at.isoformat()}")]
    world.look(4)
    assert len(logged) == len(world.changed) == 1


def test_a_key_that_a_read_under_way_brings_back_is_forgotten_again(world) -> None:
    world.rhythm.startService()
    at_once(Authors(world.store, Keyring(OLD)).writing("alice"))
    world.store.held = Deferred()
    reading = watch(world.authors.reading({"alice"}))
    at_once(world.store.destroy("alice"))
    world.look()
    world.store.held.callback(None)
    assert world.authors.known("alice") is reading.result["alice"]
    world.look(2)
    assert world.authors.known("alice") is None
    assert world.changed == [("alice",)] * 2, "a profile may have been opened with it, and kept"


def test_a_second_destruction_is_told_too(world, logged) -> None:
    world.rhythm.startService()
    for _ in range(2):
        at_once(world.authors.writing("alice"))
        world.clock.advance(LOOK_SECONDS / 2)
        at_once(world.store.destroy("alice"))
        world.look()
        assert world.authors.known("alice") is None
    # Once for each destruction, and once for the key made in between, which the look between them dropped too.
    assert world.changed == [("alice",)] * 3
    assert len(logged) == 2


def test_after_an_outage_a_look_goes_as_far_back_as_it_lasted(world) -> None:
    world.rhythm.startService()
    at_once(world.authors.writing("alice"))
    at_once(world.store.destroy("alice"))
    world.store.away = True
    world.look(1000)
    assert world.authors.known("alice") is not None
    world.store.away = False
    world.look()
    assert world.store.asked[-1] == pytest.approx(1001 * LOOK_SECONDS + LOOK_BACK_SECONDS)
    assert world.authors.known("alice") is None
    world.look()
    assert world.store.asked[-1] == pytest.approx(LOOK_SECONDS + LOOK_BACK_SECONDS)


def test_with_its_master_keys_a_worker_is_sound_from_the_start(world, logged) -> None:
    assert not world.watch.sound
    assert world.watch.condition.state == "unavailable"
    world.rhythm.startService()
    assert (world.watch.sound, world.watch.missing, logged) == (True, (), [])
    assert world.watch.condition.state == "ok"


def test_with_another_master_key_a_worker_is_not_sound_and_says_why(world, logged) -> None:
    at_once(world.store.add(Keyring(MasterKeys({"old": b"x" * 32})).create(SERVER)))
    world.rhythm.startService()
    assert not world.watch.sound
    [(level, text)] = logged
    assert level == LogLevel.error
    assert "the server's own data key does not open" in text
    assert "wrapped by another master key" in text


def test_a_missing_master_key_is_named_once_and_counted_until_it_is_needed_no_more(world, logged) -> None:
    at_once(world.store.add(Keyring(NEW).create("alice")))
    world.rhythm.startService()
    assert (world.watch.sound, world.watch.missing) == (True, ("new",))
    assert world.watch.condition.state == "degraded"
    [(level, text)] = logged
    assert (level, "not configured: new;" in text) == (LogLevel.error, True)
    world.clock.advance(CHECK_SECONDS)
    assert len(logged) == 1
    at_once(world.store.destroy("alice"))
    world.clock.advance(CHECK_SECONDS)
    assert world.watch.missing == ()

"""A worker's people and its lease: what is written, how much at a time, and what becomes of it when that fails."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.bus.local import LocalBus
from chatd.errors import OutcomeUnknown, Unavailable
from chatd.state.delivery import Delivery
from chatd.state.leases import ARRIVAL_SECONDS, BATCH, GRACE_SECONDS, SIGNAL_BYTES, Leases
from chatd.state.outbox import Outbox
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.presence import MemoryPresence
from tests.kit.at_once import at_once, watch
from tests.kit.delivery import Packets

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEARTBEAT, LEASE = 4.0, 12.0


class Store(MemoryPresence):
    """Remembers what was asked of it. The next calls meet ``faults``: an error is raised instead, or afterwards.

    Writing waits for ``gate``, if there is one.
    """

    def __init__(self, now):
        super().__init__(MemoryDatabase(now), now)
        self.written = []
        self.swept = 0
        self.faults = []
        self.gate = None

    def _fault(self, after):
        if self.faults and isinstance(self.faults[0], OutcomeUnknown) is after:
            raise self.faults.pop(0)

    async def renew(self, worker, seconds):
        self._fault(False)
        return await super().renew(worker, seconds)

    async def write(self, worker, leases):
        self._fault(False)
        if self.gate is not None:
            await self.gate
        done = await super().write(worker, leases)
        self.written.append(list(leases))
        self._fault(True)
        return done

    async def sweep(self, limit):
        self.swept += 1
        return await super().sweep(limit)


class Place:
    """A store, and workers at it."""

    def __init__(self):
        self.clock = Clock()
        self.store = Store(lambda: NOON + timedelta(seconds=self.clock.seconds()))
        self.signals = []
        self.numbers = count()

    def worker(self):
        bus = LocalBus()
        bus.subscribe(self.signals.append, self.signals.append, self.signals.append)
        new_id = lambda: f"worker-{next(self.numbers)}"  # noqa: E731
        leases = Leases(self.store, bus, self.clock.seconds, new_id, heartbeat=HEARTBEAT, lease=LEASE)
        at_once(leases.beat())
        return leases

    def connect(self, leases, *users):
        """A connection of each, which counts by now."""
        made = [Delivery(Outbox(print, print, event_bytes=0, total_bytes=0), Packets()) for _ in users]
        for user, delivery in zip(users, made, strict=True):
            leases.arrived(user, delivery)
        self.clock.advance(ARRIVAL_SECONDS)
        return made

    def status(self, user):
        [seen] = at_once(self.store.read([user]))
        return seen.status

    @property
    def told(self):
        return [(seen.user, seen.status) for signal in self.signals for seen in signal.people]


@pytest.fixture
def place():
    return Place()


def test_ten_thousand_who_come_and_go_at_once_take_a_few_statements(place):
    worker = place.worker()
    users = [f"user-{number}" for number in range(10_000)]
    connections = place.connect(worker, *users)
    at_once(worker.write())
    assert [len(batch) for batch in place.store.written] == [BATCH] * 5
    assert place.told == [(user, "online") for user in users]
    assert len(place.signals) < len(users) / 30
    for user, delivery in zip(users, connections, strict=True):
        worker.left(user, delivery)
    place.clock.advance(GRACE_SECONDS)
    at_once(worker.write())
    assert [len(batch) for batch in place.store.written] == [BATCH] * 10
    assert (place.store.leases, worker.people) == ({}, 0)
    at_once(worker.write())
    assert len(place.store.written) == 10


def test_ten_thousand_who_come_and_go_within_a_moment_take_none(place):
    worker = place.worker()
    for number in range(10_000):
        user = f"user-{number}"
        [delivery] = [Delivery(Outbox(print, print, event_bytes=0, total_bytes=0), Packets())]
        worker.arrived(user, delivery)
        worker.left(user, delivery)
    place.clock.advance(ARRIVAL_SECONDS + GRACE_SECONDS)
    at_once(worker.write())
    assert (place.store.written, place.signals, worker.people) == ([], [], 0)


def test_signals_stay_small_whatever_people_are_called(place):
    worker = place.worker()
    place.connect(worker, *["\N{GRINNING FACE}" * 250 + str(number) for number in range(20)])
    at_once(worker.write())
    assert len(place.told) == 20
    for signal in place.signals:
        assert len(signal.people) * 1000 < SIGNAL_BYTES


def test_a_heartbeat_costs_one_row_whoever_is_connected(place):
    worker = place.worker()
    place.connect(worker, "alice", "bob")
    at_once(worker.write())
    for _ in range(10):
        place.clock.advance(HEARTBEAT)
        at_once(worker.beat())
        at_once(worker.write())
    assert (len(place.store.written), place.status("alice")) == (1, "online")


def test_the_dead_are_swept_once_and_it_is_told(place):
    dead, living, other = place.worker(), place.worker(), place.worker()
    place.connect(dead, *(f"user-{number}" for number in range(BATCH + 1)))
    at_once(dead.write())
    place.signals.clear()
    for _ in range(3):
        place.clock.advance(HEARTBEAT)
        at_once(living.beat())
        at_once(other.beat())
        at_once(living.sweep())
        at_once(other.sweep())
    assert sorted(place.told) == sorted((f"user-{number}", "offline") for number in range(BATCH + 1))
    assert place.store.leases == {}


def test_a_worker_that_was_taken_for_dead_begins_anew_and_writes_everybody_again(place):
    asleep, other = place.worker(), place.worker()
    place.connect(asleep, "alice")
    at_once(asleep.write())
    place.clock.advance(LEASE)
    at_once(other.beat())
    place.clock.advance(HEARTBEAT * 2)
    at_once(other.sweep())
    place.connect(asleep, "bob")
    at_once(asleep.write())
    assert (place.status("alice"), place.status("bob")) == ("offline", "offline")
    at_once(asleep.beat())
    at_once(asleep.write())
    assert (place.status("alice"), place.status("bob")) == ("online", "online")


def test_what_was_written_while_the_lease_was_lost_is_written_again(place):
    worker = place.worker()
    place.connect(worker, "alice")
    gate = place.store.gate = Deferred()
    writing = watch(worker.write())
    place.clock.advance(LEASE)
    at_once(worker.beat())
    place.store.gate = None
    gate.callback(None)
    assert (writing.ended, place.status("alice")) == (True, "online")


def test_after_an_outage_nobody_is_swept_before_they_have_had_time_to_come_back(place):
    one, other = place.worker(), place.worker()
    place.connect(other, "alice")
    at_once(other.write())
    place.clock.advance(LEASE * 2)
    at_once(one.beat())
    assert not one.steady
    at_once(one.sweep())
    assert place.store.swept == 0
    at_once(other.beat())
    at_once(other.write())
    place.signals.clear()
    place.clock.advance(HEARTBEAT)
    at_once(other.beat())
    place.clock.advance(HEARTBEAT)
    at_once(one.sweep())
    assert ("alice", "offline") not in place.told
    assert place.status("alice") == "online"


def test_what_may_have_been_written_is_written_again(place):
    worker = place.worker()
    [delivery] = place.connect(worker, "alice")
    place.store.faults = [OutcomeUnknown()]
    with pytest.raises(OutcomeUnknown):
        at_once(worker.write())
    assert place.status("alice") == "online"
    worker.left("alice", delivery)
    place.clock.advance(GRACE_SECONDS)
    at_once(worker.write())
    assert (place.status("alice"), worker.people) == ("offline", 0)


def test_a_heartbeat_that_fails_is_made_up_for(place):
    worker = place.worker()
    place.connect(worker, "alice")
    at_once(worker.write())
    place.clock.advance(HEARTBEAT)
    place.store.faults = [Unavailable()]
    with pytest.raises(Unavailable):
        at_once(worker.beat())
    at_once(worker.beat())
    place.clock.advance(LEASE - 1)
    assert place.status("alice") == "online"


def test_a_worker_that_ends_lets_its_people_come_back_in_time(place):
    worker, other = place.worker(), place.worker()
    place.connect(worker, "alice", "bob")
    at_once(worker.write())
    at_once(worker.retire())
    at_once(worker.write())
    place.connect(other, "alice")
    at_once(other.write())
    place.signals.clear()
    assert place.status("bob") == "online"
    place.clock.advance(GRACE_SECONDS)
    at_once(other.sweep())
    assert sorted(place.told) == [("alice", "online"), ("bob", "offline")]
    at_once(worker.retire())


def test_who_is_not_known_can_say_and_leave_nothing(place):
    worker = place.worker()
    [delivery] = place.connect(place.worker(), "alice")
    worker.say("alice", delivery, "away")
    worker.left("alice", delivery)
    at_once(worker.write())
    assert (place.store.written, worker.people) == ([], 0)

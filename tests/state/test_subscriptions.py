"""What subscribers are told: the latest, in whatever order it comes, and so much at a time."""

from datetime import UTC, datetime
from itertools import count

import pytest
from twisted.internet.defer import Deferred

from chatd.handlers.presence import notice
from chatd.records.presence import PresenceChanged, Seen
from chatd.state import subscriptions as module
from chatd.state.delivery import Delivery
from chatd.state.outbox import Outbox
from chatd.state.relations import RelationsChanged, Strangers
from chatd.state.subscriptions import Shown, Subscriptions
from tests.kit.at_once import at_once, watch
from tests.kit.delivery import Packets

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Store:
    """Everybody knows everybody, and is as ``seen``. Answers wait for ``gate`` and ``judging``, if there are any."""

    def __init__(self):
        self.seen = {}
        self.clock = count(1)
        self.asked = []
        self.judged = []
        self.gate = self.judging = None

    async def read(self, users):
        found = [self.one(user) for user in users]
        self.asked.append(len(users))
        if self.gate is not None:
            await self.gate
        return found

    def one(self, user):
        return seen(user, self.seen.get(user, "offline"), float(next(self.clock)))

    async def acquainted(self, pairs):
        self.judged += pairs
        if self.judging is not None:
            await self.judging
        return set(pairs)


def seen(user, status, as_of):
    return Seen(user=user, status=status, last_seen=NOON, as_of=as_of)


class Place:
    """Subscriptions over such a store, of which all is read again within ten beats."""

    def __init__(self):
        self.store = Store()
        self.steady = True
        self.subscriptions = Subscriptions(
            self.store, Strangers(), notice, lambda: self.steady, beat=1.0, reread=10.0, most=100
        )

    def connect(self):
        sent = []
        delivery = Delivery(Outbox(sent.append, print, event_bytes=0, total_bytes=0), Packets())
        delivery.gather()
        delivery.settle([])
        return delivery, sent

    def subscribe(self, *users, viewer="viewer"):
        """A connection that has subscribed, and what it is sent."""
        delivery, sent = self.connect()
        at_once(self.subscriptions.subscribe(viewer, delivery, users))
        return delivery, sent

    def signal(self, *people):
        self.subscriptions.heed(PresenceChanged(people=people))

    def beat(self):
        at_once(self.subscriptions.refresh())
        at_once(self.subscriptions.tell())


def told(sent):
    return [(message.user, message.status) for packet in sent for message in packet.messages]


@pytest.fixture
def place():
    return Place()


def test_of_two_signals_the_later_reading_counts(place):
    _, sent = place.subscribe("alice")
    place.signal(seen("alice", "away", 100.0))
    place.signal(seen("alice", "online", 99.0))
    at_once(place.subscriptions.tell())
    assert told(sent) == [("alice", "away")]


def test_a_signal_that_comes_while_one_subscribes_counts_if_it_is_later(place):
    delivery, sent = place.connect()
    place.store.gate = Deferred()
    subscribing = watch(place.subscriptions.subscribe("viewer", delivery, ["alice", "bob"]))
    place.signal(seen("alice", "online", 100.0), seen("bob", "online", 0.5))
    at_once(place.subscriptions.tell())
    place.store.gate.callback(None)
    assert [(one.user, one.status) for one in subscribing.result] == [("alice", "online"), ("bob", "offline")]
    at_once(place.subscriptions.tell())
    assert sent == []


def test_what_is_taken_back_while_it_is_looked_up_is_not_told(place):
    delivery, sent = place.connect()
    place.store.gate = Deferred()
    subscribing = watch(place.subscriptions.subscribe("viewer", delivery, ["alice"]))
    place.subscriptions.unsubscribe(delivery, ["alice"])
    place.store.gate.callback(None)
    assert subscribing.result == [Shown(user="alice", status="offline")]
    place.signal(seen("alice", "online", 100.0))
    at_once(place.subscriptions.tell())
    assert (sent, place.subscriptions.pairs) == ([], 0)


def test_an_event_is_made_once_for_all_who_are_told_the_same(place):
    sent = [place.subscribe("alice")[1] for _ in range(3)]
    place.signal(seen("alice", "online", 100.0))
    at_once(place.subscriptions.tell())
    assert len({id(packets[0].messages[0]) for packets in sent}) == 1


def test_everything_is_read_again_in_its_turn_and_not_at_once(place):
    sent = [place.subscribe(*(f"{n}-{m}" for m in range(5)))[1] for n in range(20)]
    place.store.seen = {f"{n}-{m}": "online" for n in range(20) for m in range(5)}
    place.store.asked.clear()
    place.store.judged.clear()
    for _ in range(10):
        place.beat()
    assert place.store.asked == [10] * 10
    assert sorted(place.store.judged) == sorted([("viewer", f"{n}-{m}") for n in range(20) for m in range(5)])
    assert [len(packets) for packets in sent] == [5] * 20


def test_nothing_is_read_again_in_an_unsteady_time(place):
    _, sent = place.subscribe("alice")
    place.steady = False
    place.store.seen = {"alice": "online"}
    place.beat()
    assert sent == []
    place.steady = True
    place.beat()
    assert told(sent) == [("alice", "online")]


def test_a_block_that_comes_while_it_is_looked_up_is_looked_up_again(place):
    _, sent = place.subscribe("alice", viewer="bob")
    place.store.seen = {"alice": "online"}
    judging = place.store.judging = Deferred()
    reading = watch(place.subscriptions.refresh())
    place.subscriptions.part(RelationsChanged(users=("alice", "bob")))
    place.store.judging = None
    judging.callback(None)
    at_once(place.subscriptions.tell())
    assert (reading.ended, told(sent)) == (True, [])
    place.beat()
    assert told(sent) == [("alice", "online")]


def test_so_many_are_told_in_one_beat(place, monkeypatch):
    monkeypatch.setattr(module, "TOLD", 4)
    sent = [place.subscribe("a", "b", "c")[1] for _ in range(3)]
    place.signal(*(seen(user, "online", 100.0) for user in "abc"))
    at_once(place.subscriptions.tell())
    assert [told(packets) for packets in sent] == [[("a", "online"), ("b", "online")]] * 3
    at_once(place.subscriptions.tell())
    assert [told(packets)[2:] for packets in sent] == [[("c", "online")]] * 3


def test_nothing_is_kept_of_connections_that_have_gone(place):
    places = [place.subscribe("alice", "bob")[0] for _ in range(3)]
    place.signal(seen("alice", "online", 100.0))
    for delivery in places:
        delivery.end()
        place.subscriptions.left("viewer", delivery)
    place.store.asked.clear()
    place.beat()
    assert (place.subscriptions.pairs, sum(place.store.asked)) == (0, 0)

"""Which device shows which token is noted in passing."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.edge.sightings import AGAIN_SECONDS, Sightings
from chatd.errors import Unavailable
from chatd.records.devices import Sighting
from chatd.records.tokens import Claims


class Store:
    """``faults`` are raised first."""

    def __init__(self):
        self.noted, self.faults = [], []

    def note(self, sighting):
        self.noted.append(sighting)
        done = Deferred()
        if self.faults:
            done.errback(self.faults.pop(0))
        else:
            done.callback(True)
        return done


def claims(user="alice", token_id="t1"):
    return Claims(user=user, issuer="i", expires_at=1e9, token_id=token_id)


def test_a_token_is_noted_once_for_a_while_from_each_device():
    clock, store = Clock(), Store()
    sightings = Sightings(store, clock.seconds)
    for device in ("phone", "phone", "tablet"):
        sightings.note(claims(), device)
    sightings.note(claims(token_id=None), "phone")
    assert [(one.device, one.token_id) for one in store.noted] == [("phone", "t1"), ("tablet", "t1"), ("phone", None)]
    assert store.noted[0] == Sighting(user="alice", device="phone", token_id="t1", expires_at=1e9)
    clock.advance(AGAIN_SECONDS - 1)
    sightings.note(claims(), "phone")
    assert len(store.noted) == 3
    clock.advance(1)
    sightings.note(claims(), "phone")
    assert len(store.noted) == 4


def test_what_could_not_be_noted_is_noted_the_next_time():
    store = Store()
    store.faults = [Unavailable()]
    sightings = Sightings(store, Clock().seconds)
    for _ in range(3):
        sightings.note(claims(), "phone")
    assert len(store.noted) == 2


def test_no_more_is_remembered_than_there_is_room_for():
    store = Store()
    sightings = Sightings(store, Clock().seconds, capacity=2)
    for user in ("alice", "bob", "carol", "carol", "alice"):
        sightings.note(claims(user), "phone")
    assert [one.user for one in store.noted] == ["alice", "bob", "carol", "alice"]

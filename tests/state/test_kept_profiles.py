"""Profiles from the cache are as old as they may be, and no older than the last change that was heard of."""

import pytest
from zope.interface.verify import verifyObject

from chatd.interfaces.people import IProfileStore
from chatd.records.logs import Entry
from chatd.state.ids import event_queue
from chatd.state.kept_profiles import KeptProfiles
from chatd.state.shelf import AHEAD_SECONDS
from chatd.store.memory.database import MemoryDatabase
from chatd.store.stores import memory_stores
from tests.kit.at_once import at_once
from tests.kit.delivery import NOON
from tests.kit.shelves import Shelves

KEPT = 60.0


class Counted:
    """The store, and whom it was asked about."""

    def __init__(self, store):
        self.store, self.asked, self.meanwhile = store, [], lambda: None
        self.claim = store.claim

    async def profiles(self, users):
        self.asked.append([*users])
        found = await self.store.profiles(users)
        self.meanwhile()
        return found


class Installation:
    """Workers that share a cache and a database."""

    def __init__(self):
        self.shelves = Shelves()
        self.store = memory_stores(MemoryDatabase(lambda: NOON)).profiles

    def worker(self):
        counted = Counted(self.store)
        shelf = self.shelves.make(Entry | None, use="profiles", seconds=KEPT)
        return KeptProfiles(counted, shelf), counted.asked

    def change(self, user, text):
        profile = Entry(
            conversation=event_queue(user),
            seq=0,
            time=NOON,
            author=user,
            client_id="",
            kind="profile.updated",
            sealed=text.encode(),
        )
        assert at_once(self.store.claim(profile))


@pytest.fixture
def installation():
    return Installation()


def says(profiles, *users):
    return {entry.author: entry.sealed.decode() for entry in at_once(profiles.profiles(users))}


def test_it_is_a_store_of_profiles(installation):
    profiles, _ = installation.worker()
    assert verifyObject(IProfileStore, profiles)
    claimed = Entry(
        conversation="q", seq=0, time=NOON, author="alice", client_id="", kind="profile.updated", sealed=b"A"
    )
    assert at_once(profiles.claim(claimed)) is True
    assert says(profiles, "alice") == {"alice": "A"}


def test_the_database_is_asked_once_about_each_also_about_those_without(installation):
    installation.change("alice", "A")
    (one, first), (other, second) = installation.worker(), installation.worker()
    assert says(one, "alice", "nobody", "alice") == {"alice": "A"}
    assert says(other, "alice", "nobody") == {"alice": "A"}
    assert (first, second) == ([["alice", "nobody"]], [])
    installation.change("bob", "B")
    assert says(other, "bob", "alice") == {"alice": "A", "bob": "B"}
    assert second == [["bob"]]


def test_a_change_shows_at_once_on_every_worker_that_hears_of_it(installation):
    (one, _), (other, _) = installation.worker(), installation.worker()
    installation.change("alice", "A")
    assert says(one, "alice") == says(other, "alice") == {"alice": "A"}
    installation.change("alice", "Alice")
    one.forget(["alice"])
    other.forget(["alice"])
    assert says(one, "alice") == says(other, "alice") == {"alice": "Alice"}


def test_a_change_of_which_nobody_heard_shows_after_a_while(installation):
    one, _ = installation.worker()
    installation.change("alice", "A")
    says(one, "alice")
    installation.change("alice", "Alice")
    installation.shelves.clock.advance(KEPT - 1)
    assert says(one, "alice") == {"alice": "A"}
    installation.shelves.clock.advance(1)
    assert says(one, "alice") == {"alice": "Alice"}


def test_who_heard_of_a_change_does_not_believe_a_cache_that_did_not(installation):
    one, _ = installation.worker()
    installation.change("alice", "A")
    says(one, "alice")
    installation.shelves.cache.loses = True
    installation.change("alice", "Alice")
    one.forget(["alice"])
    assert says(one, "alice") == {"alice": "Alice"}


def test_what_was_read_before_a_change_is_not_kept_after_it(installation):
    (one, _), (other, _) = installation.worker(), installation.worker()
    installation.change("alice", "A")

    def change():
        one._store.meanwhile = lambda: None
        installation.change("alice", "Alice")
        one.forget(["alice"])

    one._store.meanwhile = change
    assert says(one, "alice") == {"alice": "A"}
    assert says(other, "alice") == {"alice": "Alice"}
    installation.shelves.clock.advance(AHEAD_SECONDS + 0.1)
    assert says(one, "alice") == {"alice": "Alice"}

"""Data keys are made once, kept within bounds, and never taken for missing because they were set aside."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from twisted.internet.defer import Deferred

from chatd.records.keys import WrappedKey
from chatd.security.keyring import Keyring, MasterKeys
from chatd.security.sealing import AuthorKey, Unreadable
from chatd.state.authors import SERVER, Authors
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.keys import MemoryKeys
from tests.kit.at_once import Watch, at_once, watch

KEYRING = Keyring(MasterKeys({"1": bytes(range(32))}))
OTHER_KEYRING = Keyring(MasterKeys({"2": bytes(range(1, 33))}))


class SlowKeys(MemoryKeys):
    """Keys in memory that count how often they are asked for, and let whoever asks wait while ``held``."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase(lambda: datetime.now(UTC)))
        self.asked: list[list[str]] = []
        self.held: list[Deferred[None]] | None = None

    async def keys(self, users: Sequence[str]) -> list[WrappedKey]:
        self.asked.append(sorted(users))
        found = await super().keys(users)
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        return found

    def answer(self) -> None:
        held, self.held = self.held or [], None
        for waiting in held:
            waiting.callback(None)

    def replace(self, key: WrappedKey) -> None:
        self._database.keys[key.user] = key


@pytest.fixture
def store() -> SlowKeys:
    return SlowKeys()


@pytest.fixture
def authors(store: SlowKeys) -> Authors:
    return Authors(store, KEYRING, capacity=2)


def same(one: object, other: object) -> bool:
    """Whether two keys are the same data key: what one seals opens with the other."""
    assert isinstance(one, AuthorKey)
    assert isinstance(other, AuthorKey)
    return one.author == other.author and other.digest(b"hello") == one.digest(b"hello")


def test_a_key_is_made_on_first_use_and_kept(authors: Authors, store: SlowKeys) -> None:
    assert authors.known("alice") is None
    key = at_once(authors.writing("alice"))
    assert key.author == "alice"
    assert authors.known("alice") is key
    assert at_once(authors.writing("alice")) is key
    assert store.asked == [["alice"], [SERVER]]


def test_another_worker_finds_the_same_key(authors: Authors, store: SlowKeys) -> None:
    assert same(at_once(authors.writing("alice")), at_once(Authors(store, KEYRING).writing("alice")))


def test_first_uses_at_the_same_time_end_with_one_key(authors: Authors, store: SlowKeys) -> None:
    """On one worker and on two: what the store keeps is what counts."""
    elsewhere = Authors(store, KEYRING)
    store.held = []
    first: list[Watch] = [watch(one.writing("alice")) for one in (authors, authors, elsewhere)]
    store.answer()
    keys = [one.result for one in first]
    assert all(same(keys[0], key) for key in keys)
    kept = authors.known("alice")
    assert same(keys[0], kept)
    assert same(keys[0], elsewhere.known("alice"))
    assert same(keys[0], at_once(Authors(store, KEYRING).reading({"alice"}))["alice"])


def test_the_least_recently_used_key_goes_first(authors: Authors, store: SlowKeys) -> None:
    for user in ("alice", "bob", "eve"):
        at_once(Authors(store, KEYRING).writing(user))
    for user in ("alice", "bob"):
        at_once(authors.writing(user))
    authors.known("alice")
    at_once(authors.writing("eve"))
    assert [user for user in ("alice", "bob", "eve") if authors.known(user)] == ["alice", "eve"]


def test_more_keys_can_be_read_with_than_are_kept(authors: Authors, store: SlowKeys) -> None:
    users = {"alice", "bob", "carol", "dave", "eve"}
    for user in users:
        at_once(authors.writing(user))
    keys = at_once(authors.reading(users))
    assert {user: getattr(key, "author", None) for user, key in keys.items()} == {user: user for user in users}


def test_a_key_that_is_set_aside_meanwhile_is_still_read_with(authors: Authors, store: SlowKeys) -> None:
    """Otherwise what somebody wrote would be shown as unreadable, now and then, under load."""
    at_once(authors.writing("alice"))
    for user in ("bob", "carol", "dave"):
        at_once(Authors(store, KEYRING).writing(user))
    store.held = []
    reading = watch(authors.reading({"alice", "bob"}))
    held, store.held = store.held, None
    at_once(authors.reading({"carol", "dave"}))
    assert authors.known("alice") is None
    held[0].callback(None)
    assert sorted(reading.result) == ["alice", "bob"]
    assert isinstance(reading.result["alice"], AuthorKey)


def test_only_what_is_not_at_hand_is_asked_for(authors: Authors, store: SlowKeys) -> None:
    at_once(authors.writing("alice"))
    store.asked.clear()
    at_once(authors.reading({"alice"}))
    assert store.asked == []
    at_once(authors.reading({"alice", "bob"}))
    assert store.asked == [["bob"]]


def test_somebody_without_a_key_has_none_to_read_with_and_is_not_given_one(authors: Authors, store: SlowKeys) -> None:
    assert at_once(authors.reading({"nobody"})) == {}
    assert at_once(store.keys(["nobody"])) == []


def test_a_key_that_cannot_be_opened_is_told_apart_from_none(authors: Authors, store: SlowKeys) -> None:
    """One is a fault to be mended, the other a person who was forgotten as they wished."""
    store.replace(OTHER_KEYRING.create("alice"))
    at_once(authors.writing("bob"))
    keys = at_once(authors.reading({"alice", "bob", "nobody"}))
    assert str(keys["alice"]) == "the master key of this version is not configured"
    assert isinstance(keys["alice"], Unreadable)
    assert isinstance(keys["bob"], AuthorKey)
    assert sorted(keys) == ["alice", "bob"]
    with pytest.raises(Unreadable):
        at_once(authors.writing("alice"))
    assert authors.known("alice") is None


def test_somebody_elses_key_does_not_open_under_another_name(authors: Authors, store: SlowKeys) -> None:
    bob = KEYRING.create("bob")
    store.replace(msgspec.structs.replace(bob, user="alice"))
    with pytest.raises(Unreadable):
        at_once(authors.writing("alice"))


def test_under_wrong_master_keys_nobody_is_given_a_key(authors: Authors, store: SlowKeys) -> None:
    """It would be lost as soon as the right ones are there."""
    at_once(authors.writing("alice"))
    elsewhere = Authors(store, Keyring(MasterKeys({"1": bytes(range(1, 33))})))
    with pytest.raises(Unreadable, match="wrapped by another master key"):
        at_once(elsewhere.writing("bob"))
    assert at_once(store.keys(["bob"])) == []


def test_a_key_is_forgotten_when_it_is_destroyed(authors: Authors, store: SlowKeys) -> None:
    old = at_once(authors.writing("alice"))
    at_once(store.destroy("alice"))
    assert authors.known("alice") is old
    authors.forget("alice")
    authors.forget("nobody")
    assert not same(old, at_once(authors.writing("alice")))

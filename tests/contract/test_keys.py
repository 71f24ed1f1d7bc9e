"""What the store promises about people's data keys."""

import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from chatd.records.keys import WrappedKey
from tests.kit.stores import new_user


def key(user, wrapped=bytes(range(256))):
    return WrappedKey(user=user, master="2024", wrapped=wrapped)


@pytest_twisted.ensureDeferred
async def test_a_key_comes_back_as_it_was_kept(stores):
    alice = new_user('"O\'Brien" \\ {a,NULL} 🙂')
    kept = await stores.keys.add(key(alice))
    assert kept == key(alice)
    assert await stores.keys.keys([alice]) == [kept]


@pytest_twisted.ensureDeferred
async def test_only_keys_that_exist_come_back_each_once(stores):
    alice, bob, carol = new_user("a"), new_user("b"), new_user("c")
    await stores.keys.add(key(alice))
    await stores.keys.add(key(bob))
    found = await stores.keys.keys([carol, bob, alice, bob])
    assert sorted(found, key=lambda one: one.user) == [key(alice), key(bob)]
    assert await stores.keys.keys([carol]) == []
    assert await stores.keys.keys([]) == []


@pytest_twisted.ensureDeferred
async def test_the_first_key_of_a_person_counts(stores):
    alice = new_user()
    assert await stores.keys.add(key(alice, b"first")) == key(alice, b"first")
    assert await stores.keys.add(key(alice, b"second")) == key(alice, b"first")
    assert await stores.keys.keys([alice]) == [key(alice, b"first")]


@pytest_twisted.ensureDeferred
async def test_of_keys_added_at_once_one_counts_for_all(stores):
    alice = new_user()
    kept = await gatherResults([Deferred.fromCoroutine(stores.keys.add(key(alice, bytes([n])))) for n in range(5)])
    assert [*set(kept)] == await stores.keys.keys([alice])

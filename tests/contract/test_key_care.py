"""What the store promises to whoever rotates and destroys keys."""

from datetime import timedelta
from uuid import uuid4

import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from chatd.records.keys import Rewrapped, WrappedKey
from tests.kit.stores import new_user


def key(user, master="1", wrapped=b"key"):
    return WrappedKey(user=user, master=master, wrapped=wrapped)


def new_master():
    return f"v-{uuid4().hex[:12]}"


async def keep(stores, *keys):
    for one in keys:
        assert await stores.keys.add(one) == one


@pytest_twisted.ensureDeferred
async def test_keys_are_counted_by_their_master_key(stores):
    old, new = new_master(), new_master()
    await keep(stores, key(new_user(), old), key(new_user(), old), key(new_user(), new))
    counts = await stores.keys.counts()
    assert (counts[old], counts[new]) == (2, 1)
    versions = await stores.keys.masters()
    assert versions == sorted(versions)
    assert {old, new} <= set(versions)


@pytest_twisted.ensureDeferred
async def test_keys_of_a_master_key_are_paged_through_in_the_order_of_their_users(stores):
    master = new_master()
    users = sorted(f"{prefix}-{uuid4().hex[:8]}" for prefix in ("", "B", "a", "é", "🙂"))
    await keep(stores, *(key(user, master) for user in reversed(users)), key(new_user(), new_master()))
    first = await stores.keys.page(master, None, 3)
    rest = await stores.keys.page(master, first[-1].user, 3)
    assert [one.user for one in first + rest] == users
    assert await stores.keys.page(master, users[-1], 3) == []


@pytest_twisted.ensureDeferred
async def test_without_a_master_key_all_are_paged_through(stores):
    one, other = sorted([new_user("~z"), new_user("~z")])
    await keep(stores, key(one, new_master()), key(other, new_master()))
    assert [found.user for found in await stores.keys.page(None, "~z", 2)] == [one, other]


@pytest_twisted.ensureDeferred
async def test_a_key_is_replaced_by_what_was_made_from_it(stores):
    alice, bob = key(new_user()), key(new_user())
    await keep(stores, alice, bob)
    new = [Rewrapped(before=one, after=key(one.user, "2", b"anew")) for one in (bob, alice)]
    assert await stores.keys.rewrap(new) == 2
    for one in new:
        assert await stores.keys.keys([one.before.user]) == [one.after]


@pytest_twisted.ensureDeferred
async def test_a_key_that_changed_meanwhile_is_left_as_it_is(stores):
    alice = key(new_user())
    await keep(stores, alice)
    first = Rewrapped(before=alice, after=key(alice.user, "2", b"first"))
    assert await stores.keys.rewrap([first]) == 1
    assert await stores.keys.rewrap([Rewrapped(before=alice, after=key(alice.user, "3", b"second"))]) == 0
    assert await stores.keys.keys([alice.user]) == [first.after]


@pytest_twisted.ensureDeferred
async def test_a_destroyed_key_does_not_come_back_by_a_rotation_under_way(stores):
    alice = key(new_user())
    await keep(stores, alice)
    assert await stores.keys.destroy(alice.user) is not None
    assert await stores.keys.rewrap([Rewrapped(before=alice, after=key(alice.user, "2"))]) == 0
    assert await stores.keys.keys([alice.user]) == []


@pytest_twisted.ensureDeferred
async def test_of_rotations_at_once_each_key_is_replaced_by_one(stores):
    keys = [key(new_user()) for _ in range(20)]
    await keep(stores, *keys)
    rounds = [
        [Rewrapped(before=one, after=key(one.user, str(n), bytes([n]))) for one in (keys if n % 2 else keys[::-1])]
        for n in range(4)
    ]
    done = await gatherResults([Deferred.fromCoroutine(stores.keys.rewrap(one)) for one in rounds])
    assert sum(done) == len(keys)


@pytest_twisted.ensureDeferred
async def test_a_destruction_is_remembered_with_its_time(stores):
    alice, bob = key(new_user()), key(new_user())
    await keep(stores, alice, bob)
    at = await stores.keys.destroy(alice.user)
    assert await stores.keys.destructions([alice.user, bob.user, new_user()]) == {alice.user: at}
    lately = await stores.keys.destroyed_within(60.0)
    assert lately[alice.user] == at
    assert bob.user not in lately
    assert alice.user not in await stores.keys.destroyed_within(-60.0)
    assert await stores.keys.keys([alice.user, bob.user]) == [bob]


@pytest_twisted.ensureDeferred
async def test_a_key_that_is_no_more_is_not_destroyed_again(stores):
    alice = key(new_user())
    await keep(stores, alice)
    at = await stores.keys.destroy(alice.user)
    assert await stores.keys.destroy(alice.user) == at
    assert await stores.keys.destroy(new_user()) is None


@pytest_twisted.ensureDeferred
async def test_whoever_comes_back_is_given_another_key_which_can_be_destroyed_too(stores):
    user = new_user()
    await keep(stores, key(user, wrapped=b"first"))
    at = await stores.keys.destroy(user)
    await keep(stores, key(user, wrapped=b"second"))
    assert await stores.keys.add(key(user, wrapped=b"third")) == key(user, wrapped=b"second")
    assert await stores.keys.destructions([user]) == {user: at}
    later = await stores.keys.destroy(user)
    assert later - at > timedelta(0)
    assert await stores.keys.keys([user]) == []

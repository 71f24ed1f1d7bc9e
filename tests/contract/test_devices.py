"""What the store promises about devices and revoked tokens."""

import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from chatd.records.devices import EndDevices, Sighting
from chatd.state.ids import event_queue
from chatd.state.queues import queue_roster
from tests.kit.stores import draft, new_user

FAR = 4e9
"""Some time in 2096."""


async def shown(stores, user, device, token_id="t1", expires_at=FAR):
    await stores.devices.note(Sighting(user=user, device=device, token_id=token_id, expires_at=expires_at))


async def end(stores, user, device, *, kept="phone", spared=None, issued_until=100.0, kept_until=FAR):
    effect = EndDevices(
        user=user, device=device, kept=kept, spared=spared, issued_until=issued_until, kept_until=kept_until
    )
    ending = draft(
        event_queue(user),
        author=user,
        kind="device.ended",
        roster=queue_roster(user),
        begins=True,
        effects=(effect,),
    )
    [place] = await stores.log.change([ending])
    return place


async def names(stores, user):
    return [device.device for device in await stores.devices.devices(user)]


async def revoked(stores, user):
    """By device and token: until when what was issued is refused, and what is spared."""
    found = [one for one in await stores.devices.revocations() if one.user == user]
    return {(one.device, one.token_id): (one.issued_until, one.spared) for one in found}


@pytest_twisted.ensureDeferred
async def test_a_device_is_there_from_its_first_token_on(stores):
    alice = new_user()
    assert await stores.devices.devices(alice) == []
    await shown(stores, alice, "tablet")
    await shown(stores, alice, "phone", None)
    [phone, tablet] = await stores.devices.devices(alice)
    assert (phone.device, tablet.device) == ("phone", "tablet")
    await shown(stores, alice, "tablet", "t2")
    [_, again] = await stores.devices.devices(alice)
    assert again.first_at == tablet.first_at <= tablet.last_at <= again.last_at
    assert await names(stores, new_user()) == []


@pytest_twisted.ensureDeferred
async def test_many_sightings_at_once_are_all_noted(stores):
    alice, bob = new_user("alice"), new_user("bob")
    sightings = [("phone", "t1"), ("tablet", "t1"), ("phone", "t1"), ("phone", "t2"), ("tablet", None)]
    await gatherResults(
        [Deferred.fromCoroutine(shown(stores, user, *one)) for user in (alice, bob) for one in sightings]
    )
    assert await names(stores, alice) == await names(stores, bob) == ["phone", "tablet"]


@pytest_twisted.ensureDeferred
async def test_a_device_that_is_ended_takes_its_tokens_along(stores):
    alice = new_user()
    for device, token_id in (("phone", "mine"), ("tablet", "t1"), ("tablet", "t2"), ("tablet", "mine")):
        await shown(stores, alice, device, token_id)
    place = await end(stores, alice, "tablet", spared="mine")
    assert (place.conversation, place.seq) == (event_queue(alice), 1)
    assert await names(stores, alice) == ["phone"]
    assert await revoked(stores, alice) == {
        (None, "t1"): (100.0, None),
        (None, "t2"): (100.0, None),
        ("tablet", None): (100.0, None),
    }


@pytest_twisted.ensureDeferred
async def test_it_may_come_back_and_be_ended_again(stores):
    alice = new_user()
    await shown(stores, alice, "tablet", "t1")
    await end(stores, alice, "tablet", issued_until=200.0)
    await shown(stores, alice, "tablet", "t2")
    assert await names(stores, alice) == ["tablet"]
    await end(stores, alice, "tablet", issued_until=150.0)
    assert await revoked(stores, alice) == {
        (None, "t1"): (200.0, None),
        (None, "t2"): (150.0, None),
        ("tablet", None): (200.0, None),
    }


@pytest_twisted.ensureDeferred
async def test_a_device_that_was_never_seen_can_be_ended(stores):
    alice = new_user()
    await end(stores, alice, "tablet")
    assert await revoked(stores, alice) == {("tablet", None): (100.0, None)}


@pytest_twisted.ensureDeferred
async def test_ending_all_others_spares_one_token(stores):
    alice, bob = new_user("alice"), new_user("bob")
    for device in ("phone", "tablet", "watch"):
        await shown(stores, alice, device, f"of-{device}")
    await shown(stores, bob, "tablet")
    await end(stores, alice, None, spared="of-phone")
    assert await names(stores, alice) == ["phone"]
    assert await names(stores, bob) == ["tablet"]
    assert await revoked(stores, alice) == {(None, None): (100.0, "of-phone")}
    await end(stores, alice, None, spared="another", issued_until=90.0)
    assert await revoked(stores, alice) == {(None, None): (100.0, "another")}
    assert await revoked(stores, bob) == {}


@pytest_twisted.ensureDeferred
async def test_revocations_are_told_until_they_refuse_nothing_more(stores):
    alice = new_user()
    await shown(stores, alice, "tablet", "t1", expires_at=5.0)
    await end(stores, alice, "tablet", kept_until=6.0)
    assert await revoked(stores, alice) == {}
    lately = [one for one in await stores.devices.revocations(within=600.0) if one.user == alice]
    assert sorted((one.device or "", one.kept_until) for one in lately) == [("", 5.0), ("tablet", 6.0)]
    await stores.devices.prune()
    assert [one for one in await stores.devices.revocations(within=600.0) if one.user == alice] == []

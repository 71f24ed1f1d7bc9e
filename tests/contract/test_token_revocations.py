"""What the store promises about tokens that the product revokes."""

import pytest_twisted

from chatd.records.devices import RevokeTokens
from chatd.state.ids import event_queue
from chatd.state.queues import queue_roster
from tests.contract.test_devices import FAR, end, revoked, shown
from tests.kit.stores import draft, new_user


async def revoke(stores, user, token_id=None, *, issued_until=100.0, kept_until=FAR):
    effect = RevokeTokens(user=user, token_id=token_id, issued_until=issued_until, kept_until=kept_until)
    change = draft(
        event_queue(user),
        author="back-end",
        kind="token.revoked",
        roster=queue_roster(user),
        begins=True,
        effects=(effect,),
    )
    [place] = await stores.log.change([change])
    return place


@pytest_twisted.ensureDeferred
async def test_a_single_token_or_all_until_then(stores):
    alice, bob = new_user("alice"), new_user("bob")
    place = await revoke(stores, alice, "t1")
    assert (place.conversation, place.seq) == (event_queue(alice), 1)
    await revoke(stores, alice, issued_until=50.0)
    assert await revoked(stores, alice) == {(None, "t1"): (100.0, None), (None, None): (50.0, None)}
    assert await revoked(stores, bob) == {}


@pytest_twisted.ensureDeferred
async def test_nothing_is_taken_back_by_a_lesser_one(stores):
    alice = new_user()
    for issued_until in (100.0, 50.0):
        await revoke(stores, alice, issued_until=issued_until)
    assert await revoked(stores, alice) == {(None, None): (100.0, None)}


@pytest_twisted.ensureDeferred
async def test_what_an_ending_spared_is_spared_until_all_is_refused_anew(stores):
    alice = new_user()
    await shown(stores, alice, "phone", "mine")
    await end(stores, alice, None, spared="mine", issued_until=100.0)
    await revoke(stores, alice, issued_until=50.0)
    assert await revoked(stores, alice) == {(None, None): (100.0, "mine")}
    await revoke(stores, alice, issued_until=150.0)
    assert await revoked(stores, alice) == {(None, None): (150.0, None)}


@pytest_twisted.ensureDeferred
async def test_new_ones_are_told_at_once(stores):
    alice = new_user()
    await revoke(stores, alice, "t1")
    assert [one.token_id for one in await stores.devices.revocations(within=60.0) if one.user == alice] == ["t1"]

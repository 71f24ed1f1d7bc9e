"""What the store promises about profiles: a person's own goes before what a token says, and time only grows."""

import pytest_twisted

from chatd.records.logs import Entry
from chatd.records.people import ProfileGiven
from chatd.state.ids import event_queue
from chatd.state.queues import queue_roster
from tests.kit.stores import draft, new_user, texts


def giving(user, text):
    queue = queue_roster(user)
    return draft(
        queue.conversation,
        text,
        author=user,
        kind="profile.updated",
        roster=queue,
        begins=True,
        effects=(ProfileGiven(),),
    )


def claimed(user, text, time):
    return Entry(
        conversation=event_queue(user),
        seq=0,
        time=time,
        author=user,
        client_id="",
        kind="profile.updated",
        sealed=text.encode(),
    )


@pytest_twisted.ensureDeferred
async def test_a_profile_is_the_entry_that_gave_it(stores):
    alice, bob = new_user("alice"), new_user("bob")
    change = giving(alice, "Alice")
    [placed] = await stores.log.change([change])
    [profile] = await stores.profiles.profiles([alice, bob, alice])
    assert profile == Entry(
        conversation=event_queue(alice),
        seq=placed.seq,
        time=placed.time,
        author=alice,
        client_id=change.client_id,
        kind="profile.updated",
        sealed=b"Alice",
    )
    assert await stores.profiles.profiles([bob]) == []


@pytest_twisted.ensureDeferred
async def test_the_last_one_counts_and_is_later_than_the_one_before(stores):
    alice = new_user("alice")
    await stores.log.change([giving(alice, "A"), giving(alice, "Al")])
    [first] = await stores.profiles.profiles([alice])
    [placed] = await stores.log.change([giving(alice, "Alice")])
    [second] = await stores.profiles.profiles([alice])
    assert texts([first, second]) == ["Al", "Alice"]
    assert (first.seq, second.seq) == (2, placed.seq)
    assert second.time > first.time


@pytest_twisted.ensureDeferred
async def test_what_a_token_says_holds_until_a_person_speaks_for_themselves(stores):
    alice = new_user("alice")
    [placed] = await stores.log.change([giving(new_user(), "somebody else")])
    assert await stores.profiles.claim(claimed(alice, "token 1", placed.time))
    [first] = await stores.profiles.profiles([alice])
    assert (first.seq, first.client_id, first.sealed) == (0, "", b"token 1")
    assert await stores.profiles.claim(claimed(alice, "token 2", placed.time))
    [second] = await stores.profiles.profiles([alice])
    assert second.sealed == b"token 2"
    await stores.log.change([giving(alice, "her own")])
    assert not await stores.profiles.claim(claimed(alice, "token 3", placed.time))
    [third] = await stores.profiles.profiles([alice])
    assert (third.seq, third.sealed) == (1, b"her own")
    assert first.time < second.time < third.time

"""What the store promises about presence: leases, what becomes of them, and who knows whom."""

from uuid import uuid4

import pytest_twisted
from msgspec.structs import replace
from twisted.internet.defer import Deferred, gatherResults

from chatd.records.presence import Lease
from chatd.records.rosters import MEMBER, NOBODY, Membership, plain_roster
from tests.contract.test_relations import follow, relating
from tests.kit.stores import draft, new_id, new_user, open_one

LONG = 60.0


async def begun(stores):
    """A worker with a lease."""
    worker = str(uuid4())
    await stores.presence.begin(worker, LONG)
    return worker


async def write(stores, worker, **statuses):
    return await stores.presence.write(worker, [Lease(user=user, status=one) for user, one in statuses.items()])


async def status(stores, user):
    [seen] = await stores.presence.read([user])
    return seen.status


async def sweep_all(stores, limit=100):
    """Whom all sweeps find until there is nothing left."""
    found = []
    for _ in range(20):
        found += await stores.presence.sweep(limit)
    return found


@pytest_twisted.ensureDeferred
async def test_a_person_is_what_their_worker_says_of_them(stores):
    worker, alice, bob, carol = await begun(stores), new_user("a"), new_user("b"), new_user('"c\\')
    assert await write(stores, worker, **{alice: "online", bob: "away", carol: "invisible"})
    found = {seen.user: seen for seen in await stores.presence.read([bob, alice, carol, alice])}
    assert {user: seen.status for user, seen in found.items()} == {alice: "online", bob: "away", carol: "invisible"}
    assert await write(stores, worker, **{alice: "away", bob: None})
    assert (await status(stores, alice), await status(stores, bob)) == ("away", "offline")


@pytest_twisted.ensureDeferred
async def test_nobody_has_heard_of_the_others(stores):
    nobody = new_user()
    [seen] = await stores.presence.read([nobody])
    assert (seen.user, seen.status, seen.last_seen) == (nobody, "offline", None)
    assert await stores.presence.read([]) == []


@pytest_twisted.ensureDeferred
async def test_at_several_workers_the_most_present_counts(stores):
    one, other, alice = await begun(stores), await begun(stores), new_user()
    for here, there, counts in [
        ("invisible", "away", "away"),
        ("online", "away", "online"),
        ("invisible", "online", "online"),
        ("invisible", None, "invisible"),
    ]:
        await write(stores, one, **{alice: here})
        await write(stores, other, **{alice: there})
        assert await status(stores, alice) == counts


@pytest_twisted.ensureDeferred
async def test_what_is_read_later_is_of_later(stores):
    alice = new_user()
    [first] = await stores.presence.read([alice])
    [second] = await stores.presence.read([alice])
    assert first.as_of <= second.as_of


@pytest_twisted.ensureDeferred
async def test_who_goes_or_hides_was_last_seen_then_to_the_second(stores):
    worker, alice, bob = await begun(stores), new_user("a"), new_user("b")
    await write(stores, worker, **{alice: "online", bob: "away"})
    await write(stores, worker, **{alice: None, bob: "invisible"})
    for seen in await stores.presence.read([alice, bob]):
        assert seen.last_seen is not None
        assert seen.last_seen.microsecond == 0
        assert -1 < seen.as_of - seen.last_seen.timestamp() < 30


@pytest_twisted.ensureDeferred
async def test_the_invisible_leave_no_trace(stores):
    worker, alice, bob = await begun(stores), new_user("a"), new_user("b")
    await write(stores, worker, **{alice: "invisible", bob: "invisible"})
    await write(stores, worker, **{alice: None})
    await stores.expire(worker, 2 * LONG)
    await sweep_all(stores)
    assert [seen.last_seen for seen in await stores.presence.read([alice, bob])] == [None, None]


@pytest_twisted.ensureDeferred
async def test_a_lease_that_is_renewed_goes_on(stores):
    worker, alice = await begun(stores), new_user()
    await write(stores, worker, **{alice: "online"})
    await stores.expire(worker, LONG - 5)
    assert await stores.presence.renew(worker, LONG)
    await stores.expire(worker, LONG - 5)
    assert await status(stores, alice) == "online"


@pytest_twisted.ensureDeferred
async def test_a_lease_that_has_run_out_counts_no_longer_swept_or_not_and_is_never_renewed(stores):
    worker, alice = await begun(stores), new_user()
    await write(stores, worker, **{alice: "online"})
    await stores.expire(worker, 2 * LONG)
    [before] = await stores.presence.read([alice])
    assert (before.status, before.last_seen is None) == ("offline", False)
    await sweep_all(stores)
    [after] = await stores.presence.read([alice])
    assert (after.status, after.last_seen) == ("offline", before.last_seen)
    assert not await stores.presence.renew(worker, LONG)
    assert not await write(stores, worker, **{alice: "online"})
    assert await status(stores, alice) == "offline"
    assert not await stores.presence.renew(str(uuid4()), LONG)
    assert not await write(stores, str(uuid4()), **{alice: "online"})


@pytest_twisted.ensureDeferred
async def test_a_lease_can_be_made_shorter(stores):
    worker, alice = await begun(stores), new_user()
    await write(stores, worker, **{alice: "online"})
    assert await stores.presence.renew(worker, 5.0)
    assert await status(stores, alice) == "online"
    await stores.expire(worker, 6.0)
    assert await status(stores, alice) == "offline"


@pytest_twisted.ensureDeferred
async def test_a_dead_workers_people_are_swept_once_and_were_last_seen_when_it_last_gave_a_sign(stores):
    worker, living = await begun(stores), await begun(stores)
    people = [new_user(str(n)) for n in range(5)]
    await write(stores, worker, **dict.fromkeys(people, "online"))
    await write(stores, living, **{people[0]: "away"})
    await stores.expire(worker, 100 * LONG)
    swept = await gatherResults([Deferred.fromCoroutine(sweep_all(stores, 2)) for _ in range(2)])
    found = [user for one in swept for user in one if user in people]
    assert sorted(found) == sorted(people)
    assert not await stores.presence.renew(worker, LONG)
    first, *others = sorted(await stores.presence.read(people), key=lambda seen: people.index(seen.user))
    assert (first.status, {seen.status for seen in others}) == ("away", {"offline"})
    for seen in others:
        assert 99 * LONG < seen.as_of - seen.last_seen.timestamp() < 101 * LONG
    assert await stores.presence.renew(living, LONG)


@pytest_twisted.ensureDeferred
async def test_last_seen_never_goes_back(stores):
    worker, dead, alice = await begun(stores), await begun(stores), new_user()
    await write(stores, dead, **{alice: "online"})
    await write(stores, worker, **{alice: "online"})
    await write(stores, worker, **{alice: None})
    [before] = await stores.presence.read([alice])
    await stores.expire(dead, 100 * LONG)
    await sweep_all(stores)
    [after] = await stores.presence.read([alice])
    assert (after.status, after.last_seen) == ("offline", before.last_seen)


# -- who knows whom --


@pytest_twisted.ensureDeferred
async def test_people_know_each_other_by_a_conversation(stores):
    alice, bob, carol = new_user("a"), new_user("b"), new_user("c")
    await open_one(stores, alice, bob)
    pairs = [(alice, bob), (bob, alice), (alice, carol), (carol, bob), (alice, bob)]
    assert await stores.presence.acquainted(pairs) == {(alice, bob), (bob, alice)}
    assert await stores.presence.acquainted([]) == set()


@pytest_twisted.ensureDeferred
async def test_people_know_each_other_by_following_each_other(stores):
    alice, bob = new_user("a"), new_user("b")
    pairs = [(alice, bob), (bob, alice)]
    await stores.log.change([relating(alice, bob, follow)])
    assert await stores.presence.acquainted(pairs) == set()
    await stores.log.change([relating(bob, alice, follow)])
    assert await stores.presence.acquainted(pairs) == set(pairs)


@pytest_twisted.ensureDeferred
async def test_only_present_members_of_what_is_open_know_each_other(stores):
    alice, bob = new_user("a"), new_user("b")
    group = plain_roster(new_id(), "group", ())

    async def know_each_other_after(**change):
        after = lambda roster, seq: replace(roster, **change)  # noqa: E731
        [place] = await stores.log.change(
            [draft(group.conversation, author=alice, kind="group.altered", roster=group, begins=True, decide=after)]
        )
        assert place.seq
        return await stores.presence.acquainted([(alice, bob), (bob, alice)]) == {(alice, bob), (bob, alice)}

    both = {alice: MEMBER, bob: MEMBER}
    invited, left = Membership(standing="invited"), Membership(standing="left", until=3)
    assert not await know_each_other_after(
        members={alice: MEMBER}, others={bob: invited}, changes=both | {bob: invited}
    )
    assert await know_each_other_after(members=both, others=NOBODY, changes=both)
    assert not await know_each_other_after(members={alice: MEMBER}, changes={bob: left})
    assert await know_each_other_after(members=both, changes=both)
    assert not await know_each_other_after(closed=True, changes=NOBODY)

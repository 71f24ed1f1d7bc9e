"""What the stores promise about the people in and around groups, and about what must be read."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import pytest_twisted
from msgspec.structs import replace

from chatd.errors import NotFound
from chatd.handlers import rosters
from chatd.records.logs import Cursor, Page, Revision
from chatd.records.reading import MustRead
from chatd.records.rosters import Membership, Roster, Rules
from chatd.settings.model import Groups
from tests.kit.stores import draft, new_id, new_user, open_one, say, texts

LIMITS = Groups()
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


async def begin(stores, owner, *others, rules=None):
    group = Roster(conversation=new_id(), kind="group", members={})
    decide = partial(rosters.founded, owner, others, rules or Rules())
    return await change(stores, group, owner, decide, "founded", begins=True)


async def change(stores, roster, author, decide, text="changed", **more):
    """The roster after a change."""
    made = draft(roster.conversation, text, author=author, kind="group.changed", roster=roster, decide=decide, **more)
    [place] = await stores.log.change([made])
    if isinstance(place, Exception):
        raise place
    return place.roster


async def listed(stores, roster, standing, after="", limit=100, now=NOW):
    found = await stores.groups.people(roster.conversation, standing, after, now, limit)
    return [one.user for one in found]


@pytest_twisted.ensureDeferred
async def test_a_group_is_found_with_how_somebody_stands_to_it(stores):
    alice, bob = new_user("alice"), new_user("bob")
    rules = Rules(posting="admin", joining="open")
    roster = await begin(stores, alice, bob, rules=rules)
    found = await stores.groups.group(roster.conversation, alice)
    assert (found.rules, found.profile, found.member_count, found.closed) == (rules, 1, 2, False)
    assert found.membership == Membership(role="owner")
    assert (await stores.groups.group(roster.conversation, new_user())).membership is None
    await change(stores, roster, alice, lambda one, seq: rosters.changed(one, {}, closed=True))
    assert (await stores.groups.group(roster.conversation, alice)).closed
    assert await stores.groups.group(await open_one(stores, alice, bob), alice) is None
    assert await stores.groups.group(new_id(), alice) is None


@pytest_twisted.ensureDeferred
async def test_people_are_listed_by_how_they_stand_and_page_by_page(stores):
    alice = new_user("alice")
    roster = await begin(stores, alice, *"dbca")
    assert await listed(stores, roster, "member") == sorted(["a", "b", "c", "d", alice])
    assert await listed(stores, roster, "member", "a", 2) == sorted(["a", "b", "c", "d", alice])[1:3]
    for user in "xyz":
        roster = await change(stores, roster, alice, partial(rosters.banned, alice, user))
    roster = await change(stores, roster, "b", partial(rosters.left, "b"))
    assert await listed(stores, roster, "banned") == ["x", "y", "z"]
    assert await listed(stores, roster, "banned", "x", 1) == ["y"]
    assert "b" not in await listed(stores, roster, "member")
    assert await listed(stores, replace(roster, conversation=new_id()), "member") == []


@pytest_twisted.ensureDeferred
async def test_since_when_somebody_stands_so_does_not_move_while_they_do(stores):
    alice = new_user("alice")
    roster = await begin(stores, alice, "bob")

    async def since():
        found = await stores.groups.people(roster.conversation, "member", "", NOW, 10)
        return {one.user: one.at for one in found}["bob"]

    first = await since()
    roster = await change(stores, roster, alice, partial(rosters.assigned, alice, "bob", "admin", LIMITS))
    assert await since() == first
    roster = await change(stores, roster, "bob", partial(rosters.left, "bob"))
    roster = await change(stores, roster, alice, partial(rosters.added, alice, ["bob"], LIMITS))
    assert await since() > first


@pytest_twisted.ensureDeferred
async def test_invitations_are_found_until_they_lapse(stores):
    alice, bob = new_user("alice"), new_user("bob")
    groups = []
    for _ in range(3):
        roster = await begin(stores, alice)
        invite = partial(rosters.invited, alice, bob, NOW, LATER, LIMITS)
        groups.append(await change(stores, roster, alice, invite))
    groups.sort(key=lambda one: one.conversation)
    found = await stores.groups.invitations(bob, None, NOW, 10)
    assert [one.conversation for one in found] == [one.conversation for one in groups]
    assert [(one.by, one.profile, one.expires_at) for one in found] == [(alice, 1, LATER)] * 3
    behind = await stores.groups.invitations(bob, groups[0].conversation, NOW, 1)
    assert [one.conversation for one in behind] == [groups[1].conversation]
    assert await stores.groups.invitations(bob, None, LATER, 10) == []
    assert await listed(stores, groups[0], "invited") == [bob]
    assert await listed(stores, groups[0], "invited", now=LATER) == []
    await change(stores, groups[0], bob, partial(rosters.accepted, bob, NOW, LIMITS))
    await change(stores, groups[1], bob, partial(rosters.declined, bob, NOW))
    await change(stores, groups[2], alice, lambda one, seq: rosters.changed(one, {}, closed=True))
    assert await stores.groups.invitations(bob, None, NOW, 10) == []


@pytest_twisted.ensureDeferred
async def test_who_has_left_keeps_their_part_of_the_log_whatever_becomes_of_them(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice, bob)
    roster = await change(stores, roster, bob, partial(rosters.left, bob))
    theirs = Cursor(conversation=roster.conversation, seq=0)
    for decide in (
        partial(rosters.invited, alice, bob, NOW, LATER, LIMITS),
        partial(rosters.declined, bob, NOW),
        partial(rosters.banned, alice, bob),
        partial(rosters.unbanned, alice, bob),
    ):
        roster = await change(stores, await stores.conversations.roster(roster.conversation), alice, decide)
        membership = await stores.conversations.membership(roster.conversation, bob)
        assert (membership.since, membership.until) == (0, 2)
        assert texts(await stores.log.entries(bob, [theirs], 10)) == ["founded", "changed"]


@pytest_twisted.ensureDeferred
async def test_a_mute_is_remembered_of_who_has_left(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice, bob)
    roster = await change(stores, roster, alice, partial(rosters.muted, alice, bob, LATER, NOW))
    roster = await change(stores, roster, bob, partial(rosters.left, bob))
    kept = await stores.conversations.roster(roster.conversation)
    assert kept.others == roster.others
    roster = await change(stores, kept, alice, partial(rosters.added, alice, [bob], LIMITS))
    assert (await stores.conversations.roster(roster.conversation)).members[bob].muted_until == LATER


@pytest_twisted.ensureDeferred
async def test_who_has_left_is_shown_messages_as_they_were_then(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice, bob)
    await stores.log.append([draft(roster.conversation, text, author=alice, roster=roster) for text in "abc"])
    altered = lambda **more: lambda state, seq: replace(state, **dict.fromkeys(more, seq))  # noqa: E731

    async def revise(target, kind, text, **more):
        revision = Revision(target=target, revise=altered(**more))
        [place] = await stores.log.change(
            [draft(roster.conversation, text, author=alice, kind=kind, roster=roster, revision=revision)]
        )
        return place.roster

    await revise(2, "message.edited", "A", edited=True)
    await revise(3, "message.pinned", "pin", pinned=True)
    roster = await change(stores, roster, bob, partial(rosters.left, bob))
    await revise(2, "message.edited", "AA", edited=True)
    await revise(3, "message.edited", "B", edited=True)
    await revise(4, "message.pinned", "pin", pinned=True)

    async def seen(user, **more):
        page = Page(conversation=roster.conversation, reader=user, low=0, high=100, limit=10, newest=False, **more)
        return [(one.edit or one.entry).sealed.decode() for one in await stores.log.messages(page)]

    assert await seen(alice) == ["AA", "B", "c"]
    assert await seen(bob) == ["A", "b", "c"]
    assert await seen(alice, pinned=True) == ["B", "c"]
    assert await seen(bob, pinned=True) == ["b"]


@pytest_twisted.ensureDeferred
async def test_what_stands_at_some_places_is_read_at_once(stores):
    alice = new_user("alice")
    one, other = await begin(stores, alice), await open_one(stores, alice, "bob")
    await say(stores, other, "a", "b", author=alice)
    places = [(one.conversation, 1), (other, 2), (other, 3), (new_id(), 1), (other, 0)]
    found = await stores.log.at(places)
    assert sorted((entry.conversation, entry.seq, entry.sealed) for entry in found) == sorted(
        [(one.conversation, 1, b"founded"), (other, 2, b"b")]
    )
    assert {entry.kind for entry in found} == {"group.changed", "message.created"}
    assert await stores.log.at([]) == []


async def announce(stores, roster, author):
    announcement = draft(roster.conversation, "news", author=author, roster=roster, effects=(MustRead(),))
    assert await stores.log.repeats([announcement]) == [None]
    [place] = await stores.log.change([announcement])
    return place.seq


@pytest_twisted.ensureDeferred
async def test_what_must_be_read_is_confirmed_once_by_each(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice, bob)
    seq = await announce(stores, roster, alice)
    group, store = roster.conversation, stores.announcements
    assert await store.confirmed(group, seq) == 0
    assert [await store.confirm(group, seq, user) for user in (bob, bob, alice)] == [True, False, True]
    assert await store.confirmed(group, seq) == 2
    found = await store.confirmations(group, seq, "", 10)
    assert [one.user for one in found] == [alice, bob]
    assert found[0].at >= found[1].at
    assert [one.user for one in await store.confirmations(group, seq, alice, 1)] == [bob]
    assert await store.confirmed(group, seq + 1) is None
    assert await store.confirmations(group, seq + 1, "", 10) == []


@pytest_twisted.ensureDeferred
async def test_only_members_who_see_it_confirm_and_only_what_is_still_there(stores):
    alice, bob, carol = new_user("alice"), new_user("bob"), new_user("carol")
    roster = await begin(stores, alice, bob)
    seq = await announce(stores, roster, alice)
    roster = await change(stores, roster, alice, partial(rosters.added, alice, [carol], LIMITS))
    roster = await change(stores, roster, bob, partial(rosters.left, bob))
    group, store = roster.conversation, stores.announcements
    for user, place in ((bob, seq), (carol, seq), (new_user(), seq), (alice, seq + 1)):
        with pytest.raises(NotFound):
            await store.confirm(group, place, user)
    everything = lambda one, seq: rosters.changed(one, {}, rules=Rules(history="all"))  # noqa: E731
    roster = await change(stores, roster, alice, everything)
    assert await store.confirm(group, seq, carol)
    deleted = Revision(target=seq, revise=lambda state, at: replace(state, deleted=at))
    await change(stores, roster, alice, lambda one, at: one, revision=deleted)
    with pytest.raises(NotFound):
        await store.confirm(group, seq, alice)

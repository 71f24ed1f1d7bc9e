"""What the store tells a worker about the logs that its people follow."""

import pytest_twisted
from msgspec.structs import replace

from chatd.records.bus import Reach
from chatd.records.logs import Cursor
from chatd.records.rosters import Membership
from tests.kit.stores import draft, new_id, new_user, notice, open_one, say, texts


def at(conversation, seq=0):
    return Cursor(conversation=conversation, seq=seq)


def leaving(user):
    def decide(roster, seq):
        members = {name: one for name, one in roster.members.items() if name != user}
        return replace(roster, members=members, changes={user: Membership(standing="left", until=seq)})

    return decide


@pytest_twisted.ensureDeferred
async def test_a_tail_is_what_stands_behind_the_cursor_with_the_end_of_the_log(stores):
    conversation = await open_one(stores)
    await say(stores, conversation, "one", "two", "three")
    [tail] = await stores.log.tails([at(conversation, 1)], 10)
    assert (tail.conversation, tail.last_seq, tail.access) == (conversation, 3, 0)
    assert texts(tail.entries) == ["two", "three"]
    assert [entry.seq for entry in tail.entries] == [2, 3]


@pytest_twisted.ensureDeferred
async def test_a_tail_holds_changes_of_all_kinds_whoever_may_see_them(stores):
    conversation = await open_one(stores)
    await say(stores, conversation, "one")
    [left] = await stores.log.change([draft(conversation, "bye", kind="member.left", decide=leaving("bob"))])
    [tail] = await stores.log.tails([at(conversation)], 10)
    assert [(entry.seq, entry.kind) for entry in tail.entries] == [(1, "message.created"), (2, "member.left")]
    assert (left.seq, left.changed, tail.access) == (2, ("bob",), 1)


@pytest_twisted.ensureDeferred
async def test_tails_share_one_limit_the_first_cursors_first_and_each_has_its_end(stores):
    one, other, level = [await open_one(stores) for _ in range(3)]
    for conversation in (one, other, level):
        await say(stores, conversation, "a", "b", "c")
    tails = await stores.log.tails([at(level, 3), at(other, 1), at(one, 0)], 3)
    assert [(tail.conversation, texts(tail.entries), tail.last_seq) for tail in tails] == [
        (level, [], 3),
        (other, ["b", "c"], 3),
        (one, ["a"], 3),
    ]


@pytest_twisted.ensureDeferred
async def test_a_log_that_is_not_there_has_no_tail_and_a_cursor_beyond_the_end_an_empty_one(stores):
    conversation = await open_one(stores)
    await say(stores, conversation, "a")
    tails = await stores.log.tails([at(new_id()), at(conversation, 7)], 10)
    assert [(tail.conversation, tail.entries, tail.last_seq) for tail in tails] == [(conversation, (), 1)]
    assert await stores.log.tails([], 10) == []


@pytest_twisted.ensureDeferred
async def test_reaches_are_those_of_the_people_asked_for_in_logs_that_changed_of_late(stores):
    alice, bob, carol = new_user("alice"), new_user("bob"), new_user("carol")
    moved, old = await open_one(stores, alice, bob), await open_one(stores, alice, carol)
    for conversation in (moved, old):
        await say(stores, conversation, "a", "b", author=alice)
    await stores.age(old, 600)
    reaches = await stores.conversations.reaches([alice, carol], 300)
    assert reaches == [Reach(user=alice, conversation=moved, last_seq=2, since=0)]
    assert {reach.conversation for reach in await stores.conversations.reaches([alice], 900)} == {moved, old}
    assert await stores.conversations.reaches([], 900) == []


@pytest_twisted.ensureDeferred
async def test_whoever_left_is_shown_how_far_the_log_is_theirs(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await stores.log.change([draft(conversation, author=bob, kind="member.left", decide=leaving(bob))])
    await stores.log.change([draft(conversation, author=alice)])
    reaches = await stores.conversations.reaches([alice, bob], 60)
    assert sorted(reaches, key=lambda reach: reach.user) == [
        Reach(user=alice, conversation=conversation, last_seq=2, since=0),
        Reach(user=bob, conversation=conversation, last_seq=1, since=0, present=False),
    ]


@pytest_twisted.ensureDeferred
async def test_event_queues_are_among_what_people_reach(stores):
    alice, queue = new_user("alice"), new_id()
    await stores.conversations.open(new_id(), "direct", (alice,), [notice(queue, alice)])
    reaches = {reach.conversation: reach.last_seq for reach in await stores.conversations.reaches([alice], 60)}
    assert reaches[queue] == 1


@pytest_twisted.ensureDeferred
async def test_a_position_tells_whether_its_reader_is_a_member_now(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await stores.log.change([draft(conversation, author=bob, kind="member.left", decide=leaving(bob))])
    for user, present in ((alice, True), (bob, False)):
        [position] = await stores.conversations.positions(user, "phone")
        assert position.present is present

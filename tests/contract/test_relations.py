"""What the store promises about follows and blocks: decided on current state, and seen alike from both ends."""

import pytest_twisted
from msgspec.structs import replace
from twisted.internet.defer import Deferred, gatherResults

from chatd.errors import Forbidden, Unchanged
from chatd.records.logs import Appended, Cursor
from chatd.records.people import Blocks, Relating, Tie
from chatd.state.queues import queue_roster
from tests.kit.stores import draft, new_user, notice


def relating(author, other, relate, **more):
    """A change of how ``author`` and ``other`` stand to each other."""
    queue = queue_roster(author)
    return draft(
        queue.conversation,
        "related",
        author=author,
        kind="people.related",
        roster=queue,
        begins=True,
        relating=Relating(other=other, relate=relate),
        **more,
    )


def follow(tie):
    if tie.blocks or tie.blocked:
        raise Forbidden
    if tie.follows:
        raise Unchanged
    return replace(tie, follows=True)


def unfollow(tie):
    return replace(tie, follows=False)


def block(tie):
    if tie.blocks:
        raise Unchanged
    return replace(tie, blocks=True, follows=False, followed=False)


def unblock(tie):
    return replace(tie, blocks=False)


async def change(stores, *drafts):
    return [type(verdict).__name__ for verdict in await stores.log.change(drafts)]


async def names(stores, side, user, after="", limit=100):
    return [one.user for one in await stores.relations.page(side, user, after, limit)]


@pytest_twisted.ensureDeferred
async def test_people_are_strangers_until_somebody_says_otherwise(stores):
    alice, bob = new_user("alice"), new_user("bob")
    assert await stores.relations.tie(alice, bob) == Tie()
    assert await stores.relations.blocks(alice) == Blocks()
    for side in ("follows", "followers", "blocks"):
        assert await names(stores, side, alice) == []


@pytest_twisted.ensureDeferred
async def test_a_follow_is_seen_from_both_ends_and_only_the_one_way(stores):
    alice, bob = new_user("alice"), new_user("bob")
    [placed] = await stores.log.change([relating(alice, bob, follow)])
    assert await stores.relations.tie(alice, bob) == Tie(follows=True)
    assert await stores.relations.tie(bob, alice) == Tie(followed=True)
    assert (await names(stores, "follows", alice), await names(stores, "followers", bob)) == ([bob], [alice])
    assert (await names(stores, "follows", bob), await names(stores, "followers", alice)) == ([], [])
    [listed] = await stores.relations.page("follows", alice, "", 10)
    assert listed.since == placed.time
    assert await change(stores, relating(alice, bob, unfollow)) == ["Appended"]
    assert await stores.relations.tie(alice, bob) == Tie()
    assert await names(stores, "followers", bob) == []


@pytest_twisted.ensureDeferred
async def test_a_block_ends_follows_both_ways_and_leaves_those_of_others(stores):
    alice, bob, carol = new_user("alice"), new_user("bob"), new_user("carol")
    follows = [relating(one, other, follow) for one, other in ((alice, bob), (bob, alice), (carol, bob), (bob, carol))]
    assert await change(stores, *follows) == ["Appended"] * 4
    assert await change(stores, relating(alice, bob, block)) == ["Appended"]
    assert await stores.relations.tie(alice, bob) == Tie(blocks=True)
    assert await stores.relations.tie(bob, alice) == Tie(blocked=True)
    assert await stores.relations.tie(bob, carol) == Tie(follows=True, followed=True)
    assert (await names(stores, "follows", bob), await names(stores, "followers", bob)) == ([carol], [carol])
    assert await names(stores, "blocks", alice) == [bob]
    assert await stores.relations.blocks(alice) == Blocks(blocked=frozenset([bob]))
    assert await stores.relations.blocks(bob) == Blocks(blockers=frozenset([alice]))
    assert await change(stores, relating(bob, alice, block), relating(alice, bob, unblock)) == ["Appended"] * 2
    assert await stores.relations.tie(bob, alice) == Tie(blocks=True)


@pytest_twisted.ensureDeferred
async def test_each_change_of_a_batch_is_decided_on_what_those_before_it_left_whoever_made_them(stores):
    alice, bob = new_user("alice"), new_user("bob")
    verdicts = await change(
        stores,
        relating(alice, bob, follow),
        relating(alice, bob, follow),
        relating(bob, alice, block),
        relating(alice, bob, follow),
        relating(bob, alice, unblock),
        relating(alice, bob, follow),
    )
    assert verdicts == ["Appended", "Unchanged", "Appended", "Forbidden", "Appended", "Appended"]
    assert await stores.relations.tie(alice, bob) == Tie(follows=True)


@pytest_twisted.ensureDeferred
async def test_what_is_so_already_keeps_its_time(stores):
    alice, bob = new_user("alice"), new_user("bob")
    [first] = await stores.log.change([relating(alice, bob, follow)])
    await stores.log.change([relating(bob, alice, follow)])
    [listed] = await stores.relations.page("follows", alice, "", 10)
    assert listed.since == first.time


@pytest_twisted.ensureDeferred
async def test_what_is_refused_changes_nothing_and_tells_nobody(stores):
    alice, bob = new_user("alice"), new_user("bob")
    await stores.log.change([relating(bob, alice, block)])
    news = notice(queue_roster(bob).conversation, bob, author=alice)
    assert await change(stores, relating(alice, bob, follow, notices=(news,))) == ["Forbidden"]
    assert await stores.relations.tie(bob, alice) == Tie(blocks=True)
    queue = Cursor(conversation=queue_roster(bob).conversation, seq=0)
    assert [entry.author for entry in await stores.log.entries(bob, [queue], 10)] == [bob]


@pytest_twisted.ensureDeferred
async def test_follows_and_blocks_at_the_same_time_never_stand_together(stores):
    """Whichever comes first: no follow is there where a block is, and nothing deadlocks."""
    for _ in range(8):
        alice, bob = new_user("alice"), new_user("bob")
        changes = [
            relating(alice, bob, follow),
            relating(bob, alice, follow),
            relating(bob, alice, block),
            relating(alice, bob, block),
        ]
        verdicts = await gatherResults([Deferred.fromCoroutine(stores.log.change([one])) for one in changes])
        assert [isinstance(verdict, Appended) for [verdict] in verdicts[2:]] == [True, True]
        assert await stores.relations.tie(alice, bob) == Tie(blocks=True, blocked=True)
        for user in (alice, bob):
            assert await names(stores, "follows", user) == await names(stores, "followers", user) == []


@pytest_twisted.ensureDeferred
async def test_lists_are_read_page_by_page_in_the_order_of_code_points(stores):
    alice = new_user("alice")
    others = [new_user(name) for name in ("zoe", "Bob", "émile", "bob", "😀")]
    await stores.log.change([relating(alice, other, follow) for other in others])
    expected = sorted(others)
    first = await names(stores, "follows", alice, limit=2)
    # Whoever comes or goes elsewhere in the list moves nobody from one page to another.
    await stores.log.change([relating(alice, expected[0], unfollow), relating(alice, new_user("Aa"), follow)])
    rest = await names(stores, "follows", alice, after=first[-1])
    assert [*first, *rest] == expected
    assert await names(stores, "follows", alice, after=expected[-1]) == []

"""What the store promises about the end of a log: it is of one moment, and that moment is told."""

import pytest_twisted
from zope.interface.verify import verifyObject

from chatd.interfaces.messages import IReactionStore
from chatd.interfaces.recent import IRecentStore
from chatd.records.logs import Page
from chatd.wire.types import MAX_INTEGER
from tests.contract.test_changes import alter, begin, joining, leaving, message
from tests.contract.test_hidden import edit, hide
from tests.contract.test_reactions import HEART, THUMB, add, delete, remove
from tests.kit.compared import Compared
from tests.kit.stores import new_id, new_user, open_one, say


def last(conversation, reader, limit=5):
    return Page(conversation=conversation, reader=reader, low=0, high=MAX_INTEGER, limit=limit, newest=True)


def test_it_is_what_it_says(stores):
    assert verifyObject(IRecentStore, stores.recent)
    assert verifyObject(IReactionStore, Compared(stores, 5).cached)


@pytest_twisted.ensureDeferred
async def test_what_is_the_same_for_all_is_what_one_reads_who_sees_everything(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await say(stores, conversation, "a", "b", "c", "d", author=alice)
    changes = [
        edit(conversation, alice, 2, "B"),
        add(conversation, alice, 3),
        add(conversation, bob, 3, THUMB),
        add(conversation, bob, 3),
        add(conversation, bob, 4),
        delete(conversation, 4),
    ]
    for change in changes:
        await stores.log.change([change])
    recent = await stores.recent.recent(conversation, 3)
    messages, tallies = await stores.reactions.page(last(conversation, bob, 3))
    assert [*recent.messages] == messages
    assert [(one.target, one.count, one.samples) for one in recent.counts] == [
        (one.target, one.count, one.samples) for one in tallies
    ]
    assert [one.mark for one in recent.counts] == [HEART, THUMB]
    assert await stores.recent.own(conversation, bob, [3, 4]) == {(3, HEART), (3, THUMB)}
    assert await stores.recent.own(conversation, alice, [2, 3]) == {(3, HEART)}
    assert await stores.recent.own(conversation, alice, []) == set()


@pytest_twisted.ensureDeferred
async def test_every_change_of_a_log_moves_its_end(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await say(stores, conversation, "a", author=alice)
    ends = [(await stores.recent.outlook(conversation, alice)).end]
    for change in (edit(conversation, alice, 1, "A"), add(conversation, bob), remove(conversation, bob)):
        await stores.log.change([change])
        outlook = await stores.recent.outlook(conversation, alice)
        assert (await stores.recent.recent(conversation, 1)).end == outlook.end
        ends.append(outlook.end)
    assert [end.seq for end in ends] == [1, 2, 3, 4]
    assert len({end.at for end in ends}) == 4


@pytest_twisted.ensureDeferred
async def test_what_somebody_sees_of_a_log(stores):
    owner, late, gone = new_user("owner"), new_user("late"), new_user("gone")
    roster = await begin(stores, owner, gone)
    group = roster.conversation
    await stores.log.change([message(roster, owner)])
    [place] = await stores.log.change([alter(roster, owner, leaving(gone))])
    [place] = await stores.log.change([alter(place.roster, owner, joining(late))])
    await stores.log.change([message(place.roster, owner)])

    async def sees(user):
        outlook = await stores.recent.outlook(group, user)
        return outlook and (outlook.end.seq, outlook.low, outlook.high, outlook.hides)

    assert await sees(owner) == (6, 0, 6, False)
    assert await sees(gone) == (6, 1, 4, False)
    assert await sees(new_user()) is None
    pages = Compared(stores, 5)
    for user, seen in ((owner, [3, 6]), (late, [6]), (gone, [3]), (new_user(), [])):
        for limit in (1, 2, 5):
            found, _ = await pages.page(last(group, user, limit))
            assert [one.entry.seq for one in found] == seen[-limit:]
    assert pages.shelf.hits == 5
    await stores.log.change(hide(owner, (group, 3)))
    assert await sees(owner) == (6, 0, 6, True)
    assert await sees(gone) == (6, 1, 4, False)


@pytest_twisted.ensureDeferred
async def test_of_what_is_not_there_or_empty_there_is_nothing(stores):
    alice = new_user()
    assert await stores.recent.recent(new_id(), 5) is None
    assert await stores.recent.outlook(new_id(), alice) is None
    empty = await open_one(stores, alice, "bob")
    assert (await stores.recent.recent(empty, 5)).messages == ()
    assert (await stores.recent.outlook(empty, alice)).end.seq == 0


class Held:
    """The store, whose next reading of what is recent waits, before it is done or after."""

    def __init__(self, stores):
        self._store, self.before, self.after = stores.recent, None, None
        self.outlook, self.own = stores.recent.outlook, stores.recent.own

    async def recent(self, conversation, limit):
        if self.before is not None:
            await self.before()
        found = await self._store.recent(conversation, limit)
        if self.after is not None:
            await self.after()
        return found


@pytest_twisted.ensureDeferred
async def test_a_log_that_moves_while_it_is_read_is_read_without_the_cache(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await say(stores, conversation, "a", author=alice)
    pages = Compared(stores, 10)
    held = pages.cached._recent = Held(stores)

    async def write():
        held.before = None
        await say(stores, conversation, "b", author=bob)

    held.before = write
    assert [one.entry.seq for one in (await pages.cached.page(last(conversation, alice)))[0]] == [1, 2]
    assert pages.shelves.cache.values == {}
    assert [one.entry.seq for one in (await pages.page(last(conversation, alice)))[0]] == [1, 2]
    assert len(pages.shelves.cache.values) == 1
    # What is written meanwhile is no reason not to keep what was read, and never to show that later.
    await say(stores, conversation, "c", author=bob)
    held.after = write
    assert [one.entry.seq for one in (await pages.cached.page(last(conversation, alice)))[0]] == [1, 2, 3]
    held.after = None
    assert [one.entry.seq for one in (await pages.page(last(conversation, alice)))[0]] == [1, 2, 3, 4]


@pytest_twisted.ensureDeferred
async def test_what_was_kept_before_a_backup_was_restored_is_not_shown(stores):
    """Its log has gone back, and comes to the same place by another way."""
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await say(stores, conversation, "a", author=alice)
    pages = Compared(stores, 10)
    await pages.page(last(conversation, alice))
    await stores.age(conversation, 60)
    hits = pages.shelf.hits
    await pages.page(last(conversation, alice))
    assert pages.shelf.hits == hits
    await pages.page(last(conversation, bob))
    assert pages.shelf.hits == hits + 1


@pytest_twisted.ensureDeferred
async def test_only_last_pages_of_the_usual_size_are_kept(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await say(stores, conversation, *"abcdefgh", author=alice)
    pages = Compared(stores, 5)
    others = [
        Page(conversation=conversation, reader=bob, low=0, high=5, limit=3, newest=True),
        Page(conversation=conversation, reader=bob, low=0, high=MAX_INTEGER, limit=3, newest=False),
        Page(conversation=conversation, reader=bob, low=0, high=MAX_INTEGER, limit=3, newest=True, thread=1),
        Page(conversation=conversation, reader=bob, low=0, high=MAX_INTEGER, limit=3, newest=True, pinned=True),
        last(conversation, bob, 6),
    ]
    for page in others:
        await pages.page(page)
    assert pages.shelves.cache.asked == 0
    for limit in (5, 1, 3):
        await pages.page(last(conversation, bob, limit))
    assert (pages.shelf.misses, pages.shelf.hits) == (1, 2)

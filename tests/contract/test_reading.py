"""What the store promises about what people have of their conversations: marks, what is unread, and the list."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import pytest_twisted
from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredList, gatherResults

from chatd.errors import Invalid, NotFound
from chatd.records.logs import Ack, Cursor, Elsewhere, Revision
from chatd.records.personal import Hiding, PersonalSetting
from chatd.records.reading import Count, Moved, Read, Receipts
from chatd.records.rosters import Membership, plain_roster
from chatd.state.ids import direct, event_queue
from chatd.state.queues import queue_roster
from tests.contract.test_changes import alter, begin, joining, leaving, message, with_people
from tests.kit.stores import draft, new_id, new_user, open_one, say

NOTHING = Moved(read=False, shown=False, delivered=False)
ALL = Moved(read=True, shown=True, delivered=True)
OPENLY = Moved(read=False, shown=True, delivered=False)


def read(user, conversation, seq, *, private=False):
    return Read(user=user, conversation=conversation, seq=seq, private=private)


async def marks_of(stores, conversation):
    return {mark.user: (mark.delivered, mark.read) for mark in await stores.reading.marks(conversation)}


async def unread(stores, user, conversation):
    """Messages and mentions that are unread."""
    view = await stores.reading.view(user, conversation)
    assert not view.unread.more
    assert not view.mentions.more
    return view.unread.number, view.mentions.number


def revision(conversation, target, kind, change, text="revised", **more):
    revising = Revision(target=target, revise=lambda state, seq: replace(state, **{change: seq}))
    return draft(conversation, text, author="bob", kind=kind, revision=revising, **more)


def deletion(conversation, target, **more):
    return revision(conversation, target, "message.deleted", "deleted", **more)


def edit(conversation, target, **more):
    return revision(conversation, target, "message.edited", "edited", **more)


# Reading


@pytest_twisted.ensureDeferred
async def test_what_a_person_has_hidden_is_not_unread_to_them_and_shown_without_its_text(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    said = [draft(conversation, text, author=bob, mentions=(alice,)) for text in "abc"]
    await stores.log.append(said)
    hiding = draft(
        event_queue(alice),
        author=alice,
        kind="message.hidden",
        roster=queue_roster(alice),
        begins=True,
        effects=(Hiding(conversation=conversation, seq=3),),
    )
    await stores.log.change([hiding])
    assert await unread(stores, alice, conversation) == (2, 2)
    for user, shown in ((alice, (True, b"")), (bob, (False, b"c"))):
        [listed] = await stores.reading.page(user, None, 10, False)
        assert (listed.last.entry.seq, (listed.last.entry.hidden, listed.last.entry.sealed)) == (3, shown)


@pytest_twisted.ensureDeferred
async def test_read_marks_only_move_forward_and_the_delivered_ones_move_along(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, *"abcdef")
    for seq, moved, stands in ((0, NOTHING, 0), (4, ALL, 4), (2, NOTHING, 4), (4, NOTHING, 4), (6, ALL, 6)):
        assert await stores.reading.read(read(alice, conversation, seq)) == moved
        assert await marks_of(stores, conversation) == {alice: (stands, stands), "bob": (0, 0)}
        view = await stores.reading.view(alice, conversation)
        assert (view.delivered, view.read) == (stands, stands)


@pytest_twisted.ensureDeferred
async def test_reading_leaves_the_devices_cursor_and_what_was_delivered_further(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, *"abcd")
    await stores.conversations.acknowledge(Ack(user=alice, device="phone", conversation=conversation, seq=3))
    assert await stores.reading.read(read(alice, conversation, 2)) == Moved(read=True, shown=True, delivered=False)
    assert (await marks_of(stores, conversation))[alice] == (3, 2)
    assert await stores.reading.read(read(alice, conversation, 4)) == ALL
    [position] = await stores.conversations.positions(alice, "phone")
    assert position.acknowledged == 3


@pytest_twisted.ensureDeferred
async def test_what_was_read_privately_is_known_to_the_reader_alone(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, *"abcde")
    assert await stores.reading.read(read(alice, conversation, 1)) == ALL
    private = Moved(read=True, shown=False, delivered=True)
    assert await stores.reading.read(read(alice, conversation, 4, private=True)) == private
    assert (await marks_of(stores, conversation))[alice] == (4, 1)
    assert (await stores.reading.view(alice, conversation)).read == 4
    assert await stores.reading.read(read(alice, conversation, 3)) == OPENLY
    assert (await marks_of(stores, conversation))[alice] == (4, 3)
    assert (await stores.reading.view(alice, conversation)).read == 4


@pytest_twisted.ensureDeferred
async def test_reads_that_come_at_once_are_answered_as_if_one_came_after_the_other(stores):
    alice = new_user()
    conversation, other = await open_one(stores, alice, "bob"), await open_one(stores, alice)
    await say(stores, conversation, *"abcdefgh")
    await say(stores, other, "a")
    asked = [
        (read(alice, conversation, 1), ALL),  # on its way, while the others gather
        (read(alice, conversation, 3, private=True), Moved(read=True, shown=False, delivered=True)),
        (read(alice, conversation, 2), OPENLY),
        (read(alice, conversation, 2), NOTHING),
        (read(alice, conversation, 9), Invalid),
        (read("bob", conversation, 2), ALL),
        (read(alice, conversation, 6), ALL),
        (read("mallory", conversation, 8), NotFound),
        (read(alice, other, 1), ALL),
        (read(alice, conversation, 5), NOTHING),
        (read(alice, new_id(), 0), NotFound),
    ]
    started = [Deferred.fromCoroutine(stores.reading.read(one)) for one, _ in asked]
    verdicts = await DeferredList(started, consumeErrors=True)
    assert [one if done else type(one.value) for done, one in verdicts] == [verdict for _, verdict in asked]
    assert await marks_of(stores, conversation) == {alice: (6, 6), "bob": (2, 2)}


@pytest_twisted.ensureDeferred
async def test_who_is_no_member_any_more_or_not_yet_has_no_marks(stores):
    alice, bob, eve = new_user("alice"), new_user("bob"), new_user("eve")
    roster = await begin(stores, alice, bob)
    invited = Membership(standing="invited", until=0, by=alice)
    await stores.log.change(
        [
            alter(roster, alice, lambda one, seq: with_people(one, {eve: invited})),
            alter(roster, bob, leaving(bob)),
        ]
    )
    for user in (bob, eve):
        with pytest.raises(NotFound):
            await stores.reading.read(read(user, roster.conversation, 0))
        assert await stores.reading.view(user, roster.conversation) is None
        assert await stores.reading.page(user, None, 10, False) == []
    assert [*await marks_of(stores, roster.conversation)] == [alice]
    assert await stores.reading.marks(new_id()) == []


@pytest_twisted.ensureDeferred
async def test_nobody_has_marks_where_nobody_was_told_that_there_is_anything(stores):
    """A block begins the direct conversation of two people unopened: by their marks it would be found out."""
    alice, bob = new_user("alice"), new_user("bob")
    queue, shared = queue_roster(alice), direct(alice, bob)
    pair = replace(plain_roster(shared, "direct", sorted((alice, bob))), opened=False)
    blocks = Elsewhere(roster=pair, decide=lambda roster, seq: replace(roster, changes={}))
    await stores.log.change([draft(queue.conversation, author=alice, roster=queue, begins=True, elsewhere=(blocks,))])
    assert not (await stores.conversations.roster(shared)).opened
    for reader in (alice, bob):
        with pytest.raises(NotFound):
            await stores.reading.read(read(reader, shared, 0))


@pytest_twisted.ensureDeferred
async def test_marks_survive_changes_of_rights(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice, bob)
    await stores.log.append([message(roster, alice)])
    await stores.reading.read(read(bob, roster.conversation, 3))
    promoting = lambda one, seq: with_people(one, {bob: Membership(role="admin", since=1)})  # noqa: E731
    await stores.log.change([alter(roster, alice, promoting)])
    assert (await marks_of(stores, roster.conversation))[bob] == (3, 3)


# What is unread


@pytest_twisted.ensureDeferred
async def test_unread_are_the_messages_of_others_behind_the_mark_that_stand(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a", "b", author="bob")
    await say(stores, conversation, "mine", author=alice)
    await say(stores, conversation, "c", "d", author="bob")
    assert await unread(stores, alice, conversation) == (4, 0)
    assert await unread(stores, "bob", conversation) == (1, 0)
    await stores.reading.read(read(alice, conversation, 1))
    assert await unread(stores, alice, conversation) == (3, 0)
    await stores.log.change([deletion(conversation, 4), edit(conversation, 5)])
    assert await unread(stores, alice, conversation) == (2, 0)
    await stores.reading.read(read(alice, conversation, 7))
    assert await unread(stores, alice, conversation) == (0, 0)


@pytest_twisted.ensureDeferred
async def test_mentions_are_counted_of_what_messages_say_now(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    said = [((alice,), "bob"), ((), "bob"), ((alice, "bob"), "bob"), ((alice,), alice), ((alice,), "bob")]
    await stores.log.append([draft(conversation, author=author, mentions=names) for names, author in said])
    assert await unread(stores, alice, conversation) == (4, 3)
    assert await unread(stores, "bob", conversation) == (1, 0)
    await stores.log.change(
        [edit(conversation, 1), edit(conversation, 2, mentions=(alice,)), deletion(conversation, 3)]
    )
    assert await unread(stores, alice, conversation) == (3, 2)
    await stores.reading.read(read(alice, conversation, 2))
    assert await unread(stores, alice, conversation) == (1, 1)


@pytest_twisted.ensureDeferred
async def test_nothing_is_unread_of_before_one_joined_nor_of_while_one_was_away(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice)
    group = roster.conversation

    async def say_and(decide, author):
        nonlocal roster
        await stores.log.append([message(roster, alice, mentions=(bob,)) for _ in range(3)])
        [place] = await stores.log.change([alter(roster, author, decide)])
        roster = place.roster

    await say_and(joining(bob), alice)
    assert await unread(stores, bob, group) == (0, 0)
    await say_and(leaving(bob), bob)
    assert await stores.reading.view(bob, group) is None
    await say_and(joining(bob), alice)
    assert await unread(stores, bob, group) == (0, 0)
    await stores.log.append([message(roster, alice, mentions=(bob,))])
    assert await unread(stores, bob, group) == (1, 1)


@pytest_twisted.ensureDeferred
async def test_counting_ends_at_a_thousand_and_says_so(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    for number, more in ((1000, False), (1, True)):
        await write_many(stores, conversation, number, mentions=(alice,))
        view = await stores.reading.view(alice, conversation)
        assert (view.unread, view.mentions) == (Count(number=1000, more=more), Count(number=1000, more=more))
    await stores.reading.read(read(alice, conversation, 1))
    assert await unread(stores, alice, conversation) == (1000, 1000)


@pytest_twisted.ensureDeferred
async def test_counting_ends_where_five_thousand_messages_were_looked_at(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await write_many(stores, conversation, 4999, author=alice, mentions=(alice,))
    await write_many(stores, conversation, 1, mentions=(alice,))
    assert await unread(stores, alice, conversation) == (1, 1)
    await write_many(stores, conversation, 2, mentions=(alice,))
    view = await stores.reading.view(alice, conversation)
    assert (view.unread, view.mentions) == (Count(number=1, more=True), Count(number=1, more=True))


async def write_many(stores, conversation, number, **more):
    for start in range(0, number, 500):
        batch = [draft(conversation, **{"author": "bob", **more}) for _ in range(min(500, number - start))]
        await stores.log.append(batch)


@pytest_twisted.ensureDeferred
async def test_every_view_is_right_for_the_moment_it_shows_whatever_goes_on(stores):
    """The log tells afterwards what was unread at each place of it."""
    alice, random = new_user(), Random(7)
    conversation = await open_one(stores, alice, "bob")
    views, naming = [], {}

    async def write(store, draft):
        [place] = await store([draft])
        naming[place.seq] = bool(draft.mentions)

    async def look():
        views.append(await stores.reading.view(alice, conversation))

    def act():
        names, target = random.choice([(), (alice,)]), random.randint(1, 20)
        said = draft(conversation, author=random.choice((alice, "bob")), mentions=names)
        calls = [
            lambda: write(stores.log.append, said),
            lambda: write(stores.log.change, edit(conversation, target, mentions=names)),
            lambda: write(stores.log.change, deletion(conversation, target)),
            lambda: stores.reading.read(read(alice, conversation, random.randint(0, 10))),
        ]
        return random.choice(calls)()

    for _ in range(20):
        await write(stores.log.append, draft(conversation, author="bob"))
    for _ in range(40):
        await gatherResults([Deferred.fromCoroutine(call) for call in (act(), look(), act(), look())])
    log = await stores.log.entries(alice, [Cursor(conversation=conversation, seq=0)], 1000)
    for view in views:
        unread = brute_force(log[: view.conversation.last_seq], naming, alice, view.read)
        expected = Count(number=len(unread), more=False), Count(number=sum(unread.values()), more=False)
        assert (view.unread, view.mentions) == expected
    assert len({(view.conversation.last_seq, view.read) for view in views}) > 20
    assert len({view.mentions.number for view in views}) > 3


def brute_force(log, naming, user, mark):
    """Which messages stood unread at the end of this log, and whether they mentioned the reader by then."""
    found = {}
    for entry in log:
        if entry.kind == "message.created" and entry.author != user and entry.seq > mark:
            found[entry.seq] = naming[entry.seq]
        elif entry.kind == "message.edited" and entry.target in found:
            found[entry.target] = naming[entry.seq]
        elif entry.kind == "message.deleted":
            found.pop(entry.target, None)
    return found


# Personal settings


def setting(user, conversation, change, until=None):
    wanted = PersonalSetting(user=user, conversation=conversation, change=change, until=until)
    more = {"roster": queue_roster(user), "begins": True, "effects": (wanted,)}
    return draft(event_queue(user), change, author=user, kind="personal", **more)


async def set_all(stores, user, conversation, *changes):
    """One after the other, in one batch."""
    verdicts = await stores.log.change([setting(user, conversation, change) for change in changes])
    assert [verdict.conversation for verdict in verdicts] == [event_queue(user)] * len(changes)


async def settings_of(stores, user, conversation):
    view = await stores.reading.view(user, conversation)
    return view.muted, view.muted_until, view.archived, view.private_reading


@pytest_twisted.ensureDeferred
async def test_settings_are_a_persons_own_and_the_last_of_a_batch_counts(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a")
    assert await settings_of(stores, alice, conversation) == (False, None, False, False)
    await set_all(stores, alice, conversation, "mute", "archive", "read privately", "unmute", "mute")
    assert await settings_of(stores, alice, conversation) == (True, None, True, True)
    assert await settings_of(stores, "bob", conversation) == (False, None, False, False)
    await set_all(stores, alice, conversation, "read openly", "unarchive", "unmute")
    assert await settings_of(stores, alice, conversation) == (False, None, False, False)


@pytest_twisted.ensureDeferred
async def test_a_mute_ends_at_its_time(stores):
    alice, hour = new_user(), timedelta(hours=1)
    conversation = await open_one(stores, alice, "bob")
    now = datetime.now(UTC)
    for until, muted in ((now + hour, True), (now - hour, False)):
        await stores.log.change([setting(alice, conversation, "mute", until)])
        assert await settings_of(stores, alice, conversation) == (muted, until if muted else None, False, False)


@pytest_twisted.ensureDeferred
async def test_whoever_reads_privately_by_setting_shows_nothing(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a", "b")
    await set_all(stores, alice, conversation, "read privately")
    assert await stores.reading.read(read(alice, conversation, 1)) == Moved(read=True, shown=False, delivered=True)
    await set_all(stores, alice, conversation, "read openly")
    assert (await marks_of(stores, conversation))[alice] == (1, 0)
    assert await stores.reading.read(read(alice, conversation, 1)) == OPENLY


@pytest_twisted.ensureDeferred
async def test_a_message_brings_a_conversation_back_from_the_archive_and_nothing_else_does(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a")
    await set_all(stores, alice, conversation, "archive")
    await stores.log.change([edit(conversation, 1)])
    assert await archived(stores, alice, conversation)
    await say(stores, conversation, "b")
    assert not await archived(stores, alice, conversation)
    await set_all(stores, alice, conversation, "archive")
    assert await archived(stores, alice, conversation)


async def archived(stores, user, conversation):
    """Whether it is archived; the lists agree with the single view."""
    view = await stores.reading.view(user, conversation)
    assert [view] == await stores.reading.page(user, None, 10, view.archived)
    assert await stores.reading.page(user, None, 10, not view.archived) == []
    return view.archived


@pytest_twisted.ensureDeferred
async def test_while_it_is_muted_it_stays_in_the_archive_and_what_came_then_never_counts(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a")
    await set_all(stores, alice, conversation, "mute", "archive")
    await say(stores, conversation, "b")
    assert await archived(stores, alice, conversation)
    await set_all(stores, alice, conversation, "unmute")
    assert await archived(stores, alice, conversation)
    await say(stores, conversation, "c")
    assert not await archived(stores, alice, conversation)
    await set_all(stores, alice, conversation, "mute")
    assert not await archived(stores, alice, conversation)
    await set_all(stores, alice, conversation, "archive")
    await stores.log.change([setting(alice, conversation, "mute", datetime.now(UTC) - timedelta(hours=1))])
    assert await archived(stores, alice, conversation)
    await say(stores, conversation, "d")
    assert not await archived(stores, alice, conversation)


# The list


@pytest_twisted.ensureDeferred
async def test_the_list_shows_the_latest_message_as_it_is_now(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a", "b", author="bob")
    await stores.log.change([edit(conversation, 2)])
    [listed] = await stores.reading.page(alice, None, 10, False)
    assert (listed.last.entry.seq, listed.last.edit.sealed) == (2, b"revised")
    await stores.log.change([deletion(conversation, 2)])
    [listed] = await stores.reading.page(alice, None, 10, False)
    assert (listed.last.entry.seq, listed.last.entry.erased, listed.unread.number) == (2, True, 1)
    assert listed == await stores.reading.view(alice, conversation)


@pytest_twisted.ensureDeferred
async def test_what_was_said_before_one_joined_is_not_the_latest_message(stores):
    alice, bob = new_user("alice"), new_user("bob")
    roster = await begin(stores, alice)
    await stores.log.append([message(roster, alice, "before")])
    [place] = await stores.log.change([alter(roster, alice, joining(bob))])
    [listed] = await stores.reading.page(bob, None, 10, False)
    assert listed.last is None
    await stores.log.append([message(place.roster, alice, "after")])
    [listed] = await stores.reading.page(bob, None, 10, False)
    assert listed.last.entry.sealed == b"after"


@pytest_twisted.ensureDeferred
async def test_the_archive_and_the_rest_are_paged_through_each_by_itself(stores):
    alice = new_user()
    conversations = [await open_one(stores, alice, "bob") for _ in range(9)]
    for conversation in conversations:
        await say(stores, conversation, "a")
    await stores.log.change([setting(alice, one, "archive") for one in conversations[::2]])
    for wanted, expected in ((True, conversations[::2]), (False, conversations[1::2])):
        found, before = [], None
        while page := await stores.reading.page(alice, before, 2, wanted):
            found += [listed.conversation for listed in page]
            before = found[-1].last_at, found[-1].conversation
        assert [one.conversation for one in found] == expected[::-1]


# Receipts


@pytest_twisted.ensureDeferred
async def test_receipts_count_those_whom_a_message_was_for(stores):
    alice, bob, carol, dave = (new_user(name) for name in ("alice", "bob", "carol", "dave"))
    roster = await begin(stores, alice, bob, carol)
    group = roster.conversation
    await stores.log.append([message(roster, alice)])
    await stores.log.change([alter(roster, alice, joining(dave))])
    await stores.reading.read(read(bob, group, 3))
    await stores.reading.read(read(carol, group, 3, private=True))
    await stores.reading.read(read(alice, group, 4))
    assert await stores.reading.receipts(group, 3, alice) == Receipts(recipients=2, delivered=2, read=1)
    assert await stores.reading.receipts(group, 4, bob) == Receipts(recipients=3, delivered=1, read=1)
    await stores.log.change([alter(roster, bob, leaving(bob))])
    assert await stores.reading.receipts(group, 3, alice) == Receipts(recipients=1, delivered=1, read=0)

"""What the store promises about conversations, their members, and how far each device has come."""

from datetime import UTC, datetime, timedelta

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList, gatherResults

from chatd.errors import Invalid, NotFound
from chatd.records.logs import Ack, Cursor
from tests.kit.stores import draft, new_id, new_user, notice, open_one, say, texts


def started(calls):
    """The calls, all under way."""
    return [Deferred.fromCoroutine(call) for call in calls]


async def log_of(stores, conversation, reader):
    return await stores.log.entries(reader, [Cursor(conversation=conversation, seq=0)], 1000)


async def acknowledged(stores, user, device, conversation):
    positions = await stores.conversations.positions(user, device)
    [found] = [position.acknowledged for position in positions if position.conversation == conversation]
    return found


async def marks_of(stores, conversation):
    return [(mark.user, mark.delivered) for mark in await stores.reading.marks(conversation)]


def ack(user, conversation, seq, device="phone"):
    return Ack(user=user, device=device, conversation=conversation, seq=seq)


# Opening


@pytest_twisted.ensureDeferred
async def test_a_new_conversation_is_empty_and_has_its_members_in_order(stores):
    conversation = new_id()
    assert await stores.conversations.get(conversation) is None
    assert await stores.reading.marks(conversation) == []
    assert await stores.conversations.open(conversation, "direct", ("émile", "Zoe", "adam"), []) == []
    found = await stores.conversations.get(conversation)
    assert (found.conversation, found.kind, found.last_seq) == (conversation, "direct", 0)
    assert found.members == ("Zoe", "adam", "émile")
    assert abs(found.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.last_at == found.created_at
    assert await marks_of(stores, conversation) == [("Zoe", 0), ("adam", 0), ("émile", 0)]


@pytest_twisted.ensureDeferred
async def test_a_change_shows_in_the_conversation(stores):
    conversation = await open_one(stores)
    [place] = await stores.log.append([draft(conversation)])
    found = await stores.conversations.get(conversation)
    assert (found.last_seq, found.last_at) == (1, place.time)


@pytest_twisted.ensureDeferred
async def test_an_event_queue_begins_with_the_first_notice_in_it(stores):
    queue, reader = new_id(), new_user()
    assert await stores.conversations.get(queue) is None
    news = notice(queue, reader)
    [entry] = await stores.conversations.open(new_id(), "direct", (reader,), [news])
    assert (entry.conversation, entry.seq) == (queue, 1)
    assert (entry.author, entry.client_id) == (news.author, news.client_id)
    assert (entry.kind, entry.sealed) == ("conversation.created", news.sealed)
    assert await log_of(stores, queue, reader) == [entry]
    found = await stores.conversations.get(queue)
    assert (found.kind, found.members, found.last_seq) == ("queue", (reader,), 1)


@pytest_twisted.ensureDeferred
async def test_notices_are_answered_in_their_order_whatever_their_queues(stores):
    alice, bob = (new_id(), new_user()), (new_id(), new_user())
    notices = [notice(*bob, "a"), notice(*alice, "b"), notice(*bob, "c")]
    entries = await stores.conversations.open(new_id(), "direct", (alice[1], bob[1]), notices)
    assert texts(entries) == ["a", "b", "c"]
    assert [(entry.conversation, entry.seq) for entry in entries] == [(bob[0], 1), (alice[0], 1), (bob[0], 2)]
    assert await log_of(stores, *bob) == [entries[0], entries[2]]


@pytest_twisted.ensureDeferred
async def test_a_conversation_that_is_there_is_left_as_it_is_and_nobody_is_told(stores):
    conversation, queue, reader = new_id(), new_id(), new_user()
    await stores.conversations.open(conversation, "direct", (reader,), [notice(queue, reader, "first")])
    again = await stores.conversations.open(
        conversation, "direct", (reader, "mallory"), [notice(queue, reader, "again"), notice(new_id(), "mallory")]
    )
    assert again == []
    assert (await stores.conversations.get(conversation)).members == (reader,)
    assert texts(await log_of(stores, queue, reader)) == ["first"]


@pytest_twisted.ensureDeferred
async def test_the_rosters_of_many_are_those_of_each(stores):
    conversations = [await open_one(stores, new_user(), "bob") for _ in range(3)]
    queue = new_id()
    await stores.conversations.open(new_id(), "direct", ("bob",), [notice(queue, "bob")])
    expected = {one: await stores.conversations.roster(one) for one in (*conversations, queue)}
    found = await stores.conversations.rosters([*conversations, queue, new_id()])
    assert {roster.conversation: roster for roster in found} == expected
    assert await stores.conversations.rosters([]) == []


@pytest_twisted.ensureDeferred
async def test_of_many_that_open_a_conversation_at_once_exactly_one_tells_of_it(stores):
    conversation, queue, reader = new_id(), new_id(), new_user()
    before = stores.conversations.open(new_id(), "direct", (reader,), [notice(queue, reader, "before")])
    opening = [
        stores.conversations.open(conversation, "direct", (reader,), [notice(queue, reader, str(n))]) for n in range(5)
    ]
    told = await gatherResults(started([before, *opening]))
    assert sorted(len(entries) for entries in told[1:]) == [0, 0, 0, 0, 1]
    assert await log_of(stores, queue, reader) == [entry for entries in told for entry in entries]


@pytest_twisted.ensureDeferred
async def test_a_queue_has_no_holes_and_its_notices_are_answered_in_their_order(stores):
    queue, reader = new_id(), new_user()
    answered = []

    async def open_and_tell(n):
        answered.extend(await stores.conversations.open(new_id(), "direct", (reader,), [notice(queue, reader, str(n))]))

    await gatherResults(started(open_and_tell(n) for n in range(20)))
    assert [entry.seq for entry in answered] == list(range(1, 21))
    assert await log_of(stores, queue, reader) == answered


# Lists


@pytest_twisted.ensureDeferred
async def test_a_list_can_be_paged_through_the_latest_first(stores):
    alice = new_user()
    conversations = [await open_one(stores, alice, "bob") for _ in range(7)]
    for conversation in conversations[:4]:
        await say(stores, conversation, "a")
    await stores.log.append([draft(conversation) for conversation in conversations[4:]])  # all at the same time
    await open_one(stores, alice, "carol")  # in which nothing was said
    await stores.conversations.open(new_id(), "direct", ("dave",), [notice(new_id(), alice)])
    listed, before = [], None
    while page := await stores.reading.page(alice, before, 2, False):
        listed += page
        before = page[-1].conversation.last_at, page[-1].conversation.conversation
    found = [item.conversation for item in listed]
    assert sorted(conversation.conversation for conversation in found) == sorted(conversations)
    assert found == sorted(found, key=lambda one: (one.last_at, one.conversation), reverse=True)
    assert len({conversation.last_at for conversation in found}) < 7
    assert found == [await stores.conversations.get(conversation.conversation) for conversation in found]
    assert await stores.reading.page(alice, None, 100, False) == listed
    assert await stores.reading.page(new_user(), None, 100, False) == []


@pytest_twisted.ensureDeferred
async def test_a_list_shows_how_far_each_conversation_has_reached_the_person(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a", "b", "c")
    await stores.conversations.acknowledge(ack("bob", conversation, 3))
    await stores.conversations.acknowledge(ack(alice, conversation, 2))
    [listed] = await stores.reading.page(alice, None, 10, False)
    assert listed.delivered == 2


@pytest_twisted.ensureDeferred
async def test_positions_cover_all_logs_of_a_person_the_latest_first(stores):
    alice, queue = new_user(), new_id()
    empty = await open_one(stores, alice, "bob")
    await stores.conversations.open(new_id(), "direct", ("bob",), [notice(queue, alice)])
    busy = await open_one(stores, alice, "bob")
    await say(stores, busy, "a", "b")
    await open_one(stores, "bob", "carol")
    await stores.age(empty, 59)
    await stores.age(queue, 61)
    positions = await stores.conversations.positions(alice, "phone")
    assert [(one.conversation, one.last_seq, one.acknowledged) for one in positions] == [
        (busy, 2, None),
        (empty, 0, None),
        (queue, 1, None),
    ]
    assert [one.recent for one in positions] == [True, True, False]


@pytest_twisted.ensureDeferred
async def test_positions_show_the_cursors_of_one_device(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a", "b", "c", "d", "e")
    for device, seq in (("phone", 5), ("laptop", 2), ("new", 0)):
        await stores.conversations.acknowledge(ack(alice, conversation, seq, device))
    await stores.conversations.acknowledge(ack("bob", conversation, 4, "tablet"))
    for device, seq in (("phone", 5), ("laptop", 2), ("new", 0), ("tablet", None)):
        assert await acknowledged(stores, alice, device, conversation) == seq


# Acknowledging


@pytest_twisted.ensureDeferred
async def test_an_ack_moves_the_devices_cursor_and_the_persons_mark_forward_only(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, *"abcdef")
    for seq, moved, stands in ((0, False, 0), (4, True, 4), (2, False, 4), (4, False, 4), (6, True, 6)):
        assert await stores.conversations.acknowledge(ack(alice, conversation, seq)) is moved
        assert await acknowledged(stores, alice, "phone", conversation) == stands
        assert await marks_of(stores, conversation) == [(alice, stands), ("bob", 0)]


@pytest_twisted.ensureDeferred
async def test_a_persons_mark_is_the_furthest_that_any_device_has_come(stores):
    alice = new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, *"abcdef")
    assert await stores.conversations.acknowledge(ack(alice, conversation, 5, "phone"))
    assert not await stores.conversations.acknowledge(ack(alice, conversation, 3, "laptop"))
    assert await marks_of(stores, conversation) == [(alice, 5), ("bob", 0)]
    assert await acknowledged(stores, alice, "laptop", conversation) == 3


@pytest_twisted.ensureDeferred
async def test_what_an_ack_may_not_say_moves_nothing(stores):
    alice, stranger = new_user(), new_user()
    conversation = await open_one(stores, alice, "bob")
    await say(stores, conversation, "a")
    for refused, error in (
        (ack(alice, conversation, 2), Invalid),
        (ack(alice, conversation, 2**53 - 1), Invalid),
        (ack(stranger, conversation, 1), NotFound),
        (ack(alice, new_id(), 0), NotFound),
    ):
        with pytest.raises(error):
            await stores.conversations.acknowledge(refused)
    assert await marks_of(stores, conversation) == [(alice, 0), ("bob", 0)]
    assert await acknowledged(stores, alice, "phone", conversation) is None
    assert await stores.conversations.positions(stranger, "phone") == []


@pytest_twisted.ensureDeferred
async def test_acks_that_come_at_once_are_answered_as_if_one_came_after_the_other(stores):
    alice = new_user()
    conversation, other = await open_one(stores, alice, "bob"), await open_one(stores, alice)
    await say(stores, conversation, *"abcdefgh")
    await say(stores, other, "a")
    asked = [
        (ack(alice, conversation, 1), True),  # on its way, while the others gather
        (ack(alice, conversation, 3), True),
        (ack(alice, conversation, 3, "laptop"), False),
        (ack(alice, conversation, 9), Invalid),
        (ack("bob", conversation, 2), True),
        (ack(alice, conversation, 6), True),
        (ack(alice, conversation, 5, "laptop"), False),
        (ack("mallory", conversation, 8), NotFound),
        (ack(alice, other, 1), True),
        (ack(alice, conversation, 2), False),
        (ack(alice, conversation, 7, "laptop"), True),
    ]
    verdicts = await DeferredList(
        started(stores.conversations.acknowledge(one) for one, _ in asked), consumeErrors=True
    )
    assert [result if done else type(result.value) for done, result in verdicts] == [verdict for _, verdict in asked]
    assert await marks_of(stores, conversation) == [(alice, 7), ("bob", 2)]
    assert await acknowledged(stores, alice, "phone", conversation) == 6
    assert await acknowledged(stores, alice, "laptop", conversation) == 7

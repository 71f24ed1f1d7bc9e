"""What the log promises to the writer and to whoever reads it."""

from datetime import UTC, datetime, timedelta

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from chatd.errors import Conflict, NotFound
from chatd.records.logs import Appended, Cursor, MessageState, Page
from chatd.store.refusals import Repeated
from tests.kit.stores import draft, new_client_id, new_id, new_user, notice, open_one, say, texts

LARGEST = 2**53 - 1


def at(conversation, seq=0):
    return Cursor(conversation=conversation, seq=seq)


def page(conversation, low=0, high=LARGEST, limit=10, *, newest=True, reader="alice", **more):
    return Page(conversation=conversation, reader=reader, low=low, high=high, limit=limit, newest=newest, **more)


def said(messages):
    return texts([kept.entry for kept in messages])


async def opened_with_notices(stores, queue, reader, *said):
    for text in said:
        await stores.conversations.open(new_id(), "direct", (reader,), [notice(queue, reader, text)])


@pytest_twisted.ensureDeferred
async def test_a_log_is_numbered_from_1_in_the_order_of_the_drafts(stores):
    conversation = await open_one(stores)
    before = datetime.now(UTC)
    places = await stores.log.append([draft(conversation, text) for text in "abc"])
    assert [(place.conversation, place.seq) for place in places] == [(conversation, seq) for seq in (1, 2, 3)]
    assert all(abs(place.time - before) < timedelta(minutes=1) for place in places)
    assert [place.seq for place in await stores.log.append([draft(conversation)])] == [4]


@pytest_twisted.ensureDeferred
async def test_each_conversation_of_a_batch_has_its_own_numbers(stores):
    one, other = await open_one(stores), await open_one(stores)
    places = await stores.log.append([draft(conversation) for conversation in (other, one, other, one, one)])
    assert [(place.conversation, place.seq) for place in places] == [
        (other, 1),
        (one, 1),
        (other, 2),
        (one, 2),
        (one, 3),
    ]


@pytest_twisted.ensureDeferred
async def test_batches_at_the_same_time_leave_no_hole_and_give_no_number_twice(stores):
    conversations = [await open_one(stores) for _ in range(3)]
    batches = [[draft(conversations[(n + i) % 3], f"{n}/{i}") for i in range(6)] for n in range(8)]
    verdicts = await gatherResults([Deferred.fromCoroutine(stores.log.append(batch)) for batch in batches])
    for conversation in conversations:
        entries = await stores.log.entries("alice", [at(conversation)], 100)
        assert [entry.seq for entry in entries] == list(range(1, 17))
        told = {
            draft.client_id: place.seq
            for batch, places in zip(batches, verdicts, strict=True)
            for draft, place in zip(batch, places, strict=True)
            if draft.conversation == conversation
        }
        assert told == {entry.client_id: entry.seq for entry in entries}
        for n in range(8):
            of_batch = [text for text in texts(entries) if text.startswith(f"{n}/")]
            assert of_batch == sorted(of_batch)


@pytest_twisted.ensureDeferred
async def test_only_drafts_for_a_conversation_that_is_not_there_are_not_found(stores):
    conversation, nowhere = await open_one(stores), new_id()
    lost = draft(nowhere)
    places = await stores.log.append([draft(conversation), lost, draft(conversation)])
    assert places[1] is None
    assert [places[0].seq, places[2].seq] == [1, 2]
    assert [type(verdict) for verdict in await stores.log.change([lost])] == [NotFound]
    assert await stores.log.entries("alice", [at(nowhere)], 10) == []
    assert await stores.log.repeats([lost]) == [None]


@pytest_twisted.ensureDeferred
async def test_a_batch_with_a_client_id_that_was_used_before_changes_nothing(stores):
    conversation, other = await open_one(stores), await open_one(stores)
    first = draft(conversation, "first")
    await stores.log.append([first])
    for again in (first, draft(conversation, "else", client_id=first.client_id)):
        with pytest.raises(Repeated):
            await stores.log.append([draft(other), again, draft(conversation)])
    assert texts(await stores.log.entries("alice", [at(conversation), at(other)], 10)) == ["first"]
    assert [place.seq for place in await stores.log.append([draft(conversation)])] == [2]


@pytest_twisted.ensureDeferred
async def test_a_client_id_is_its_authors_own(stores):
    conversation, client_id = await open_one(stores), new_client_id()
    alice, bob = new_user(), new_user()
    await stores.log.append([draft(conversation, author=alice, client_id=client_id)])
    [place] = await stores.log.append([draft(conversation, author=bob, client_id=client_id)])
    assert place.seq == 2


@pytest_twisted.ensureDeferred
async def test_a_client_id_is_used_once_in_all_conversations(stores):
    one, other = await open_one(stores), await open_one(stores)
    first = draft(one)
    await stores.log.append([first])
    with pytest.raises(Repeated):
        await stores.log.append([draft(other, client_id=first.client_id)])


@pytest_twisted.ensureDeferred
async def test_repeats_are_told_apart_from_conflicts_and_from_what_is_new(stores):
    conversation = await open_one(stores)
    first, second = draft(conversation, "first"), draft(conversation, "second")
    places = await stores.log.append([first, second])
    repeated, new, conflict, also_repeated = await stores.log.repeats(
        [second, draft(conversation), draft(conversation, "else", client_id=first.client_id), first]
    )
    assert [also_repeated, repeated] == places
    assert new is None
    assert isinstance(conflict, Conflict)
    assert all(isinstance(place, Appended) for place in places)


@pytest_twisted.ensureDeferred
async def test_entries_are_what_was_put_in(stores):
    conversation = await open_one(stores)
    sealed = bytes(range(256))
    put = draft(conversation, author=new_user('O\'Brien \\ {"a",NULL}'), client_id='"\\{},!~', sealed=sealed)
    [place] = await stores.log.append([put])
    [entry] = await stores.log.entries("alice", [at(conversation)], 10)
    assert (entry.conversation, entry.seq, entry.time) == (conversation, 1, place.time)
    assert (entry.author, entry.client_id, entry.kind, entry.sealed) == (
        put.author,
        put.client_id,
        "message.created",
        sealed,
    )
    [kept] = await stores.log.messages(page(conversation))
    assert (kept.entry, kept.edit) == (entry, None)
    assert kept.state == MessageState(author=put.author, time=place.time)


@pytest_twisted.ensureDeferred
async def test_entries_merge_messages_and_other_changes_by_seq(stores):
    queue, reader = new_id(), new_user()
    await opened_with_notices(stores, queue, reader, "a", "b")
    await say(stores, queue, "c", "d")
    await opened_with_notices(stores, queue, reader, "e")
    await say(stores, queue, "f")
    entries = await stores.log.entries(reader, [at(queue)], 100)
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert texts(entries) == [*"abcdef"]
    created, said = "conversation.created", "message.created"
    assert [entry.kind for entry in entries] == [created, created, said, said, created, said]
    for seq in range(7):
        for limit in range(1, 8):
            assert await stores.log.entries(reader, [at(queue, seq)], limit) == entries[seq : seq + limit]


@pytest_twisted.ensureDeferred
async def test_entries_come_conversation_by_conversation_as_asked(stores):
    conversations = [await open_one(stores) for _ in range(4)]
    for conversation in conversations:
        await say(stores, conversation, *"abcd")
    order = [conversations[n] for n in (2, 0, 3, 1)]
    cursors = [at(order[0], 3), at(new_id()), at(order[1], 4), at(order[2], 0), at(order[3], 2)]
    entries = await stores.log.entries("alice", cursors, 100)
    expected = [(order[0], 4), *[(order[2], seq) for seq in (1, 2, 3, 4)], (order[3], 3), (order[3], 4)]
    assert [(entry.conversation, entry.seq) for entry in entries] == expected
    for limit in range(1, 9):
        assert await stores.log.entries("alice", cursors, limit) == entries[:limit]


@pytest_twisted.ensureDeferred
async def test_many_cursors_can_be_read_page_by_page_without_a_gap_or_a_repeat(stores):
    conversations = [await open_one(stores) for _ in range(30)]
    for n, conversation in enumerate(conversations):
        await say(stores, conversation, *(f"{n}/{i}" for i in range(n % 7)))
    reached = dict.fromkeys(conversations, 0)
    read = []
    while page := await stores.log.entries("alice", [at(*cursor) for cursor in reached.items()], 10):
        read += page
        reached |= {entry.conversation: entry.seq for entry in page}
        if len(page) < 10:
            break
    assert texts(read) == [f"{n}/{i}" for n in range(30) for i in range(n % 7)]


@pytest_twisted.ensureDeferred
async def test_a_cursor_at_or_beyond_the_end_holds_up_nothing(stores):
    one, other = await open_one(stores), await open_one(stores)
    await say(stores, one, "a")
    await say(stores, other, "b")
    assert texts(await stores.log.entries("alice", [at(one, LARGEST), at(other)], 1)) == ["b"]
    assert texts(await stores.log.entries("alice", [at(one, 1), at(other)], 1)) == ["b"]
    assert await stores.log.entries("alice", [], 1) == []


@pytest.mark.parametrize(
    ("low", "high", "limit", "newest", "found"),
    [
        (0, LARGEST, 10, True, "abcdef"),
        (0, LARGEST, 10, False, "abcdef"),
        (0, LARGEST, 2, True, "ef"),
        (0, LARGEST, 2, False, "ab"),
        (0, 4, 2, True, "bc"),
        (0, 4, 10, True, "abc"),
        (3, LARGEST, 2, False, "de"),
        (2, 5, 10, False, "cd"),
        (2, 5, 1, True, "d"),
        (2, 5, 1, False, "c"),
        (2, 3, 10, True, ""),
        (6, LARGEST, 10, False, ""),
        (0, 1, 10, True, ""),
        (0, 0, 10, True, ""),
        (5, 2, 10, False, ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_messages_are_those_between_two_seqs_the_newest_or_the_oldest(stores, low, high, limit, newest, found):
    conversation = await open_one(stores)
    await say(stores, conversation, *"abcdef")
    assert said(await stores.log.messages(page(conversation, low, high, limit, newest=newest))) == [*found]


@pytest_twisted.ensureDeferred
async def test_messages_leave_out_other_changes_and_other_conversations(stores):
    queue, reader = new_id(), new_user()
    await opened_with_notices(stores, queue, reader, "a")
    await say(stores, queue, "b")
    await say(stores, await open_one(stores), "c")
    await opened_with_notices(stores, queue, reader, "d")
    await say(stores, queue, "e")
    assert said(await stores.log.messages(page(queue, reader=reader))) == ["b", "e"]
    assert said(await stores.log.messages(page(queue, limit=1, reader=reader))) == ["e"]
    assert await stores.log.messages(page(new_id())) == []

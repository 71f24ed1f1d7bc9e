"""What the index of messages promises: what is found is what has all tokens and may be seen, the newest first."""

from datetime import timedelta
from functools import partial

import pytest
import pytest_twisted
from msgspec.structs import replace

from chatd.records.logs import Revision
from chatd.records.personal import Hiding
from chatd.records.rosters import Membership, Rules
from chatd.records.search import FoundAt, Search
from chatd.state.ids import NIL, event_queue
from chatd.state.queues import queue_roster
from tests.contract.test_changes import alter, begun, joining, leaving, with_people
from tests.kit.stores import draft, new_id, new_user, notice, open_one, say

PLENTY = 10_000


def put(stores, conversation, *tokens, **more):
    return stores.log.append([draft(conversation, tokens=tokens, **more)])


def revised(conversation, kind, target, tokens=(), **more):
    revise = lambda state, seq: replace(state, **dict.fromkeys(more, seq))  # noqa: E731
    return draft(conversation, kind=kind, tokens=tokens, revision=Revision(target=target, revise=revise))


edited = partial(revised, kind="message.edited", edited=True)
deleted = partial(revised, kind="message.deleted", deleted=True)


async def found(stores, conversations, *tokens, reader="alice", limit=100, probes=PLENTY, before=None, **more):
    """All places, page by page; each page is in its order and behind the one before it."""
    places, pages = [], 0
    while True:
        asked = Search(
            reader=reader,
            tokens=dict.fromkeys(conversations, tokens),
            limit=limit,
            probes=probes,
            before=before,
            **more,
        )
        finding = await stores.search.search(asked)
        entries = [match.entry for match in finding.matches]
        assert len(entries) <= limit
        order = [(entry.time, entry.conversation, entry.seq) for entry in entries]
        assert order == sorted(order, reverse=True)
        assert before is None or all(one < (before.time, before.conversation, before.seq) for one in order)
        places += [(entry.conversation, entry.seq) for entry in entries]
        pages += 1
        if finding.end is None:
            return places
        assert before is None or _place(finding.end) < _place(before)
        assert pages < 1000
        before = finding.end


def _place(end: FoundAt):
    return end.time, end.conversation, end.seq


async def seqs(stores, conversation, *tokens, **more):
    return [seq for _, seq in await found(stores, [conversation], *tokens, **more)]


@pytest_twisted.ensureDeferred
async def test_a_message_is_found_by_any_of_its_tokens_and_by_all_of_them(stores):
    conversation = await open_one(stores)
    await put(stores, conversation, 1, 2, 3)
    await put(stores, conversation, 2, 3, -(2**63))
    await put(stores, conversation)
    assert await seqs(stores, conversation, 1) == [1]
    assert await seqs(stores, conversation, -(2**63)) == [2]
    assert await seqs(stores, conversation, 3, 2) == [2, 1]
    assert await seqs(stores, conversation, 1, -(2**63)) == []
    assert await seqs(stores, conversation, 7) == []


@pytest_twisted.ensureDeferred
async def test_what_is_found_is_the_message_with_its_latest_edit(stores):
    conversation = await open_one(stores)
    await put(stores, conversation, 1)
    await stores.log.change([edited(conversation, target=1, tokens=(2,)), edited(conversation, target=1, tokens=(3,))])
    asked = Search(reader="alice", tokens={conversation: (3,)}, limit=9, probes=PLENTY)
    [match] = (await stores.search.search(asked)).matches
    assert (match.entry.seq, match.entry.kind, match.entry.sealed) == (1, "message.created", b"hello")
    assert (match.edit.seq, match.edit.kind, match.edit.target) == (3, "message.edited", 1)
    for gone in (1, 2):
        assert await seqs(stores, conversation, gone) == []


@pytest_twisted.ensureDeferred
async def test_what_is_deleted_is_found_no_more(stores):
    conversation = await open_one(stores)
    for _ in range(3):
        await put(stores, conversation, 1)
    await stores.log.change([deleted(conversation, target=2)])
    await stores.log.change([edited(conversation, target=3, tokens=(1,)), deleted(conversation, target=3)])
    assert await seqs(stores, conversation, 1) == [1]


@pytest_twisted.ensureDeferred
async def test_messages_that_need_a_decision_are_found_too(stores):
    """Among them one that is edited in the batch that it came with."""
    conversation = new_id()
    [place] = await stores.log.change([draft(conversation, tokens=(1,), begins=True)])
    await stores.log.change([draft(conversation, tokens=(1, 2)), edited(conversation, target=2, tokens=(3,))])
    assert place.seq == 1
    assert await seqs(stores, conversation, 1) == [1]
    assert await seqs(stores, conversation, 3) == [2]


@pytest_twisted.ensureDeferred
async def test_an_edited_message_keeps_its_place_in_time(stores):
    conversation = await open_one(stores)
    for _ in range(3):
        await put(stores, conversation, 1)
    await stores.log.change([edited(conversation, target=2, tokens=(1,))])
    assert await seqs(stores, conversation, 1) == [3, 2, 1]
    assert await seqs(stores, conversation, 1, limit=1) == [3, 2, 1]


@pytest_twisted.ensureDeferred
async def test_nothing_is_found_of_what_was_not_stored(stores):
    conversation = await open_one(stores)
    stale = draft(conversation, tokens=(1,))
    await stores.log.append([draft(conversation, tokens=(1,)), replace(stale, reply_to=99)])
    assert await seqs(stores, conversation, 1) == [1]


@pytest_twisted.ensureDeferred
async def test_strangers_find_nothing(stores):
    conversation = await open_one(stores)
    await put(stores, conversation, 1)
    assert await seqs(stores, conversation, 1, reader="eve") == []
    assert await found(stores, [], 1) == []
    assert await found(stores, [new_id()], 1) == []


@pytest.mark.parametrize("history", ["joined", "all"])
@pytest_twisted.ensureDeferred
async def test_members_find_what_they_may_read(stores, history):
    owner, bob = new_user("owner"), new_user("bob")
    [place] = await stores.log.change([begun(owner)])
    say = lambda: stores.log.append([draft(place.conversation, author=owner, tokens=(1,), roster=roster)])  # noqa: E731
    roster = place.roster
    rules = lambda roster, seq: replace(roster, rules=Rules(history=history))  # noqa: E731
    [place] = await stores.log.change([alter(roster, owner, rules)])
    roster = place.roster
    await say()  # 3
    [place] = await stores.log.change([alter(roster, owner, joining(bob))])
    roster = place.roster
    await say()  # 5
    everything = [5, 3] if history == "all" else [5]
    assert await seqs(stores, place.conversation, 1, reader=bob) == everything
    [place] = await stores.log.change([alter(roster, owner, leaving(bob))])
    roster = place.roster
    await say()  # 7
    assert await seqs(stores, place.conversation, 1, reader=bob) == [5]
    assert await seqs(stores, place.conversation, 1, reader=owner) == [7, 5, 3]


@pytest_twisted.ensureDeferred
async def test_many_conversations_are_one_series_the_newest_first(stores):
    conversations = [await open_one(stores) for _ in range(4)]
    said = []
    for n in range(20):
        conversation = conversations[n * n % 4]
        await put(stores, conversation, 1, 2 + n % 3)
        last = (await stores.conversations.get(conversation)).last_seq
        said.append((conversation, last))
    for limit, probes in ((100, PLENTY), (3, PLENTY), (100, 1), (3, 1)):
        assert await found(stores, conversations, 1, limit=limit, probes=probes) == said[::-1]
        assert await found(stores, conversations, 1, 4, limit=limit, probes=probes) == said[2::3][::-1]


@pytest_twisted.ensureDeferred
async def test_messages_of_one_moment_are_each_found_once(stores):
    one, other = sorted([await open_one(stores), await open_one(stores)])
    await stores.log.append([draft(id, tokens=(1,)) for _ in range(4) for id in (one, other)])
    for limit, probes in ((100, PLENTY), (1, PLENTY), (3, PLENTY), (100, 1)):
        places = await found(stores, [one, other], 1, limit=limit, probes=probes)
        assert places == [(other, n) for n in (4, 3, 2, 1)] + [(one, n) for n in (4, 3, 2, 1)]


@pytest_twisted.ensureDeferred
async def test_a_search_for_what_never_meets_comes_to_an_end(stores):
    conversation = await open_one(stores)
    for n in range(40):
        await put(stores, conversation, n % 2)
    await put(stores, conversation, 0, 1)
    await stores.log.append([draft(conversation, tokens=(1,)) for _ in range(20)])
    assert await seqs(stores, conversation, 0, 1, probes=4) == [41]


@pytest_twisted.ensureDeferred
async def test_a_search_may_be_narrowed_to_a_sender_and_to_a_time(stores):
    conversation = await open_one(stores)
    for n in range(12):
        await put(stores, conversation, 1, author=("alice", "bob")[n % 2])
    asked = Search(reader="alice", tokens={conversation: (1,)}, limit=100, probes=PLENTY)
    times = {match.entry.seq: match.entry.time for match in (await stores.search.search(asked)).matches}
    assert await seqs(stores, conversation, 1, sender="bob", limit=2) == [12, 10, 8, 6, 4, 2]
    assert await seqs(stores, conversation, 1, sender="bob", probes=1) == [12, 10, 8, 6, 4, 2]
    assert await seqs(stores, conversation, 1, sender="eve") == []
    assert await seqs(stores, conversation, 1, after=times[10]) == [12, 11]
    before = FoundAt(time=times[3], conversation=NIL, seq=0)
    assert await seqs(stores, conversation, 1, before=before) == [2, 1]
    assert await seqs(stores, conversation, 1, before=before, after=times[1], sender="bob") == [2]
    assert await seqs(stores, conversation, 1, after=times[12] + timedelta(days=3650)) == []


# Which conversations there are


@pytest_twisted.ensureDeferred
async def test_the_conversations_of_a_person_come_by_their_ids(stores):
    alice, bob = new_user("alice"), new_user("bob")
    ids = sorted([await open_one(stores, alice, bob) for _ in range(5)])
    await open_one(stores, bob)
    assert await stores.search.searchable(alice, NIL, 100) == ids
    assert await stores.search.searchable(alice, NIL, 2) == ids[:2]
    assert await stores.search.searchable(alice, ids[1], 2) == ids[2:4]
    assert await stores.search.searchable(alice, ids[4], 2) == []
    assert await stores.search.searchable(new_user(), NIL, 2) == []


@pytest_twisted.ensureDeferred
async def test_a_group_one_has_left_is_searchable_and_one_never_joined_is_not(stores):
    owner, bob, eve = new_user("owner"), new_user("bob"), new_user("eve")
    [place] = await stores.log.change([begun(owner)])
    [place] = await stores.log.change([alter(place.roster, owner, joining(bob))])
    invited = lambda roster, seq: with_people(roster, {eve: Membership(standing="invited", until=0)})  # noqa: E731
    [place] = await stores.log.change([alter(place.roster, owner, invited)])
    await stores.log.change([alter(place.roster, owner, leaving(bob))])
    assert await stores.search.searchable(bob, NIL, 9) == [place.conversation]
    assert await stores.search.searchable(eve, NIL, 9) == []


@pytest_twisted.ensureDeferred
async def test_event_queues_are_not_searched(stores):
    alice, queue = new_user("alice"), new_id()
    await stores.conversations.open(new_id(), "direct", [], [notice(queue, alice)])
    await say(stores, queue, author=alice)
    assert await stores.search.searchable(alice, NIL, 9) == []


@pytest_twisted.ensureDeferred
async def test_what_a_person_has_hidden_is_found_by_everybody_else(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await put(stores, conversation, 1)
    await put(stores, conversation, 1)
    hiding = draft(
        event_queue(alice),
        author=alice,
        kind="message.hidden",
        roster=queue_roster(alice),
        begins=True,
        effects=(Hiding(conversation=conversation, seq=1),),
    )
    await stores.log.change([hiding])
    assert await seqs(stores, conversation, 1, reader=alice) == [2]
    assert await seqs(stores, conversation, 1, reader=bob) == [2, 1]


@pytest_twisted.ensureDeferred
async def test_whoever_has_left_finds_nothing_by_what_was_made_of_a_message_later(stores):
    alice, bob = new_user("alice"), new_user("bob")
    group = begun(alice)
    [founded] = await stores.log.change([group])
    [joined] = await stores.log.change([alter(founded.roster, alice, joining(bob))])
    await stores.log.change([draft(group.conversation, author=alice, tokens=(1,), roster=joined.roster)])
    await stores.log.change([alter(joined.roster, bob, leaving(bob))])
    assert await seqs(stores, group.conversation, 1, reader=bob) == [3]
    await stores.log.change([edited(group.conversation, target=3, tokens=(1, 2), author=alice)])
    assert await seqs(stores, group.conversation, 2, reader=bob) == []
    assert await seqs(stores, group.conversation, 1, reader=bob) == []
    assert await seqs(stores, group.conversation, 2, reader=alice) == [3]

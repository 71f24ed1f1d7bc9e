"""What the store promises about reactions: they are decided on what is there, counted, and gone with their message."""

from functools import partial
from random import Random

import pytest_twisted
from msgspec.structs import replace
from twisted.internet.defer import Deferred, gatherResults

from chatd.errors import Forbidden, NotFound, Unchanged
from chatd.records.logs import Appended, Revision
from chatd.records.reactions import Reaction
from tests.contract.test_changes import history_of, log_of
from tests.kit.stores import draft, new_id, open_one, say, texts

HEART, THUMB, PARTY = b"heart", b"thumb", b"party"


def stays(state, seq):
    if state.deleted is not None:
        raise NotFound
    return state


def unless(wrong, mark, own, all):
    """Refuse what is so already."""
    if (mark in own) is wrong:
        raise Unchanged


def add(conversation, author, target=1, mark=HEART, *, check=None, **more):
    """A reaction whose sealed content says its mark."""
    return _reaction(conversation, author, target, mark, True, check or partial(unless, True, mark), **more)


def remove(conversation, author, target=1, mark=HEART, **more):
    return _reaction(conversation, author, target, mark, False, partial(unless, False, mark), **more)


def _reaction(conversation, author, target, mark, added, check, **more):
    return draft(
        conversation,
        mark.decode(),
        author=author,
        kind="reaction.added" if added else "reaction.removed",
        revision=Revision(target=target, revise=stays),
        effects=(Reaction(target=target, mark=mark, added=added, check=check),),
        **more,
    )


def delete(conversation, target=1):
    revision = Revision(target=target, revise=lambda state, seq: replace(state, deleted=seq))
    return draft(conversation, "", kind="message.deleted", revision=revision)


async def tallied(stores, conversation, *seqs, reader="alice"):
    found = await stores.reactions.tallies(conversation, reader, seqs or (1,))
    return [(one.target, one.count, one.mine, texts(one.samples)) for one in found]


async def listed(stores, conversation, seq=1, *, after=0, limit=100, mark=None):
    found = await stores.reactions.reactions(conversation, seq, after=after, limit=limit, mark=mark)
    return [(entry.author, entry.seq, entry.sealed) for entry in found]


async def begin(stores):
    """A conversation with two messages."""
    conversation = await open_one(stores)
    await say(stores, conversation, "a", "b")
    return conversation


@pytest_twisted.ensureDeferred
async def test_reactions_are_counted_and_listed_in_the_order_in_which_they_came(stores):
    conversation = await begin(stores)
    drafts = [add(conversation, *one) for one in (("bob", 1, THUMB), ("alice", 1), ("bob", 1), ("bob", 2))]
    assert [place.seq for place in await stores.log.change(drafts)] == [3, 4, 5, 6]
    assert await tallied(stores, conversation, 2, 1) == [
        (1, 1, False, ["thumb"]),
        (1, 2, True, ["heart", "heart"]),
        (2, 1, False, ["heart"]),
    ]
    assert await listed(stores, conversation) == [("bob", 3, THUMB), ("alice", 4, HEART), ("bob", 5, HEART)]
    assert await listed(stores, conversation, after=3, limit=1) == [("alice", 4, HEART)]
    assert await listed(stores, conversation, mark=HEART) == [("alice", 4, HEART), ("bob", 5, HEART)]
    assert await listed(stores, conversation, mark=PARTY) == []
    assert await tallied(stores, conversation, 3) == await tallied(stores, new_id()) == []
    assert await listed(stores, new_id()) == []


@pytest_twisted.ensureDeferred
async def test_a_reaction_stands_in_the_log_and_changes_nothing_about_its_message(stores):
    conversation = await begin(stores)
    before = await history_of(stores, conversation, "alice")
    await stores.log.change([add(conversation, "bob")])
    entry = (await log_of(stores, conversation, "alice"))[-1]
    assert (entry.kind, entry.author, entry.target, entry.sealed) == ("reaction.added", "bob", 1, HEART)
    assert await history_of(stores, conversation, "alice") == before


@pytest_twisted.ensureDeferred
async def test_of_many_who_react_alike_the_first_few_are_samples(stores):
    conversation = await begin(stores)
    people = [f"user-{n}" for n in range(5)]
    await stores.log.change([add(conversation, person) for person in people])
    await stores.log.change([remove(conversation, people[0])])
    [tally] = await stores.reactions.tallies(conversation, people[4], [1])
    assert (tally.count, tally.mine) == (4, True)
    assert [entry.author for entry in tally.samples] == people[1:4]


@pytest_twisted.ensureDeferred
async def test_a_reaction_is_decided_on_what_is_there(stores):
    conversation = await begin(stores)
    asked = []

    def looking(own, all):
        asked.append((sorted(own), sorted(all)))

    await stores.log.change([add(conversation, "bob"), add(conversation, "alice", 1, THUMB)])
    await stores.log.change([add(conversation, "bob", 2, PARTY)])
    await stores.log.change([add(conversation, "bob", 1, THUMB, check=looking)])
    await stores.log.change(
        [
            remove(conversation, "alice", 1, THUMB),
            remove(conversation, "bob", 1, THUMB),
            add(conversation, "alice", 1, PARTY, check=looking),
            add(conversation, "eve", 2, HEART, check=looking),
        ]
    )
    assert asked == [([HEART], [HEART, THUMB]), ([], [HEART]), ([], [PARTY])]


@pytest_twisted.ensureDeferred
async def test_what_is_refused_changes_nothing(stores):
    conversation = await begin(stores)

    def never(own, all):
        raise Forbidden

    drafts = [
        add(conversation, "bob"),
        add(conversation, "bob"),
        remove(conversation, "alice"),
        add(conversation, "alice", check=never),
        add(conversation, "alice", 3),
        add(conversation, "alice", 99),
        add(new_id(), "alice"),
    ]
    verdicts = [type(verdict) for verdict in await stores.log.change(drafts)]
    assert verdicts == [Appended, Unchanged, Unchanged, Forbidden, NotFound, NotFound, NotFound]
    assert await listed(stores, conversation) == [("bob", 3, HEART)]
    assert await tallied(stores, conversation) == [(1, 1, False, ["heart"])]
    assert len(await log_of(stores, conversation, "alice")) == 3


@pytest_twisted.ensureDeferred
async def test_what_is_taken_back_and_added_again_stands_where_it_was_added_last(stores):
    conversation = await begin(stores)
    await stores.log.change([add(conversation, "alice")])
    await stores.log.change([add(conversation, "bob"), remove(conversation, "alice"), add(conversation, "alice")])
    assert await listed(stores, conversation) == [("bob", 4, HEART), ("alice", 6, HEART)]
    await stores.log.change([remove(conversation, "alice"), add(conversation, "alice"), remove(conversation, "alice")])
    await stores.log.change([remove(conversation, "bob")])
    assert await listed(stores, conversation) == await tallied(stores, conversation) == []


@pytest_twisted.ensureDeferred
async def test_a_deleted_message_has_no_reactions_and_the_log_tells_of_none(stores):
    conversation = await begin(stores)
    await stores.log.change([add(conversation, "bob"), add(conversation, "bob", 1, THUMB), add(conversation, "bob", 2)])
    drafts = [remove(conversation, "bob"), add(conversation, "alice"), delete(conversation), add(conversation, "bob")]
    assert isinstance((await stores.log.change(drafts))[3], NotFound)
    assert await tallied(stores, conversation, 1, 2) == [(2, 1, False, ["heart"])]
    assert await listed(stores, conversation) == []
    log = await log_of(stores, conversation, "alice")
    assert [(entry.seq, entry.sealed) for entry in log if entry.erased] == [(n, b"") for n in (1, 3, 4, 6, 7)]


@pytest_twisted.ensureDeferred
async def test_of_two_devices_that_react_alike_at_once_one_changes_nothing(stores):
    conversation = await begin(stores)
    for mark in (HEART, THUMB, PARTY):
        drafts = [add(conversation, "bob", 1, mark) for _ in range(2)]
        verdicts = await gatherResults([Deferred.fromCoroutine(stores.log.change([one])) for one in drafts])
        assert sorted(type(verdict).__name__ for [verdict] in verdicts) == ["Appended", "Unchanged"]
    assert [count for _, count, _, _ in await tallied(stores, conversation)] == [1, 1, 1]


@pytest_twisted.ensureDeferred
async def test_the_counts_are_those_of_the_reactions_whatever_happened(stores):
    """Each batch at random, some of it refused; the log alone tells what is there."""
    random = Random(3)
    conversation = await begin(stores)
    for _ in range(25):
        ask = [
            random.choice((add, remove))(
                conversation,
                random.choice(("alice", "bob", "eve")),
                random.choice((1, 2)),
                random.choice((HEART, THUMB)),
            )
            for _ in range(random.randrange(1, 12))
        ]
        await stores.log.change(ask)
        there = {}
        for entry in await log_of(stores, conversation, "alice"):
            if entry.kind == "reaction.added":
                there[entry.author, entry.target, entry.sealed] = entry.seq
            elif entry.kind == "reaction.removed":
                del there[entry.author, entry.target, entry.sealed]
        for seq in (1, 2):
            of_it = sorted((place, author, mark) for (author, target, mark), place in there.items() if target == seq)
            assert await listed(stores, conversation, seq) == [(author, place, mark) for place, author, mark in of_it]
            counts = {
                tally.samples[0].sealed: (tally.count, tally.mine)
                for tally in await stores.reactions.tallies(conversation, "alice", [seq])
            }
            marks = [mark for _, _, mark in of_it]
            assert counts == {mark: (marks.count(mark), ("alice", seq, mark) in there) for mark in marks}

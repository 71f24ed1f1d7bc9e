"""What the store promises about messages that somebody has deleted for themselves."""

import pytest_twisted
from msgspec.structs import replace

from chatd.records.logs import Cursor, Revision
from chatd.records.personal import Hiding
from chatd.state.ids import event_queue
from chatd.state.queues import queue_roster
from tests.contract.test_changes import history_of, log_of
from tests.kit.stores import draft, new_user, open_one, say, texts


def hide(user, *places):
    """Changes of a person's own that hide these messages from them."""
    return [
        draft(
            event_queue(user),
            "hidden",
            author=user,
            kind="message.hidden",
            roster=queue_roster(user),
            begins=True,
            effects=(Hiding(conversation=conversation, seq=seq),),
        )
        for conversation, seq in places
    ]


def edit(conversation, author, target, text, kind="message.edited"):
    revision = Revision(target=target, revise=lambda state, seq: replace(state, edited=seq))
    return draft(conversation, text, author=author, kind=kind, revision=revision)


async def begin(stores):
    alice, bob = new_user("alice"), new_user("bob")
    conversation = await open_one(stores, alice, bob)
    await say(stores, conversation, "a", "b", "c", author=alice)
    return conversation, alice, bob


def seen(entries):
    return [(entry.sealed.decode(), entry.hidden) for entry in entries]


@pytest_twisted.ensureDeferred
async def test_who_hid_a_message_reads_neither_it_nor_its_edits_and_everybody_else_does(stores):
    conversation, alice, bob = await begin(stores)
    edits = [edit(conversation, alice, 2, "B"), edit(conversation, alice, 3, "C")]
    await stores.log.change([*edits, edit(conversation, alice, 2, "other", "message.noted")])
    assert [place.seq for place in await stores.log.change(hide(bob, (conversation, 2)))] == [1]
    log = await log_of(stores, conversation, bob)
    assert seen(log) == [("a", False), ("", True), ("c", False), ("", True), ("C", False), ("other", False)]
    assert [entry.seq for entry in log] == [1, 2, 3, 4, 5, 6]
    history = await history_of(stores, conversation, bob)
    assert seen(kept.entry for kept in history) == [("a", False), ("", True), ("c", False)]
    assert [kept.edit and kept.edit.sealed for kept in history] == [None, None, b"C"]
    assert texts(await log_of(stores, conversation, alice)) == ["a", "b", "c", "B", "C", "other"]
    assert not any(kept.entry.hidden for kept in await history_of(stores, conversation, alice))


@pytest_twisted.ensureDeferred
async def test_it_is_hidden_in_one_conversation_and_read_with_others(stores):
    conversation, alice, bob = await begin(stores)
    other = await open_one(stores, alice, bob)
    await say(stores, other, "d", "e", author=alice)
    await stores.log.change(hide(bob, (conversation, 1), (conversation, 3)))
    cursors = [Cursor(conversation=conversation, seq=1), Cursor(conversation=other, seq=0)]
    assert seen(await stores.log.entries(bob, cursors, 10)) == [("b", False), ("", True), ("d", False), ("e", False)]
    assert seen(await stores.log.entries(bob, cursors, 2)) == [("b", False), ("", True)]


@pytest_twisted.ensureDeferred
async def test_two_devices_may_hide_the_same_at_once(stores):
    conversation, _, bob = await begin(stores)
    drafts = hide(bob, (conversation, 1), (conversation, 1))
    assert [place.seq for place in await stores.log.change(drafts)] == [1, 2]
    assert [entry.hidden for entry in await log_of(stores, conversation, bob)] == [True, False, False]


@pytest_twisted.ensureDeferred
async def test_what_is_hidden_and_deleted_is_both(stores):
    conversation, alice, bob = await begin(stores)
    revision = Revision(target=1, revise=lambda state, seq: replace(state, deleted=seq))
    await stores.log.change([draft(conversation, "", author=alice, kind="message.deleted", revision=revision)])
    await stores.log.change(hide(bob, (conversation, 1)))
    entry = (await log_of(stores, conversation, bob))[0]
    assert (entry.erased, entry.hidden, entry.withheld) == (True, True, True)

"""Replies and the threads that they make; what is pinned."""

from typing import Any

import pytest
from msgspec.structs import replace

from chatd.errors import Invalid, NotFound, Unchanged
from chatd.handlers.messages import MessageCreated
from chatd.handlers.revisions import MessageEdited, MessagePinned, MessageUnpinned
from chatd.records.rosters import Membership, Rules
from chatd.state.ids import direct
from tests.kit.stores import new_client_id
from tests.kit.world import Asker, Chat

OURS = direct("alice", "bob")


def change(who: Asker, name: str, seq: int, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    return who.ask(name, conversation=OURS, seq=seq, **fields)


def thread(who: Asker, seq: int, **fields: Any) -> tuple[list[str], bool]:
    page = who.ask("thread.get", conversation=OURS, seq=seq, **fields)
    return [message.text for message in page.messages], page.newer


def pins(who: Asker, **fields: Any) -> tuple[list[str], bool]:
    page = who.ask("pin.list", conversation=OURS, **fields)
    return [message.text for message in page.messages], page.newer


# -- threads --


def test_replies_are_a_thread_however_deep_they_go(chat: Chat, alice: Asker, bob: Asker) -> None:
    listener = chat.connect("bob")
    alice.send("root", to="bob")
    bob.send("other", to="alice")
    bob.send("one", to="alice", reply_to=1)
    alice.send("two", to="bob", reply_to=3)
    alice.send("aside", to="bob", reply_to=2)
    assert thread(bob, 1) == (["one", "two"], False)
    assert thread(bob, 2) == (["aside"], False)
    assert thread(bob, 3) == ([], False)
    assert [event.reply_to for event in listener.of(MessageCreated)] == [None, None, 1, 3, 2]
    shown = alice.ask("history.get", conversation=OURS).messages
    assert [(message.reply_to, message.thread) for message in shown] == [
        (None, None),
        (None, None),
        (1, 1),
        (3, 1),
        (2, 2),
    ]


def test_a_thread_is_read_page_by_page(alice: Asker) -> None:
    alice.send("root", to="bob")
    for text in "abc":
        alice.send(text, to="bob", reply_to=1)
    assert thread(alice, 1, limit=2) == (["a", "b"], True)
    assert thread(alice, 1, limit=2, after=3) == (["c"], False)


def test_an_edited_reply_stays_one(alice: Asker) -> None:
    alice.send("root", to="bob")
    alice.send("a", to="bob", reply_to=1)
    change(alice, "message.edit", 2, text="b")
    [reply] = alice.ask("thread.get", conversation=OURS, seq=1).messages
    assert (reply.text, reply.reply_to, reply.thread) == ("b", 1, 1)


@pytest.mark.parametrize("seq", [2, 3, 99])
def test_there_is_no_reply_to_what_is_no_message(chat: Chat, alice: Asker, seq: int) -> None:
    alice.send("root", to="bob")
    change(alice, "message.pin", 1)
    with pytest.raises(NotFound):
        alice.send("a", to="bob", reply_to=seq)
    assert len(chat.entries(OURS)) == 2


@pytest.mark.parametrize(("history", "found"), [("joined", False), ("all", True)])
def test_what_one_does_not_see_one_does_not_touch(
    chat: Chat, alice: Asker, bob: Asker, history: Any, found: bool
) -> None:
    alice.send("before", to="bob")
    log = chat.database.logs[OURS]
    joined = Membership(since=1)
    members = {**log.roster.members, "bob": joined}
    log.roster = replace(log.roster, members=members, rules=Rules(history=history), access=1)
    log.people["bob"] = joined
    attempts = [
        lambda: bob.send("a", conversation=OURS, reply_to=1),
        lambda: change(bob, "message.pin", 1),
        lambda: change(bob, "message.unpin", 1),
    ]
    for attempt in attempts:
        if found:
            attempt()
        else:
            with pytest.raises(NotFound):
                attempt()
    assert len(log.entries) == (4 if found else 1)


# -- pins --


def test_a_pin_is_told_to_everybody_and_found_again(chat: Chat, alice: Asker, bob: Asker) -> None:
    sent = [alice.send(text, to="bob") for text in "abc"]
    listener = chat.connect("alice")
    change(bob, "message.pin", 3)
    change(bob, "message.pin", 1)
    assert [(event.message_id, event.by) for event in listener.of(MessagePinned)] == [
        (sent[2].message_id, "bob"),
        (sent[0].message_id, "bob"),
    ]
    assert pins(alice) == (["a", "c"], False)
    assert pins(alice, limit=1) == (["a"], True)
    assert pins(alice, after=1) == (["c"], False)
    assert [message.pinned for message in alice.ask("history.get", conversation=OURS).messages] == [True, False, True]


def test_an_unpinned_or_deleted_message_is_not_pinned(chat: Chat, alice: Asker, bob: Asker) -> None:
    for text in "abc":
        alice.send(text, to="bob")
    for seq in (1, 2, 3):
        change(alice, "message.pin", seq)
    listener = chat.connect("alice")
    change(bob, "message.unpin", 1)
    change(alice, "message.delete", 2)
    assert pins(bob) == (["c"], False)
    assert [event.by for event in listener.of(MessageUnpinned)] == ["bob"]
    for name in ("message.pin", "message.unpin"):
        with pytest.raises(NotFound):
            change(bob, name, 2)


def test_what_is_pinned_already_or_is_not_pinned_stays_as_it_is(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    with pytest.raises(Unchanged):
        change(alice, "message.unpin", 1)
    change(alice, "message.pin", 1)
    with pytest.raises(Unchanged):
        change(bob, "message.pin", 1)
    assert len(chat.entries(OURS)) == 2
    assert pins(bob) == (["a"], False)


def test_a_repeated_pin_gets_the_first_reply(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    first = change(alice, "message.pin", 1, client_id="p")
    change(alice, "message.unpin", 1, client_id="u")
    assert change(alice, "message.pin", 1, client_id="p") == first
    assert pins(alice) == ([], False)
    assert len(chat.entries(OURS)) == 3


# -- mentions --


def test_a_message_mentions_members_and_an_edit_whom_it_says_now(chat: Chat, alice: Asker) -> None:
    listener = chat.connect("bob")
    alice.send("a", to="bob", mentions=["bob", "alice", "bob"])
    [event] = listener.of(MessageCreated)
    assert event.mentions == ["bob", "alice"]
    assert chat.database.logs[OURS].mentions == {1: ("bob", "alice")}
    change(alice, "message.edit", 1, text="b", mentions=["alice"])
    [edited] = listener.of(MessageEdited)
    [shown] = alice.ask("history.get", conversation=OURS).messages
    assert edited.mentions == shown.mentions == ["alice"]
    assert chat.database.logs[OURS].mentions == {1: ("alice",)}
    change(alice, "message.delete", 1)
    assert chat.database.logs[OURS].mentions == {}


def test_nobody_else_can_be_mentioned(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    for attempt in (
        lambda: alice.send("b", to="bob", mentions=["bob", "eve"]),
        lambda: change(alice, "message.edit", 1, text="b", mentions=["eve"]),
    ):
        with pytest.raises(Invalid, match="not a member"):
            attempt()
    assert len(chat.entries(OURS)) == 1

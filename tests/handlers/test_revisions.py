"""Editing and deleting, as those see it who talk, those who come later, and those who look into the log."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from chatd.handlers.messages import MessageCreated
from chatd.handlers.revisions import MessageDeleted, MessageEdited
from chatd.state.ids import direct
from tests.kit.stores import new_client_id, new_id
from tests.kit.world import NOON, Asker, Chat, altered
from tests.kit.writing import LOST

OURS = direct("alice", "bob")


def edit(who: Asker, text: str, seq: int = 1, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    return who.ask("message.edit", conversation=OURS, seq=seq, text=text, **fields)


def delete(who: Asker, seq: int = 1, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    return who.ask("message.delete", conversation=OURS, seq=seq, **fields)


def history(who: Asker) -> list[Any]:
    return list(who.ask("history.get", conversation=OURS).messages)


def versions(who: Asker, seq: int = 1) -> list[str]:
    return [version.text for version in who.ask("message.versions", conversation=OURS, seq=seq).versions]


# -- editing --


def test_an_edit_reaches_every_device_of_both_and_takes_the_next_place(chat: Chat, alice: Asker) -> None:
    sent = alice.send("helo", to="bob")
    connected = [chat.connect(user, device) for user in ("alice", "bob") for device in "ab"]
    stranger = chat.connect("carol")
    changed = edit(alice, "hello", metadata={"lang": "en"})
    assert (changed.conversation, changed.seq) == (OURS, 2)
    event = MessageEdited(
        conversation=OURS,
        seq=2,
        time=changed.time,
        message_id=sent.message_id,
        sender="alice",
        text="hello",
        metadata={"lang": "en"},
    )
    assert [connection.of(MessageEdited) for connection in connected] == [[event]] * 4
    assert stranger.got == []


def test_history_shows_what_a_message_says_now_and_when_that_was_said(alice: Asker, bob: Asker) -> None:
    sent = alice.send("a", to="bob", metadata={"k": "v"})
    alice.send("b", to="bob")
    edit(alice, "A")
    last = edit(alice, "AA")
    first, second = history(bob)
    assert (first.text, first.metadata, first.time, first.edited_at) == ("AA", {}, sent.time, last.time)
    assert (second.text, second.edited_at) == ("b", None)


def test_the_log_tells_how_it_came_about(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    edit(alice, "A")
    edit(alice, "AA")
    bob = chat.connect("bob", synced=False)
    bob.ask("sync")
    assert [event.text for event in bob.of(MessageCreated)] == ["a"]
    assert [(event.seq, event.text) for event in bob.of(MessageEdited)] == [(2, "A"), (3, "AA")]


def test_members_may_read_earlier_versions(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    assert versions(bob) == ["a"]
    edit(alice, "A")
    edit(alice, "AA")
    assert versions(bob) == ["a", "A", "AA"]
    for seq in (2, 99):
        with pytest.raises(NotFound):
            versions(bob, seq)


def test_nobody_edits_or_deletes_what_another_has_said(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    for attempt in (lambda: edit(bob, "b"), lambda: delete(bob)):
        with pytest.raises(Forbidden, match="Only its author"):
            attempt()
    assert len(chat.entries(OURS)) == 1


@pytest.mark.parametrize("attempt", [lambda who, seq: edit(who, "x", seq), delete])
def test_what_is_no_message_cannot_be_changed(chat: Chat, alice: Asker, attempt: Callable[[Asker, int], Any]) -> None:
    alice.send("a", to="bob")
    edit(alice, "A")
    for seq in (2, 3, 99):
        with pytest.raises(NotFound):
            attempt(alice, seq)
    assert len(chat.entries(OURS)) == 2


@pytest.mark.parametrize("name", ["message.edit", "message.delete", "message.versions"])
def test_other_peoples_messages_are_like_those_that_are_not_there(alice: Asker, chat: Chat, name: str) -> None:
    """Fault 59."""
    alice.send("a", to="bob")
    fields = {"message.edit": {"client_id": "1", "text": "x"}, "message.delete": {"client_id": "1"}}.get(name, {})
    details = set()
    for conversation in (OURS, new_id()):
        with pytest.raises(NotFound) as caught:
            chat.http("eve").ask(name, conversation=conversation, seq=1, **fields)
        details.add(caught.value.detail)
    assert len(details) == 1
    assert len(chat.entries(OURS)) == 1


def test_an_edit_is_held_to_the_same_sizes(alice: Asker) -> None:
    alice.send("a", to="bob")
    with pytest.raises(TooLarge, match="11 characters"):
        edit(alice, "x" * 11)
    with pytest.raises(TooLarge, match="13 bytes"):
        edit(alice, "x", metadata={"k": "x" * 12})
    assert versions(alice) == ["a"]


# -- deleting --


def test_a_deleted_message_keeps_its_place_and_says_nothing_any_more(chat: Chat, alice: Asker, bob: Asker) -> None:
    sent = alice.send("a", to="bob", metadata={"k": "v"})
    edit(alice, "A")
    connected = [chat.connect(user) for user in ("alice", "bob")]
    deleted = delete(alice)
    event = MessageDeleted(conversation=OURS, seq=3, time=deleted.time, message_id=sent.message_id, by="alice")
    assert [connection.of(MessageDeleted) for connection in connected] == [[event]] * 2
    [tombstone] = history(bob)
    assert (tombstone.seq, tombstone.deleted, tombstone.unreadable) == (1, True, False)
    assert (tombstone.text, tombstone.metadata) == ("", {})
    assert versions(bob) == []
    assert [len(entry.sealed) for entry in chat.entries(OURS)][:2] == [0, 0]


def test_who_catches_up_later_is_not_shown_what_was_deleted(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    edit(alice, "A")
    delete(alice)
    bob = chat.connect("bob", synced=False)
    bob.ask("sync")
    events = [*bob.of(MessageCreated), *bob.of(MessageEdited)]
    assert [(event.text, event.deleted, event.unreadable) for event in events] == [("", True, False)] * 2
    assert [event.seq for event in bob.of(MessageDeleted)] == [3]
    assert chat.unreadable == []


def test_what_is_deleted_cannot_be_edited_or_deleted_again(alice: Asker) -> None:
    alice.send("a", to="bob")
    delete(alice)
    for attempt in (lambda: edit(alice, "b"), lambda: delete(alice)):
        with pytest.raises(NotFound):
            attempt()


# -- time limits --


def test_messages_may_be_changed_as_long_as_the_server_allows(chat: Chat) -> None:
    strict = Chat(chat.database, edit_seconds=60, delete_seconds=120)
    alice = strict.http("alice")
    sent = alice.send("a", to="bob")
    for after, may_edit, may_delete in ((60, True, True), (61, False, True), (121, False, False)):
        strict.now = sent.time + timedelta(seconds=after)
        if may_edit:
            edit(alice, "b")
        else:
            with pytest.raises(Forbidden, match="too old to be edited"):
                edit(alice, "b")
        if not may_delete:
            with pytest.raises(Forbidden, match="too old to be deleted"):
                delete(alice)


def test_without_a_limit_any_age_will_do(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    chat.now = NOON + timedelta(days=10_000)
    edit(alice, "b")
    delete(alice)


# -- repeats, order, faults --


def test_a_repeat_gets_the_first_reply_and_other_content_a_conflict(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    alice.send("b", to="bob")
    edited, deleted = edit(alice, "A", client_id="e"), delete(alice, client_id="d")
    assert edit(alice, "A", client_id="e") == edited
    assert delete(alice, client_id="d") == deleted
    for conflicting in (
        lambda: edit(alice, "B", client_id="e"),
        lambda: edit(alice, "A", 2, client_id="e"),
        lambda: delete(alice, 2, client_id="d"),
        lambda: edit(alice, "A", client_id="d"),
    ):
        with pytest.raises(Conflict):
            conflicting()
    assert len(chat.entries(OURS)) == 4


def test_pipelined_commands_are_carried_out_in_their_order(chat: Chat, alice: Asker) -> None:
    asked = [
        alice.start("message.send", client_id="1", to="bob", text="a"),
        alice.start("message.edit", client_id="2", conversation=OURS, seq=1, text="b"),
        alice.start("message.send", client_id="3", to="bob", text="c"),
        alice.start("message.delete", client_id="4", conversation=OURS, seq=3),
        alice.start("message.edit", client_id="5", conversation=OURS, seq=1, text="d"),
    ]
    assert [one.result.seq for one in asked] == [1, 2, 3, 4, 5]
    assert [(message.text, message.deleted) for message in history(alice)] == [("d", False), ("", True)]


def test_an_edit_whose_reply_was_lost_is_found_again(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    chat.log.change_faults = [LOST]
    edited = edit(alice, "A")
    assert edited.seq == 2
    assert versions(alice) == ["a", "A"]


def test_an_edit_that_cannot_be_opened_says_so(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    edit(alice, "A")
    chat.entries(OURS)[1] = altered(chat.entries(OURS)[1])
    [message] = history(bob)
    assert (message.text, message.unreadable, message.deleted) == ("", True, False)
    assert versions(bob) == ["a", ""]
    client = chat.connect("bob", synced=False)
    client.ask("sync")
    assert [event.unreadable for event in client.of(MessageEdited)] == [True]


@pytest.mark.parametrize("seq", [0, -1, 2**53])
def test_a_message_stands_at_1_or_later(alice: Asker, seq: int) -> None:
    with pytest.raises((Invalid, ValueError)):
        edit(alice, "x", seq)

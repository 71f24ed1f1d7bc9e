"""Deleting messages for oneself, as those see it who do so on several devices, and as nobody else sees it."""

from typing import Any

import pytest
from msgspec.structs import replace

from chatd.errors import Conflict, NotFound, Unchanged
from chatd.handlers.hiding import MessageHidden, MessagePlace
from chatd.handlers.messages import MessageCreated
from chatd.handlers.revisions import MessageEdited
from chatd.records.rosters import Membership
from chatd.state.ids import direct, event_queue
from tests.kit.stores import new_client_id, new_id
from tests.kit.world import Asker, Chat, altered
from tests.kit.writing import LOST

OURS = direct("alice", "bob")


def hide(who: Asker, seq: int = 1, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    fields.setdefault("conversation", OURS)
    return who.ask("message.hide", seq=seq, **fields)


def history(who: Asker) -> list[Any]:
    return list(who.ask("history.get", conversation=OURS).messages)


def shown(who: Asker) -> list[tuple[int, str, bool]]:
    return [(message.seq, message.text, message.hidden) for message in history(who)]


def test_all_devices_of_that_person_hear_of_it_and_nobody_else(chat: Chat, alice: Asker) -> None:
    sent = alice.send("a", to="bob")
    devices = [chat.connect("bob", device) for device in "ab"]
    hers = chat.connect("alice")
    hidden = hide(chat.http("bob"))
    queue = event_queue("bob")
    assert hidden.conversation == queue
    event = MessageHidden(
        conversation=queue,
        seq=hidden.seq,
        time=hidden.time,
        message_id=sent.message_id,
        message=MessagePlace(conversation=OURS, seq=1),
    )
    assert [device.got for device in devices] == [[event]] * 2
    assert hers.got == []
    assert len(chat.entries(OURS)) == 1
    later = chat.connect("bob", "later", synced=False)
    later.ask("sync")
    assert later.of(MessageHidden) == [event]


def test_a_hidden_message_keeps_its_place_and_says_nothing_to_that_person(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob", metadata={"k": "v"}, mentions=["bob"])
    alice.send("b", to="bob")
    alice.ask("message.edit", conversation=OURS, seq=1, client_id="e", text="A")
    bob.ask("reaction.add", conversation=OURS, seq=1, client_id="r", emoji="\U0001f44d")
    hide(bob)
    assert shown(bob) == [(1, "", True), (2, "b", False)]
    [tombstone, _] = history(bob)
    assert (tombstone.metadata, tombstone.mentions, tombstone.reactions, tombstone.edited_at) == ({}, [], [], None)
    assert not tombstone.unreadable
    assert shown(alice) == [(1, "A", False), (2, "b", False)]
    assert bob.ask("message.versions", conversation=OURS, seq=1).versions == []
    assert len(alice.ask("message.versions", conversation=OURS, seq=1).versions) == 2
    with pytest.raises(NotFound):
        bob.ask("reaction.list", conversation=OURS, seq=1)


def test_threads_and_pins_do_not_show_it_either(alice: Asker, bob: Asker) -> None:
    alice.send("root", to="bob")
    alice.send("a", to="bob", reply_to=1)
    alice.ask("message.pin", conversation=OURS, seq=2, client_id="p")
    hide(bob, 2)
    for name, fields in (("thread.get", {"seq": 1}), ("pin.list", {})):
        [his] = bob.ask(name, conversation=OURS, **fields).messages
        [hers] = alice.ask(name, conversation=OURS, **fields).messages
        assert (his.text, his.hidden, hers.text, hers.hidden) == ("", True, "a", False)


def test_who_catches_up_later_is_not_shown_it_nor_its_edits(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    alice.send("b", to="bob")
    for seq in (1, 2):
        alice.ask("message.edit", conversation=OURS, seq=seq, client_id=f"e{seq}", text="c")
    hide(bob)
    for user, expected in (("bob", [("", True), ("b", False)]), ("alice", [("a", False), ("b", False)])):
        later = chat.connect(user, "later", synced=False)
        later.ask("sync")
        assert [(event.text, event.hidden) for event in later.of(MessageCreated)] == expected
        edits = [("" if hidden else "c", hidden) for _, hidden in expected]
        assert [(event.text, event.hidden) for event in later.of(MessageEdited)] == edits
        assert not any(event.unreadable for event in later.of(MessageCreated) + later.of(MessageEdited))
    assert chat.unreadable == []


def test_what_was_deleted_for_all_can_still_be_hidden(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    alice.ask("message.delete", conversation=OURS, seq=1, client_id="d")
    hide(bob)
    [tombstone] = history(bob)
    assert (tombstone.deleted, tombstone.hidden) == (True, True)


def test_what_is_hidden_already_stays_as_it_is(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    hide(bob)
    before = len(chat.entries(event_queue("bob")))
    with pytest.raises(Unchanged):
        hide(bob)
    assert len(chat.entries(event_queue("bob"))) == before
    hide(alice)
    assert shown(alice) == [(1, "", True)]


def test_only_messages_that_one_sees_can_be_hidden(chat: Chat, alice: Asker, bob: Asker) -> None:
    """Fault 59."""
    alice.send("a", to="bob")
    alice.ask("message.pin", conversation=OURS, seq=1, client_id="p")
    details = set()
    for who, conversation, seq in ((chat.http("eve"), OURS, 1), (bob, OURS, 2), (bob, OURS, 99), (bob, new_id(), 1)):
        with pytest.raises(NotFound) as caught:
            hide(who, seq, conversation=conversation)
        details.add(caught.value.detail)
    assert len(details) == 1
    assert event_queue("eve") not in chat.database.logs
    assert chat.database.hidden == set()


def test_who_keeps_notes_may_hide_them(chat: Chat) -> None:
    """And so has a queue before anybody has written into it."""
    carol, notes = chat.http("carol"), direct("carol", "carol")
    chat.database.create(notes, "direct", ("carol",))
    carol.send("a", conversation=notes)
    assert hide(carol, conversation=notes).conversation == event_queue("carol")
    [message] = carol.ask("history.get", conversation=notes).messages
    assert message.hidden


def test_a_repeat_gets_the_first_reply_even_where_the_message_is_out_of_sight(
    chat: Chat, alice: Asker, bob: Asker
) -> None:
    alice.send("a", to="bob")
    alice.send("b", to="bob")
    first = hide(bob, client_id="h")
    assert hide(bob, client_id="h") == first
    log = chat.database.logs[OURS]
    gone = Membership(standing="left", until=0)
    log.roster = replace(log.roster, members={"alice": log.roster.members["alice"]}, access=1)
    log.people["bob"] = gone
    assert hide(bob, client_id="h") == first
    with pytest.raises(Conflict):
        hide(bob, 2, client_id="h")


def test_one_whose_reply_was_lost_is_found_again(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    chat.log.change_faults = [LOST]
    hide(bob)
    assert shown(bob) == [(1, "", True)]


def test_an_entry_that_cannot_be_opened_says_so(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    hidden = hide(bob)
    entries = chat.entries(event_queue("bob"))
    entries[hidden.seq - 1] = altered(entries[hidden.seq - 1])
    later = chat.connect("bob", "later", synced=False)
    later.ask("sync")
    [event] = later.of(MessageHidden)
    assert (event.message, event.message_id, event.unreadable) == (None, None, True)

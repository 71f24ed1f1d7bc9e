"""Forwarding, as those see it who forward, those who are sent it, and those who said it first."""

from typing import Any

import pytest

from chatd.errors import Conflict, Invalid, NotFound
from chatd.handlers.messages import MessageCreated
from chatd.handlers.opening import ConversationCreated
from chatd.state.ids import direct, event_queue
from tests.kit.stores import new_client_id, new_id
from tests.kit.world import Asker, Chat, altered

OURS = direct("alice", "bob")
THEIRS = direct("bob", "carol")


def forward(who: Asker, seq: int = 1, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    fields.setdefault("conversation", OURS)
    return who.ask("message.forward", seq=seq, **fields)


def history(who: Asker, conversation: str = THEIRS) -> list[Any]:
    return list(who.ask("history.get", conversation=conversation).messages)


def test_it_becomes_a_message_of_ones_own_that_names_who_said_it_first(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob", metadata={"k": "v"}, mentions=["bob"])
    carol = chat.connect("carol")
    sent = forward(bob, to="carol")
    assert (sent.conversation, sent.seq) == (THEIRS, 1)
    [event] = carol.of(MessageCreated)
    assert event == MessageCreated(
        conversation=THEIRS,
        seq=1,
        time=sent.time,
        message_id=sent.message_id,
        sender="bob",
        text="a",
        metadata={"k": "v"},
        forwarded_from="alice",
    )
    assert [created.created for created in carol.of(ConversationCreated)] == [THEIRS]
    [message] = history(carol)
    assert (message.sender, message.text, message.forwarded_from) == ("bob", "a", "alice")
    assert [message.forwarded_from for message in history(bob, OURS)] == [None]


def test_of_where_it_was_said_and_when_nothing_is_told(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("root", to="bob")
    alice.send("a", to="bob", reply_to=1)
    forward(bob, 2, to="carol")
    later = chat.connect("carol", synced=False)
    later.ask("sync")
    [event] = later.of(MessageCreated)
    assert event.reply_to is None
    assert OURS not in str(later.got)


def test_what_is_forwarded_is_what_it_says_now(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob", metadata={"k": "v"})
    alice.ask("message.edit", conversation=OURS, seq=1, client_id="e", text="A")
    forward(bob, to="carol")
    alice.ask("message.edit", conversation=OURS, seq=1, client_id="f", text="B")
    alice.ask("message.delete", conversation=OURS, seq=1, client_id="d")
    [message] = history(bob)
    assert (message.text, message.metadata, message.forwarded_from) == ("A", {}, "alice")


def test_it_may_go_into_a_conversation_and_back_where_it_came_from(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    bob.send("b", to="carol")
    assert forward(bob, into=THEIRS).seq == 2
    assert forward(bob, into=OURS).seq == 2
    assert [message.forwarded_from for message in history(bob, OURS)] == [None, "alice"]


def test_whoever_forwards_it_further_names_the_same_person(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    forward(bob, to="carol")
    forward(chat.http("carol"), conversation=THEIRS, to="dave")
    [message] = history(chat.http("dave"), direct("carol", "dave"))
    assert (message.sender, message.forwarded_from) == ("carol", "alice")


def test_who_edits_what_they_forwarded_puts_no_words_into_anothers_mouth(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    forward(bob, to="carol")
    bob.ask("message.edit", conversation=THEIRS, seq=1, client_id="e", text="A")
    [message] = history(bob)
    assert (message.text, message.forwarded_from) == ("A", None)
    forward(chat.http("carol"), conversation=THEIRS, to="dave")
    [message] = history(chat.http("dave"), direct("carol", "dave"))
    assert (message.text, message.forwarded_from) == ("A", "bob")


def test_one_names_a_person_or_a_conversation(alice: Asker) -> None:
    alice.send("a", to="bob")
    for fields in ({}, {"to": "carol", "into": OURS}):
        with pytest.raises(Invalid, match="one of `to` and `into`"):
            forward(alice, **fields)


def test_what_one_does_not_see_one_does_not_forward(chat: Chat, alice: Asker, bob: Asker) -> None:
    """Fault 59. Nor is a conversation opened for it."""
    for text in "abcd":
        alice.send(text, to="bob")
    alice.ask("message.delete", conversation=OURS, seq=1, client_id="d")
    bob.ask("message.hide", conversation=OURS, seq=2, client_id="h")
    chat.entries(OURS)[2] = altered(chat.entries(OURS)[2])
    details = set()
    for who, conversation, seq in (
        (bob, OURS, 1),
        (bob, OURS, 2),
        (bob, OURS, 3),
        (bob, OURS, 5),
        (bob, OURS, 99),
        (bob, new_id(), 1),
        (bob, event_queue("bob"), 1),
        (chat.http("eve"), OURS, 4),
    ):
        for destination in ({"to": "carol"}, {"to": "alice"}, {"into": OURS}):
            with pytest.raises(NotFound) as caught:
                forward(who, seq, conversation=conversation, **destination)
            details.add(caught.value.detail)
    assert len(details) == 1
    assert THEIRS not in chat.database.logs
    assert len(chat.entries(OURS)) == 5


def test_it_goes_nowhere_that_one_may_not_post_to(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    bob.send("b", to="carol")
    for into in (THEIRS, new_id(), event_queue("bob")):
        with pytest.raises(NotFound):
            forward(alice, into=into)
    assert len(chat.entries(THEIRS)) == 1


@pytest.mark.parametrize("destination", [{"to": "carol"}, {"into": THEIRS}])
def test_a_repeat_gets_the_first_reply_whatever_has_become_of_the_message(
    chat: Chat, alice: Asker, bob: Asker, destination: Any
) -> None:
    alice.send("a", to="bob")
    alice.send("b", to="bob")
    bob.send("c", to="carol")
    first = forward(bob, client_id="f", **destination)
    assert forward(bob, client_id="f", **destination) == first
    alice.ask("message.edit", conversation=OURS, seq=1, client_id="e", text="A")
    assert forward(bob, client_id="f", **destination) == first
    alice.ask("message.delete", conversation=OURS, seq=1, client_id="d")
    assert forward(bob, client_id="f", **destination) == first
    for conflicting in (
        lambda: forward(bob, 2, client_id="f", **destination),
        lambda: forward(bob, client_id="f", to="alice"),
        lambda: bob.send("a", client_id="f", conversation=THEIRS),
    ):
        with pytest.raises(Conflict):
            conflicting()
    assert [message.text for message in history(chat.http("carol"))] == ["c", "a"]


def test_pipelined_with_messages_it_keeps_its_turn(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    bob.send("1", to="carol")
    asked = [
        bob.start("message.send", client_id="1", to="carol", text="2"),
        bob.start("message.forward", client_id="2", conversation=OURS, seq=1, to="carol"),
        bob.start("message.send", client_id="3", conversation=THEIRS, text="3"),
    ]
    assert [one.result.seq for one in asked] == [2, 3, 4]

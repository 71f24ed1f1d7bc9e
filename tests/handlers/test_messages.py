"""Sending, sending again, and reading back."""

from collections.abc import Callable
from datetime import UTC
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from chatd.errors import Conflict, Forbidden, Internal, Invalid, NotFound, OutcomeUnknown, TooLarge, Unavailable
from chatd.handlers.messages import MessageCreated
from chatd.state.ids import direct, event_queue
from tests.kit.stores import new_id
from tests.kit.world import OTHER_MASTERS, Asker, Chat, altered
from tests.kit.writing import LOST, VANISHED

OURS = direct("alice", "bob")
THEIRS = direct("bob", "carol")


# -- sending --


def test_a_message_to_a_person_stands_first_in_a_new_conversation_with_them(alice: Asker) -> None:
    sent = alice.send("hello", to="bob")
    assert (sent.message_id, sent.conversation, sent.seq) == (f"{OURS}.1", OURS, 1)
    assert sent.time.utcoffset() == UTC.utcoffset(None)


def test_messages_of_both_are_numbered_in_one_log_however_they_are_addressed(alice: Asker, bob: Asker) -> None:
    sent = [alice.send("a", to="bob"), bob.send("b", to="alice"), bob.send("c", conversation=OURS)]
    assert [(one.conversation, one.seq) for one in sent] == [(OURS, 1), (OURS, 2), (OURS, 3)]


def test_it_reaches_everybody_concerned_and_nobody_else(chat: Chat, alice: Asker) -> None:
    connected = {(user, device): chat.connect(user, device) for user in ("alice", "bob", "carol") for device in "ab"}
    sent = alice.send("hello", to="bob", metadata={"lang": "en"})
    event = MessageCreated(
        conversation=OURS,
        seq=1,
        time=sent.time,
        message_id=sent.message_id,
        sender="alice",
        text="hello",
        metadata={"lang": "en"},
    )
    got = {who: connection.of(MessageCreated) for who, connection in connected.items()}
    assert got == {who: [event] if who[0] != "carol" else [] for who in connected}


def test_what_is_said_is_sealed(chat: Chat, alice: Asker) -> None:
    alice.send("secret", to="bob", metadata={"key": "covert"})
    stored = msgspec.json.encode(chat.entries(OURS)) + b"".join(entry.sealed for entry in chat.entries(OURS))
    assert not any(word in stored for word in (b"secret", b"key", b"covert"))


def test_notes_to_oneself_are_a_conversation_with_one_member(chat: Chat, alice: Asker) -> None:
    tablet = chat.connect("alice", "tablet")
    note = alice.send("note", to="alice")
    assert note.conversation == direct("alice", "alice")
    assert [event.text for event in tablet.of(MessageCreated)] == ["note"]
    assert [member.user for member in alice.ask("conversation.get", conversation=note.conversation).members] == [
        "alice"
    ]


@pytest.mark.parametrize("place", [{}, {"to": "bob", "conversation": OURS}])
def test_it_goes_to_a_person_or_into_a_conversation(alice: Asker, place: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="one of `to` and `conversation`"):
        alice.send("hello", **place)


@pytest.mark.parametrize("character", ["a", "é", "\U0001f600", "\u0301"])
def test_its_length_is_counted_in_code_points(alice: Asker, character: str) -> None:
    alice.send(character * 10, to="bob")
    with pytest.raises(TooLarge, match="11 characters; the limit is 10"):
        alice.send(character * 11, to="bob")


@pytest.mark.parametrize("metadata", [{"é": "x" * 11}, {"a": "x" * 5, "b": "x" * 6}])
def test_its_metadata_is_counted_in_bytes_of_names_and_values(alice: Asker, metadata: dict[str, str]) -> None:
    with pytest.raises(TooLarge, match="13 bytes; the limit is 12"):
        alice.send("hello", to="bob", metadata=metadata)
    name, value = metadata.popitem()
    alice.send("hello", to="bob", metadata={**metadata, name: value[:-1]})


def test_nobody_writes_into_their_own_event_queue(chat: Chat, alice: Asker) -> None:
    alice.send("hello", to="bob")
    with pytest.raises(Forbidden):
        alice.send("hello", conversation=alice.queue)
    assert len(chat.entries(alice.queue)) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda who, conversation: who.send("hello", conversation=conversation),
        lambda who, conversation: who.ask("history.get", conversation=conversation),
        lambda who, conversation: who.ask("conversation.get", conversation=conversation),
        lambda who, conversation: who.ask("ack", conversation=conversation, seq=1),
        lambda who, conversation: who.ask("ack", conversation=conversation, seq=1000),
    ],
)
def test_other_peoples_conversations_are_like_those_that_are_not_there(
    chat: Chat, alice: Asker, bob: Asker, ask: Callable[[Asker, str], Any]
) -> None:
    alice.send("hello", to="bob")
    bob.send("hello", to="carol")
    before = [len(chat.entries(name)) for name in (THEIRS, event_queue("bob"))]
    errors = []
    for conversation in (THEIRS, event_queue("bob"), new_id(), event_queue("nobody")):
        with pytest.raises(NotFound) as caught:
            ask(alice, conversation)
        errors.append((caught.value.detail, caught.value.retry_after_ms))
    assert len(set(errors)) == 1
    assert [len(chat.entries(name)) for name in (THEIRS, event_queue("bob"))] == before


def test_what_one_connection_sends_is_stored_in_the_order_sent_while_nothing_is_committed_yet(chat: Chat) -> None:
    alice = chat.connect("alice")
    alice.send("0", to="bob")
    commit: Deferred[None] = Deferred()
    chat.log.faults = [commit]
    sends = [
        alice.start("message.send", client_id=f"c{n}", text=f"{n}", **place)
        for n, place in enumerate([{"to": "bob"}, {"conversation": OURS}] * 10, start=1)
    ]
    assert not any(send.ended for send in sends)
    commit.callback(None)
    assert [send.result.seq for send in sends] == list(range(2, 22))
    assert [event.text for event in alice.of(MessageCreated)] == [f"{n}" for n in range(21)]


def test_a_message_that_could_not_be_stored_is_not_shown(chat: Chat, alice: Asker) -> None:
    bob = chat.connect("bob")
    alice.send("a", to="bob")
    bob.got.clear()
    chat.log.faults = [Unavailable()]
    with pytest.raises(Unavailable):
        alice.send("b", to="bob", client_id="b")
    assert bob.got == []
    assert alice.send("b", to="bob", client_id="b").seq == 2
    assert [event.text for event in bob.of(MessageCreated)] == ["b"]


def test_one_whose_key_cannot_be_opened_is_refused_and_reported(chat: Chat, alice: Asker) -> None:
    alice.send("hello", to="bob")
    elsewhere = Chat(chat.database, OTHER_MASTERS)
    with pytest.raises(Internal, match="data key"):
        elsewhere.http("alice").send("hello", to="bob")
    assert [name for name, _ in elsewhere.failed] == ["message.send"]


# -- sending again --


@pytest.mark.parametrize("place", [{"to": "bob"}, {"conversation": OURS}])
def test_sent_again_it_gets_the_first_reply_from_any_device_and_worker(
    chat: Chat, alice: Asker, place: dict[str, str]
) -> None:
    first = alice.send("hello", to="bob", client_id="1", metadata={"a": "1", "b": "2"})
    again = {"client_id": "1", "metadata": {"b": "2", "a": "1"}, **place}
    others = [alice, chat.http("alice", "tablet"), chat.connect("alice"), Chat(chat.database).http("alice")]
    assert [other.send("hello", **again) for other in others] == [first] * 4
    assert len(chat.entries(OURS)) == 1


@pytest.mark.parametrize(
    "change",
    [{"text": "other"}, {"to": "carol"}, {"metadata": {"a": "2"}}, {"metadata": {}}],
    ids=lambda change: str(change),
)
def test_sent_again_with_anything_else_it_is_a_conflict(chat: Chat, alice: Asker, change: dict[str, Any]) -> None:
    first = {"text": "hello", "to": "bob", "client_id": "1", "metadata": {"a": "1"}}
    alice.send(**first)
    for device in (alice, chat.http("alice", "tablet")):
        with pytest.raises(Conflict):
            device.send(**{**first, **change})
    assert len(chat.entries(OURS)) == 1


def test_a_client_id_is_its_authors_alone(alice: Asker, bob: Asker) -> None:
    assert alice.send("a", to="bob", client_id="1").seq == 1
    assert bob.send("b", to="alice", client_id="1").seq == 2


def test_after_a_refusal_its_client_id_is_free(alice: Asker) -> None:
    with pytest.raises(TooLarge):
        alice.send("x" * 11, to="bob", client_id="1")
    assert alice.send("x", to="bob", client_id="1").seq == 1


def test_two_of_the_same_that_are_under_way_together_are_one(chat: Chat) -> None:
    alice, bob = chat.connect("alice"), chat.connect("bob")
    chat.log.faults = [commit := Deferred()]
    sends = [alice.start("message.send", to="bob", client_id=name, text="hello") for name in "abab"]
    commit.callback(None)
    assert [send.result.seq for send in sends] == [1, 2, 1, 2]
    assert [event.seq for event in bob.of(MessageCreated)] == [1, 2]


@pytest.mark.parametrize("fault", [LOST, VANISHED])
def test_when_the_reply_to_its_commit_is_lost_it_is_stored_once_all_the_same(
    chat: Chat, alice: Asker, fault: str
) -> None:
    chat.log.faults = [fault]
    first = alice.send("hello", to="bob", client_id="1")
    assert alice.send("hello", to="bob", client_id="1") == first
    assert len(chat.entries(OURS)) == 1


def test_when_that_cannot_be_found_out_the_author_is_told_so_and_may_send_it_again(chat: Chat, alice: Asker) -> None:
    chat.log.faults, chat.log.away = [LOST], True
    with pytest.raises(OutcomeUnknown):
        alice.send("hello", to="bob", client_id="1")
    chat.log.away = False
    assert alice.send("hello", to="bob", client_id="1").seq == 1
    assert len(chat.entries(OURS)) == 1


# -- reading --


@pytest.fixture
def ten(alice: Asker) -> None:
    for number in range(1, 11):
        alice.send(f"{number}", to="bob")


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize(
    ("ask", "seqs", "older", "newer"),
    [
        ({}, range(1, 11), False, False),
        ({"limit": 10}, range(1, 11), False, False),
        ({"limit": 3}, range(8, 11), True, False),
        ({"before": 8, "limit": 3}, range(5, 8), True, True),
        ({"before": 4, "limit": 3}, range(1, 4), False, True),
        ({"before": 3, "limit": 3}, range(1, 3), False, True),
        ({"before": 1}, [], False, True),
        ({"before": 0}, [], False, True),
        ({"after": 0, "limit": 3}, range(1, 4), False, True),
        ({"after": 3, "limit": 3}, range(4, 7), True, True),
        ({"after": 7, "limit": 3}, range(8, 11), True, False),
        ({"after": 9, "limit": 3}, [10], True, False),
        ({"after": 10}, [], True, False),
        ({"around": 5, "limit": 1}, [5], True, True),
        ({"around": 5, "limit": 2}, [4, 5], True, True),
        ({"around": 5, "limit": 5}, range(3, 8), True, True),
        ({"around": 1, "limit": 4}, [1, 2], False, True),
        ({"around": 3, "limit": 4}, range(1, 5), False, True),
        ({"around": 9, "limit": 4}, range(7, 11), True, False),
        ({"around": 10, "limit": 1}, [10], True, False),
        ({"around": 5, "limit": 500}, range(1, 11), False, False),
        ({"around": 0, "limit": 4}, [1, 2], False, True),
        ({"around": 11, "limit": 4}, [9, 10], True, False),
    ],
    ids=str,
)
def test_history_is_read_page_by_page(
    bob: Asker, ask: dict[str, int], seqs: range | list[int], older: bool, newer: bool
) -> None:
    page = bob.ask("history.get", conversation=OURS, **ask)
    assert [message.seq for message in page.messages] == [*seqs]
    assert (page.older, page.newer) == (older, newer)


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize("limit", [1, 3, 4, 10])
def test_pages_backwards_meet_without_a_gap_or_a_repeat(bob: Asker, limit: int) -> None:
    page = bob.ask("history.get", conversation=OURS, limit=limit)
    seqs = [message.seq for message in page.messages]
    while page.older:
        page = bob.ask("history.get", conversation=OURS, limit=limit, before=seqs[0])
        seqs = [message.seq for message in page.messages] + seqs
    assert seqs == list(range(1, 11))


def test_history_shows_messages_as_they_were_delivered(chat: Chat, alice: Asker) -> None:
    bob = chat.connect("bob")
    alice.send("hello", to="bob", metadata={"a": "1"})
    bob.send("hi", to="alice")
    page = bob.ask("history.get", conversation=OURS)
    assert [msgspec.structs.asdict(message) for message in page.messages] == [
        msgspec.structs.asdict(event) | {"edited_at": None, "thread": None, "pinned": False, "reactions": []}
        for event in bob.of(MessageCreated)
    ]


def test_an_event_queue_holds_no_messages(alice: Asker) -> None:
    alice.send("hello", to="bob")
    page = alice.ask("history.get", conversation=alice.queue)
    assert (page.messages, page.older, page.newer) == ([], False, False)


@pytest.mark.parametrize(
    "ends", [{"before": 0, "after": 0}, {"after": 1, "around": 1}, {"before": 1, "after": 1, "around": 1}], ids=str
)
def test_history_is_asked_from_one_end_only(alice: Asker, ends: dict[str, int]) -> None:
    with pytest.raises(Invalid, match="at most one"):
        alice.ask("history.get", conversation=alice.send("a", to="bob").conversation, **ends)


def test_what_cannot_be_read_is_shown_as_such_between_the_others(chat: Chat, alice: Asker, bob: Asker) -> None:
    for text in ("a", "b", "c"):
        alice.send(text, to="bob", metadata={"k": "v"})
    chat.entries(OURS)[1] = altered(chat.entries(OURS)[1])
    messages = bob.ask("history.get", conversation=OURS).messages
    assert [(one.seq, one.text, one.metadata, one.unreadable) for one in messages] == [
        (1, "a", {"k": "v"}, False),
        (2, "", {}, True),
        (3, "c", {"k": "v"}, False),
    ]
    assert [(entry.conversation, entry.seq) for entry, _ in chat.unreadable] == [(OURS, 2)]

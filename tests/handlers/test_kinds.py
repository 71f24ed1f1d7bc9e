"""Entries that cannot be opened are never shown as anything else, and never pass unnoticed."""

from collections.abc import Callable

import msgspec
import pytest

from chatd.handlers.kinds import EntryUnknown
from chatd.handlers.messages import MessageCreated
from chatd.handlers.opening import ConversationCreated
from chatd.records.logs import Entry
from chatd.security.keyring import Keyring, MasterKeys
from chatd.state.authors import Authors
from chatd.state.ids import direct
from chatd.store.memory.keys import MemoryKeys
from tests.kit.at_once import at_once
from tests.kit.world import MASTERS, OTHER_MASTERS, Asker, Chat, altered

OURS = direct("alice", "bob")


@pytest.fixture
def said(alice: Asker) -> None:
    for text in ("a", "b", "c"):
        alice.send(text, to="bob")


def flip_the_layout(entries: list[Entry]) -> None:
    entries[1] = altered(entries[1], 0)


def flip_the_nonce(entries: list[Entry]) -> None:
    entries[1] = altered(entries[1], 1)


def flip_the_tag(entries: list[Entry]) -> None:
    entries[1] = altered(entries[1], -1)


def cut_short(entries: list[Entry]) -> None:
    entries[1] = msgspec.structs.replace(entries[1], sealed=entries[1].sealed[:10])


def give_it_to_bob(entries: list[Entry]) -> None:
    entries[1] = msgspec.structs.replace(entries[1], author="bob")


def have_a_row_of_another_place(entries: list[Entry]) -> None:
    entries[1] = msgspec.structs.replace(entries[1], sealed=entries[0].sealed)


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize(
    "alter",
    [flip_the_layout, flip_the_nonce, flip_the_tag, cut_short, give_it_to_bob, have_a_row_of_another_place],
    ids=lambda alter: alter.__name__,
)
def test_an_altered_row_is_told_as_unreadable_wherever_it_is_read(
    chat: Chat, bob: Asker, alter: Callable[[list[Entry]], None]
) -> None:
    bob.send("d", to="alice")  # So that there is a key of his.
    alter(chat.entries(OURS))
    connection = chat.connect("bob", "tablet", synced=False)
    connection.ask("sync")
    streamed = connection.of(MessageCreated)
    paged = [event for event in bob.ask("sync").events if isinstance(event, MessageCreated)]
    read = bob.ask("history.get", conversation=OURS).messages
    for found in (streamed, paged, read):
        assert [(one.seq, one.text, one.unreadable) for one in found] == [
            (1, "a", False),
            (2, "", True),
            (3, "c", False),
            (4, "d", False),
        ]
    assert [(entry.conversation, entry.seq) for entry, _ in chat.unreadable] == [(OURS, 2)] * 3


@pytest.mark.usefixtures("said")
def test_rows_that_changed_places_are_both_unreadable(chat: Chat, bob: Asker) -> None:
    first, second, _ = entries = chat.entries(OURS)
    entries[0] = msgspec.structs.replace(first, sealed=second.sealed)
    entries[1] = msgspec.structs.replace(second, sealed=first.sealed)
    messages = bob.ask("history.get", conversation=OURS).messages
    assert [(one.seq, one.text, one.unreadable) for one in messages] == [(1, "", True), (2, "", True), (3, "c", False)]


@pytest.mark.usefixtures("said")
def test_an_event_queue_with_an_altered_row_tells_that_there_was_a_conversation(chat: Chat, bob: Asker) -> None:
    chat.entries(bob.queue)[0] = altered(chat.entries(bob.queue)[0])
    [event] = [event for event in bob.ask("sync").events if isinstance(event, ConversationCreated)]
    assert (event.seq, event.by, event.created, event.kind, event.members) == (1, "alice", None, None, [])
    assert event.unreadable


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("masters", [OTHER_MASTERS, MasterKeys({"2": bytes(32)})], ids=["another", "not configured"])
def test_with_another_master_key_nothing_can_be_read_and_each_entry_is_reported(
    chat: Chat, masters: MasterKeys
) -> None:
    elsewhere = Chat(chat.database, masters)
    messages = elsewhere.http("bob").ask("history.get", conversation=OURS).messages
    assert [(one.sender, one.text, one.unreadable) for one in messages] == [("alice", "", True)] * 3
    assert [reason.startswith("the author's key: ") for _, reason in elsewhere.unreadable] == [True] * 3


@pytest.mark.usefixtures("said")
def test_when_a_persons_key_is_destroyed_only_what_they_wrote_is_unreadable(chat: Chat, bob: Asker) -> None:
    bob.send("d", to="alice")
    del chat.database.keys["alice"]
    elsewhere = Chat(chat.database)
    messages = elsewhere.http("bob").ask("history.get", conversation=OURS).messages
    assert [(one.text, one.unreadable) for one in messages] == [("", True)] * 3 + [("d", False)]
    assert {reason for _, reason in elsewhere.unreadable} == {"the author has no key, or no longer"}


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("plaintext", [b"\xc1", b"", msgspec.msgpack.encode({"text": 1})], ids=repr)
def test_content_that_was_sealed_in_another_shape_is_unreadable(chat: Chat, bob: Asker, plaintext: bytes) -> None:
    key = at_once(Authors(MemoryKeys(chat.database), Keyring(MASTERS)).writing("alice"))
    entry = chat.entries(OURS)[1]
    sealed = key.seal(plaintext, OURS, entry.client_id)
    chat.entries(OURS)[1] = msgspec.structs.replace(entry, sealed=sealed)
    messages = bob.ask("history.get", conversation=OURS).messages
    assert [one.unreadable for one in messages] == [False, True, False]
    assert len(chat.unreadable) == 1


@pytest.mark.usefixtures("said")
def test_fields_that_a_later_version_added_do_not_hinder_reading(chat: Chat, bob: Asker) -> None:
    key = at_once(Authors(MemoryKeys(chat.database), Keyring(MASTERS)).writing("alice"))
    entry = chat.entries(OURS)[1]
    later = key.seal(msgspec.msgpack.encode({"text": "later", "mood": "good"}), OURS, entry.client_id)
    chat.entries(OURS)[1] = msgspec.structs.replace(entry, sealed=later)
    assert [one.text for one in bob.ask("history.get", conversation=OURS).messages] == ["a", "later", "c"]


@pytest.mark.usefixtures("said")
def test_an_entry_of_a_newer_server_keeps_its_place_and_stops_nobody(chat: Chat, bob: Asker) -> None:
    entries = chat.entries(OURS)
    entries[1] = msgspec.structs.replace(entries[1], kind="message.folded")
    events = [event for event in bob.ask("sync").events if event.conversation == OURS]
    assert [(type(event), event.seq) for event in events] == [
        (MessageCreated, 1),
        (EntryUnknown, 2),
        (MessageCreated, 3),
    ]
    assert events[1].kind == "message.folded"
    assert len(chat.unreadable) == 1

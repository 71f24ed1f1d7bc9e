"""What people set for themselves: it reaches their own devices, is caught up with, and shows in their list alone."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from chatd.errors import Conflict, Invalid, NotFound, Unchanged
from chatd.handlers.personal import (
    ConversationArchived,
    ConversationMuted,
    ConversationUnarchived,
    ConversationUnmuted,
    ReadingHidden,
    ReadingShown,
)
from chatd.state.ids import direct
from tests.kit.stores import new_client_id, new_id
from tests.kit.world import NOON, Asker, Chat, altered
from tests.kit.writing import LOST

OURS = direct("alice", "bob")
HOUR = timedelta(hours=1)
PAIRS = {
    "conversation.mute": ConversationMuted,
    "conversation.unmute": ConversationUnmuted,
    "conversation.archive": ConversationArchived,
    "conversation.unarchive": ConversationUnarchived,
    "reading.hide": ReadingHidden,
    "reading.show": ReadingShown,
}


def change(who: Asker, name: str, conversation: str = OURS, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    return who.ask(name, conversation=conversation, **fields)


def listed(who: Asker, *, archived: bool = False) -> list[str]:
    page = who.ask("conversation.list", archived=archived)
    assert all(one.archived is archived for one in page.conversations)
    return [one.conversation for one in page.conversations]


def view(who: Asker) -> Any:
    return who.ask("conversation.get", conversation=OURS)


@pytest.fixture(autouse=True)
def said(alice: Asker) -> None:
    alice.send("hello", to="bob")


def test_each_setting_reaches_all_devices_of_the_person_and_nobody_else(chat: Chat, alice: Asker) -> None:
    phone, tablet, bob = chat.connect("alice"), chat.connect("alice", "tablet"), chat.connect("bob")
    for number, (name, event) in enumerate(PAIRS.items(), start=2):
        changed = change(alice, name)
        assert (changed.conversation, changed.seq) == (alice.queue, number)
        expected = event(conversation=alice.queue, seq=number, time=changed.time, about=OURS)
        assert (phone.got.pop(), tablet.got.pop()) == (expected, expected)
    assert bob.got == []
    missed = chat.http("alice", "new").ask("sync").events
    assert [type(one) for one in missed if one.conversation == alice.queue][1:] == list(PAIRS.values())


def test_a_setting_stands_for_the_person_alone(alice: Asker, bob: Asker) -> None:
    for name in ("conversation.mute", "conversation.archive", "reading.hide"):
        change(alice, name)
    mine, his = view(alice), view(bob)
    assert (mine.muted, mine.muted_until, mine.archived, mine.private_reading) == (True, None, True, True)
    assert (his.muted, his.muted_until, his.archived, his.private_reading) == (False, None, False, False)


def test_sent_again_it_gets_its_first_reply_even_where_it_is_so_already(chat: Chat, alice: Asker) -> None:
    first = change(alice, "conversation.archive", client_id="1")
    assert change(chat.http("alice", "tablet"), "conversation.archive", client_id="1") == first
    with pytest.raises(Conflict):
        change(alice, "conversation.unarchive", client_id="1")
    chat.log.change_faults.append(LOST)
    second = change(alice, "conversation.unarchive", client_id="2")
    assert second.seq == first.seq + 1
    assert not view(alice).archived


@pytest.mark.parametrize("name", ["conversation.unmute", "conversation.unarchive", "reading.show"])
def test_what_is_so_already_is_not_changed(chat: Chat, alice: Asker, name: str) -> None:
    with pytest.raises(Unchanged):
        change(alice, name)
    assert len(chat.entries(alice.queue)) == 1


@pytest.mark.parametrize("name", ["conversation.archive", "reading.hide"])
def test_neither_is_what_was_set_before(chat: Chat, alice: Asker, name: str) -> None:
    change(alice, name)
    with pytest.raises(Unchanged):
        change(alice, name)
    assert len(chat.entries(alice.queue)) == 2


@pytest.mark.parametrize("name", PAIRS)
def test_strangers_set_nothing(chat: Chat, name: str) -> None:
    for conversation in (OURS, new_id()):
        with pytest.raises(NotFound):
            change(chat.http("mallory"), name, conversation)
    assert chat.database.personal == {}


@pytest.mark.parametrize("name", PAIRS)
def test_of_the_event_queue_there_is_nothing_to_set(chat: Chat, alice: Asker, name: str) -> None:
    with pytest.raises(Invalid, match="event queue"):
        change(alice, name, alice.queue)
    assert chat.database.personal == {}


# -- mutes --


def test_a_mute_is_until_a_time_or_for_ever_and_can_be_changed(chat: Chat, alice: Asker) -> None:
    until = NOON + HOUR
    change(alice, "conversation.mute", until=until.isoformat())
    assert (view(alice).muted, view(alice).muted_until) == (True, until)
    [event] = [one for one in alice.ask("sync").events if isinstance(one, ConversationMuted)]
    assert (event.about, event.until) == (OURS, until)
    change(alice, "conversation.mute")
    assert (view(alice).muted, view(alice).muted_until) == (True, None)
    change(alice, "conversation.unmute")
    assert not view(alice).muted


def test_the_same_time_in_another_zone_is_the_same_mute(alice: Asker) -> None:
    first = change(alice, "conversation.mute", until="2026-01-01T15:00:00Z", client_id="1")
    assert change(alice, "conversation.mute", until="2026-01-01T16:00:00+01:00", client_id="1") == first


@pytest.mark.parametrize(
    "until", [NOON, NOON - HOUR, NOON + 4000 * 24 * HOUR, "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]
)
def test_a_mute_that_has_ended_or_never_ends_on_a_calendar_is_refused(alice: Asker, until: Any) -> None:
    with pytest.raises(Invalid, match="`until`"):
        change(alice, "conversation.mute", until=until if isinstance(until, str) else until.isoformat())
    assert not view(alice).muted


def test_a_mute_sent_again_after_its_end_gets_its_first_reply(chat: Chat, alice: Asker) -> None:
    fields = {"until": (NOON + HOUR).isoformat(), "client_id": "1"}
    first = change(alice, "conversation.mute", **fields)
    chat.now += 2 * HOUR
    assert change(alice, "conversation.mute", **fields) == first


def test_a_time_without_its_zone_is_no_time(alice: Asker) -> None:
    with pytest.raises(msgspec.ValidationError):
        change(alice, "conversation.mute", until="2026-01-01T15:00:00")


def test_what_is_said_in_a_muted_conversation_is_counted_and_mentions_by_themselves(alice: Asker, bob: Asker) -> None:
    change(bob, "conversation.mute")
    alice.send("bob!", to="bob", mentions=["bob"])
    assert (view(bob).unread, view(bob).mentions) == (2, 1)


# -- the archive --


def test_what_is_archived_is_listed_apart_until_the_next_message(alice: Asker, bob: Asker) -> None:
    other = alice.send("hello", to="carol").conversation
    change(alice, "conversation.archive")
    assert (listed(alice), listed(alice, archived=True)) == ([other], [OURS])
    alice.ask("message.pin", conversation=OURS, seq=1, client_id="pin")
    assert listed(alice, archived=True) == [OURS]
    bob.send("hello?", to="alice")
    assert (listed(alice), listed(alice, archived=True)) == ([OURS, other], [])


def test_ones_own_message_brings_it_back_too(alice: Asker) -> None:
    change(alice, "conversation.archive")
    alice.send("hello?", to="bob")
    assert listed(alice) == [OURS]


def test_taken_out_of_the_archive_it_is_where_it_was(alice: Asker) -> None:
    other = alice.send("hello", to="carol").conversation
    change(alice, "conversation.archive")
    change(alice, "conversation.unarchive")
    assert (listed(alice), listed(alice, archived=True)) == ([other, OURS], [])


def test_a_muted_one_stays_until_a_message_after_the_mute(chat: Chat, alice: Asker, bob: Asker) -> None:
    """The store's clock goes on by a second with each change."""
    soon = chat.database.now() + timedelta(seconds=12)
    change(alice, "conversation.mute", until=soon.isoformat())
    change(alice, "conversation.archive")
    bob.send("psst", to="alice")
    assert listed(alice, archived=True) == [OURS]
    while chat.database.now() < soon:
        pass
    assert not view(alice).muted
    assert listed(alice, archived=True) == [OURS]
    bob.send("hello?", to="alice")
    assert listed(alice) == [OURS]


# -- what cannot be opened --


def test_a_setting_that_cannot_be_opened_says_so_and_still_counts(chat: Chat, alice: Asker) -> None:
    change(alice, "conversation.archive")
    entries = chat.entries(alice.queue)
    entries[-1] = altered(entries[-1])
    [event] = [one for one in alice.ask("sync").events if isinstance(one, ConversationArchived)]
    assert (event.about, event.unreadable) == (None, True)
    assert listed(alice, archived=True) == [OURS]

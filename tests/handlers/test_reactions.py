"""Reactions, as those see them who react, those who read, those who come later, and those who look into the store."""

from collections import defaultdict
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, Unchanged
from chatd.handlers.reactions import Reacting, ReactionAdded, ReactionRemoved
from chatd.records.rosters import Membership, Rules
from chatd.state.ids import direct, message_id
from tests.kit.stores import new_client_id, new_id
from tests.kit.world import Asker, Chat, altered
from tests.kit.writing import LOST

OURS = direct("alice", "bob")
THUMB, HEART, PARTY, TONED = "\U0001f44d", "\u2764\ufe0f", "\U0001f389", "\U0001f44d\U0001f3fd"
MANY = [chr(code) for code in range(0x1F600, 0x1F640)]


def react(who: Asker, emoji: str = THUMB, seq: int = 1, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    fields.setdefault("conversation", OURS)
    return who.ask("reaction.add", seq=seq, emoji=emoji, **fields)


def take_back(who: Asker, emoji: str = THUMB, seq: int = 1, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    return who.ask("reaction.remove", conversation=OURS, seq=seq, emoji=emoji, **fields)


def shown(who: Asker, seq: int = 1) -> list[tuple[str, int, bool]]:
    [message] = who.ask("history.get", conversation=OURS, around=seq, limit=1).messages
    return [(reaction.emoji, reaction.count, reaction.mine) for reaction in message.reactions]


def listed(who: Asker, seq: int = 1, **fields: Any) -> list[tuple[str, str]]:
    page = who.ask("reaction.list", conversation=OURS, seq=seq, **fields)
    return [(reaction.user, reaction.emoji) for reaction in page.reactions]


# -- adding and taking back --


def test_a_reaction_reaches_every_device_of_both_and_takes_the_next_place(chat: Chat, alice: Asker, bob: Asker) -> None:
    sent = alice.send("a", to="bob")
    connected = [chat.connect(user, device) for user in ("alice", "bob") for device in "ab"]
    stranger = chat.connect("carol")
    added = react(bob)
    removed = take_back(bob)
    assert [(one.conversation, one.seq) for one in (added, removed)] == [(OURS, 2), (OURS, 3)]
    common = {"conversation": OURS, "message_id": sent.message_id, "by": "bob", "emoji": THUMB}
    events = [
        ReactionAdded(seq=2, time=added.time, **common),
        ReactionRemoved(seq=3, time=removed.time, **common),
    ]
    assert [connection.got for connection in connected] == [events] * 4
    assert stranger.got == []


def test_who_comes_later_is_told_too(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    react(bob, HEART)
    later = chat.connect("alice", "another", synced=False)
    later.ask("sync")
    assert [(event.seq, event.by, event.emoji) for event in later.of(ReactionAdded)] == [(2, "bob", HEART)]


def test_history_threads_and_pins_show_how_many_react_and_whether_one_does_oneself(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    alice.send("b", to="bob", reply_to=1)
    alice.ask("message.pin", conversation=OURS, seq=2, client_id="pin")
    for who, emoji in ((bob, HEART), (alice, THUMB), (bob, THUMB), (bob, PARTY)):
        react(who, emoji, 2)
    take_back(bob, PARTY, 2)
    assert shown(alice, 2) == [(HEART, 1, False), (THUMB, 2, True)]
    assert shown(bob, 2) == [(HEART, 1, True), (THUMB, 2, True)]
    assert shown(alice, 1) == []
    [reply] = alice.ask("thread.get", conversation=OURS, seq=1).messages
    [pinned] = alice.ask("pin.list", conversation=OURS).messages
    [message] = alice.ask("history.get", conversation=OURS, around=2, limit=1).messages
    assert reply == pinned == message


def test_who_reacts_with_what_is_listed_in_order_and_page_by_page(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    for who, emoji in ((bob, HEART), (alice, THUMB), (bob, THUMB)):
        react(who, emoji)
    assert listed(alice) == [("bob", HEART), ("alice", THUMB), ("bob", THUMB)]
    assert listed(alice, emoji=THUMB) == [("alice", THUMB), ("bob", THUMB)]
    assert listed(alice, emoji=PARTY) == []
    first = alice.ask("reaction.list", conversation=OURS, seq=1, limit=2)
    assert first.newer
    assert [reaction.seq for reaction in first.reactions] == [2, 3]
    rest = alice.ask("reaction.list", conversation=OURS, seq=1, limit=2, after=first.reactions[-1].seq)
    assert not rest.newer
    assert [(reaction.user, reaction.emoji) for reaction in rest.reactions] == [("bob", THUMB)]


def test_the_same_emoji_in_another_form_is_the_same(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    react(alice, "\u2764")
    react(bob, HEART)
    react(bob, TONED)
    react(bob, THUMB)
    assert shown(bob) == [("\u2764", 2, True), (TONED, 1, True), (THUMB, 1, True)]
    with pytest.raises(Unchanged):
        react(alice, HEART)
    take_back(alice, HEART)
    assert shown(bob) == [(HEART, 1, True), (TONED, 1, True), (THUMB, 1, True)]


@pytest.mark.parametrize("emoji", ["a", "", "\U0001f44d\U0001f44d", "x" * 33, "\u0000", "+1", ":smile:"])
def test_what_is_not_one_emoji_is_refused(chat: Chat, alice: Asker, emoji: str) -> None:
    alice.send("a", to="bob")
    for attempt in (react, take_back, lambda who, emoji: listed(who, emoji=emoji)):
        with pytest.raises((Invalid, ValueError)):
            attempt(alice, emoji)
    assert len(chat.entries(OURS)) == 1


def test_what_is_there_already_or_is_not_there_stays_as_it_is(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    react(bob)
    with pytest.raises(Unchanged):
        react(bob)
    for who, emoji in ((alice, THUMB), (bob, HEART)):
        with pytest.raises(Unchanged):
            take_back(who, emoji)
    assert len(chat.entries(OURS)) == 2
    assert shown(bob) == [(THUMB, 1, True)]


def test_nobody_reacts_to_what_is_no_message(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    react(alice)
    for seq in (2, 3, 99):
        for attempt in (react, take_back, lambda who, emoji, seq: listed(who, seq)):
            with pytest.raises(NotFound):
                attempt(alice, THUMB, seq)
    assert len(chat.entries(OURS)) == 2


@pytest.mark.parametrize("name", ["reaction.add", "reaction.remove", "reaction.list"])
def test_other_peoples_messages_are_like_those_that_are_not_there(chat: Chat, alice: Asker, name: str) -> None:
    """Fault 59."""
    alice.send("a", to="bob")
    fields = {} if name == "reaction.list" else {"client_id": "1", "emoji": THUMB}
    details = set()
    for conversation in (OURS, new_id()):
        with pytest.raises(NotFound) as caught:
            chat.http("eve").ask(name, conversation=conversation, seq=1, **fields)
        details.add(caught.value.detail)
    assert len(details) == 1


@pytest.mark.parametrize(("history", "found"), [("joined", False), ("all", True)])
def test_who_does_not_see_a_message_does_not_react_to_it(
    chat: Chat, alice: Asker, bob: Asker, history: Any, found: bool
) -> None:
    alice.send("before", to="bob")
    log = chat.database.logs[OURS]
    joined = Membership(since=1)
    log.roster = replace(
        log.roster, members={**log.roster.members, "bob": joined}, rules=Rules(history=history), access=1
    )
    log.people["bob"] = joined
    if found:
        react(bob)
        assert listed(bob) == [("bob", THUMB)]
    else:
        for attempt in (react, listed):
            with pytest.raises(NotFound):
                attempt(bob)


# -- limits --


def test_one_person_puts_so_many_emojis_to_a_message_and_no_more(chat: Chat) -> None:
    strict = Chat(chat.database, max_reactions=2)
    alice, bob = strict.http("alice"), strict.http("bob")
    alice.send("a", to="bob")
    react(alice, MANY[0])
    react(alice, MANY[1])
    with pytest.raises(Forbidden, match="You have put 2 emojis"):
        react(alice, MANY[2])
    react(bob, MANY[2])
    take_back(alice, MANY[0])
    react(alice, MANY[2])
    assert shown(alice) == [(MANY[1], 1, True), (MANY[2], 2, True)]


def test_all_people_together_put_so_many_emojis_to_a_message_and_no_more(chat: Chat) -> None:
    strict = Chat(chat.database, max_emojis=2)
    alice, bob = strict.http("alice"), strict.http("bob")
    alice.send("a", to="bob")
    react(alice, MANY[0])
    react(bob, MANY[1])
    with pytest.raises(Forbidden, match="2 different emojis"):
        react(bob, MANY[2])
    react(bob, MANY[0])
    take_back(bob, MANY[1])
    react(bob, MANY[2])
    assert shown(bob) == [(MANY[0], 2, True), (MANY[2], 1, True)]


# -- what becomes of the message --


def test_edits_keep_reactions_and_a_deletion_takes_them_away(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    react(bob)
    react(bob, HEART)
    take_back(bob, HEART)
    alice.ask("message.edit", conversation=OURS, seq=1, client_id="e", text="b")
    assert shown(bob) == [(THUMB, 1, True)]
    alice.ask("message.delete", conversation=OURS, seq=1, client_id="d")
    assert shown(bob) == []
    with pytest.raises(NotFound):
        listed(bob)
    for attempt in (react, take_back):
        with pytest.raises(NotFound):
            attempt(bob)
    assert not chat.database.reactions
    assert [len(entry.sealed) > 0 for entry in chat.entries(OURS)] == [False, False, False, False, False, True]
    later = chat.connect("bob", "another", synced=False)
    later.ask("sync")
    told = [*later.of(ReactionAdded), *later.of(ReactionRemoved)]
    assert [(event.emoji, event.deleted, event.unreadable) for event in told] == [("", True, False)] * 3
    assert chat.unreadable == []


# -- repeats, order, faults --


def test_a_repeat_gets_the_first_reply_and_other_content_a_conflict(alice: Asker) -> None:
    alice.send("a", to="bob")
    alice.send("b", to="bob")
    first = react(alice, client_id="r")
    take_back(alice)
    assert react(alice, client_id="r") == first
    for conflicting in (
        lambda: react(alice, HEART, client_id="r"),
        lambda: react(alice, seq=2, client_id="r"),
        lambda: take_back(alice, client_id="r"),
    ):
        with pytest.raises(Conflict):
            conflicting()
    assert shown(alice) == []


def test_pipelined_commands_are_carried_out_in_their_order(alice: Asker) -> None:
    place = {"conversation": OURS, "seq": 1}
    asked = [
        alice.start("message.send", client_id="1", to="bob", text="a"),
        alice.start("reaction.add", client_id="2", emoji=THUMB, **place),
        alice.start("reaction.add", client_id="3", emoji=HEART, **place),
        alice.start("reaction.remove", client_id="4", emoji=THUMB, **place),
        alice.start("reaction.add", client_id="5", emoji=THUMB, **place),
    ]
    assert [one.result.seq for one in asked] == [1, 2, 3, 4, 5]
    assert shown(alice) == [(HEART, 1, True), (THUMB, 1, True)]


def test_a_reaction_whose_reply_was_lost_is_found_again(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    chat.log.change_faults = [LOST]
    assert react(alice).seq == 2
    assert shown(alice) == [(THUMB, 1, True)]


def test_an_emoji_that_cannot_be_opened_is_read_from_somebody_elses_reaction(
    chat: Chat, alice: Asker, bob: Asker
) -> None:
    alice.send("a", to="bob")
    react(bob)
    react(alice)
    react(bob, HEART)
    chat.entries(OURS)[1] = altered(chat.entries(OURS)[1])
    assert shown(alice) == [(THUMB, 2, True), (HEART, 1, False)]
    assert [entry.seq for entry, _ in chat.unreadable] == [2]
    page = alice.ask("reaction.list", conversation=OURS, seq=1)
    [hers] = [reaction for reaction in page.reactions if reaction.seq == 2]
    assert hers == Reacting(user="bob", seq=2, time=hers.time, unreadable=True)


def test_an_emoji_that_nobodys_reaction_tells_is_left_out_and_counted(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    react(bob)
    react(alice)
    react(bob, HEART)
    for n in (1, 2):
        chat.entries(OURS)[n] = altered(chat.entries(OURS)[n])
    assert shown(alice) == [(HEART, 1, False)]
    assert [entry.seq for entry, _ in chat.unreadable] == [2, 3]
    later = chat.connect("bob", "another", synced=False)
    later.ask("sync")
    assert [(event.emoji, event.unreadable) for event in later.of(ReactionAdded)] == [
        ("", True),
        ("", True),
        (HEART, False),
    ]


def test_emojis_are_sealed_and_their_marks_tell_no_more_than_which_are_equal(
    chat: Chat, alice: Asker, bob: Asker
) -> None:
    for text in "ab":
        alice.send(text, to="bob")
    for who, seq in ((alice, 1), (bob, 1), (alice, 2)):
        react(who, seq=seq)
    assert not any(THUMB.encode() in entry.sealed for entry in chat.entries(OURS))
    marks = [mark for seq in (1, 2) for _, mark in chat.database.reactions[OURS, seq]]
    assert marks[0] == marks[1] != marks[2]


# -- the log alone --

MOVES = st.lists(
    st.tuples(
        st.sampled_from(("alice", "bob")),
        st.sampled_from(("reaction.add", "reaction.add", "reaction.remove", "message.edit", "message.delete")),
        st.integers(1, 3),
        st.sampled_from((THUMB, HEART, PARTY)),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(MOVES)
def test_the_log_alone_tells_what_history_shows(moves: Any) -> None:
    """P2: whoever only has the events counts the same reactions."""
    chat = Chat()
    people = {user: chat.http(user) for user in ("alice", "bob")}
    listener, messages = chat.connect("bob", "listener"), range(1, 4)
    for seq in messages:
        people["alice"].send(str(seq), to="bob")
    for user, name, seq, emoji in moves:
        fields = {"message.edit": {"text": emoji}, "message.delete": {}}.get(name, {"emoji": emoji})
        with suppress(Unchanged, NotFound, Forbidden):
            people[user].ask(name, conversation=OURS, seq=seq, client_id=new_client_id(), **fields)
    later = chat.connect("bob", "later", synced=False)
    later.ask("sync")
    history = people["bob"].ask("history.get", conversation=OURS).messages
    expected = {
        message.message_id: {reaction.emoji: reaction.count for reaction in message.reactions} for message in history
    }
    assert counted(listener.got) == expected
    assert counted(later.got) == expected
    for message in history:
        if not message.deleted:
            whose = [emoji for user, emoji in listed(people["bob"], message.seq) if user == "bob"]
            assert sorted(whose) == sorted(reaction.emoji for reaction in message.reactions if reaction.mine)


def counted(events: Any) -> dict[str, dict[str, int]]:
    """By message, how many react with each emoji, from events alone."""
    found: dict[str, dict[str, int]] = {message_id(OURS, seq): defaultdict(int) for seq in range(1, 4)}
    for event in events:
        match event.__struct_config__.tag:
            case "reaction.added" if not event.deleted:
                found[event.message_id][event.emoji] += 1
            case "reaction.removed" if not event.deleted:
                found[event.message_id][event.emoji] -= 1
            case "message.deleted":
                found[event.message_id].clear()
    return {message: {emoji: n for emoji, n in counts.items() if n} for message, counts in found.items()}

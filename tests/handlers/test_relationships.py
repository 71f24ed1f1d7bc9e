"""Following and blocking: who is told what, what comes of it, and what the other learns."""

from typing import Any

import pytest

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, OutcomeUnknown, Unchanged
from chatd.handlers.marks import ConversationDelivered
from chatd.handlers.messages import MessageCreated
from chatd.handlers.opening import ConversationCreated
from chatd.handlers.relationships import (
    AboutSomebody,
    BlockAdded,
    BlockRemoved,
    FollowingAdded,
    FollowingRemoved,
    UserFollowed,
)
from chatd.records.people import Tie
from chatd.state.ids import direct, event_queue
from chatd.wire.events import LogEvent
from tests.kit.at_once import at_once
from tests.kit.stores import new_client_id, new_id
from tests.kit.world import Asker, Chat, altered
from tests.kit.writing import LOST

OURS = direct("alice", "bob")
CHANGES = ("user.follow", "user.unfollow", "user.block", "user.unblock")
WRITING = {
    "message.send": {"text": "x"},
    "message.edit": {"seq": 1, "text": "x"},
    "message.delete": {"seq": 1},
    "message.pin": {"seq": 1},
    "message.unpin": {"seq": 2},
}


def change(who: Asker, name: str, user: str, **fields: Any) -> Any:
    fields.setdefault("client_id", new_client_id())
    return who.ask(f"user.{name}", user=user, **fields)


def listed(who: Asker, name: str, **fields: Any) -> list[str]:
    return [one.user for one in who.ask(f"{name}.list", **fields).users]


def tie(chat: Chat) -> Tie:
    """Between alice and bob."""
    return at_once(chat.stores.relations.tie("alice", "bob"))


def refusal(who: Asker, name: str, **fields: Any) -> str:
    with pytest.raises(Forbidden) as caught:
        who.ask(name, **fields)
    return caught.value.detail


# -- following --


def test_a_follow_reaches_ones_own_devices_and_the_followed(chat: Chat, alice: Asker) -> None:
    phone, tablet, bob, eve = (chat.connect(*who) for who in (("alice",), ("alice", "tablet"), ("bob",), ("eve",)))
    placed = change(alice, "follow", "bob")
    assert (placed.conversation, placed.seq) == (alice.queue, 1)
    own = FollowingAdded(conversation=alice.queue, seq=1, time=placed.time, user="bob")
    assert phone.of(LogEvent) == tablet.of(LogEvent) == [own]
    news = UserFollowed(conversation=event_queue("bob"), seq=1, time=placed.time, by="alice")
    assert bob.of(LogEvent) == [news]
    assert eve.got == []
    assert (listed(alice, "following"), listed(chat.http("bob"), "follower")) == (["bob"], ["alice"])


def test_whoever_was_away_hears_of_it_when_they_come(chat: Chat, alice: Asker) -> None:
    change(alice, "follow", "bob")
    change(alice, "unfollow", "bob")
    bob, phone = (chat.connect(user, synced=False) for user in ("bob", "alice"))
    for connection in (bob, phone):
        connection.ask("sync")
    assert [event.by for event in bob.of(UserFollowed)] == ["alice"]
    assert [type(event) for event in phone.of(LogEvent)] == [FollowingAdded, FollowingRemoved]


def test_whom_one_no_longer_follows_is_not_told(chat: Chat, alice: Asker) -> None:
    change(alice, "follow", "bob")
    bob, phone = chat.connect("bob"), chat.connect("alice")
    placed = change(alice, "unfollow", "bob")
    assert bob.got == []
    assert phone.of(LogEvent) == [FollowingRemoved(conversation=alice.queue, seq=2, time=placed.time, user="bob")]
    assert (listed(alice, "following"), listed(chat.http("bob"), "follower")) == ([], [])


@pytest.mark.parametrize("name", CHANGES)
def test_nobody_follows_or_blocks_themselves(chat: Chat, alice: Asker, name: str) -> None:
    with pytest.raises(Invalid, match="yourself"):
        alice.ask(name, client_id="1", user="alice")
    assert chat.database.logs == {}


def test_what_is_so_already_is_said_to_be_and_stands_nowhere(chat: Chat, alice: Asker) -> None:
    for name in ("unfollow", "unblock"):
        with pytest.raises(Unchanged):
            change(alice, name, "bob")
    for name in ("follow", "block"):
        change(alice, name, "bob")
        with pytest.raises(Unchanged):
            change(alice, name, "bob")
    assert len(chat.entries(alice.queue)) == 2


@pytest.mark.parametrize("name", ["user.follow", "user.block"])
def test_a_repeat_gets_the_first_reply_and_other_content_a_conflict(chat: Chat, alice: Asker, name: str) -> None:
    bob = chat.connect("bob")
    first = alice.ask(name, client_id="1", user="bob")
    told = len(bob.got)
    assert Chat(chat.database).http("alice", "tablet").ask(name, client_id="1", user="bob") == first
    assert alice.ask(name, client_id="1", user="bob") == first
    assert len(bob.got) == told
    for other in (("user.unfollow", "bob"), (name, "carol")):
        with pytest.raises(Conflict):
            alice.ask(other[0], client_id="1", user=other[1])


def test_pipelined_changes_are_made_in_their_order(alice: Asker) -> None:
    names = ("user.follow", "user.unfollow", "user.follow", "user.block", "user.unblock")
    asked = [alice.start(name, client_id=str(n), user="bob") for n, name in enumerate(names)]
    assert [one.result.seq for one in asked] == [1, 2, 3, 4, 5]


def test_lists_are_paged(alice: Asker) -> None:
    for user in ("dave", "bob", "carol"):
        change(alice, "follow", user)
    first = alice.ask("following.list", limit=2)
    assert ([one.user for one in first.users], first.next) == (["bob", "carol"], "carol")
    last = alice.ask("following.list", limit=2, cursor=first.next)
    assert ([one.user for one in last.users], last.next) == (["dave"], None)
    assert alice.ask("following.list", limit=3).next is None


def test_an_entry_that_cannot_be_opened_says_so(chat: Chat, alice: Asker) -> None:
    change(alice, "follow", "bob")
    chat.entries(alice.queue)[0] = altered(chat.entries(alice.queue)[0])
    phone = chat.connect("alice", synced=False)
    phone.ask("sync")
    [event] = phone.of(AboutSomebody)
    assert (event.user, event.unreadable) == (None, True)
    assert len(chat.unreadable) == 1


# -- blocking --


def test_a_block_is_told_to_ones_own_devices_alone(chat: Chat, alice: Asker) -> None:
    phone, bob = chat.connect("alice"), chat.connect("bob")
    blocked, unblocked = change(alice, "block", "bob"), change(alice, "unblock", "bob")
    assert phone.of(LogEvent) == [
        BlockAdded(conversation=alice.queue, seq=1, time=blocked.time, user="bob"),
        BlockRemoved(conversation=alice.queue, seq=2, time=unblocked.time, user="bob"),
    ]
    assert bob.got == []


def test_who_blocks_and_who_is_blocked_are_told_the_same(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    bob.send("b", to="alice")
    alice.ask("message.pin", client_id="pin", conversation=OURS, seq=2)
    change(alice, "block", "bob")
    connections = [chat.connect("alice"), chat.connect("bob")]
    before = len(chat.entries(OURS))
    details = {
        refusal(who, name, client_id=new_client_id(), conversation=OURS, **fields)
        for who in (alice, bob)
        for name, fields in WRITING.items()
    }
    details |= {refusal(bob, "message.send", client_id="1", to="alice", text="x")}
    assert details == {"You cannot write to each other."}
    assert len(chat.entries(OURS)) == before
    assert [connection.got for connection in connections] == [[], []]


def test_what_was_said_before_can_still_be_read(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    change(alice, "block", "bob")
    for who in (alice, bob):
        assert [message.text for message in who.ask("history.get", conversation=OURS).messages] == ["a"]
        assert who.ask("conversation.get", conversation=OURS).last_seq == 1
    late = chat.connect("bob", "new", synced=False)
    late.ask("sync")
    assert [event.text for event in late.of(MessageCreated)] == ["a"]


def test_when_the_block_ends_they_talk_again(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    change(alice, "block", "bob")
    change(bob, "block", "alice")
    change(alice, "unblock", "bob")
    assert refusal(alice, "message.send", client_id="1", to="bob", text="x")
    change(bob, "unblock", "alice")
    assert bob.send("b", to="alice").seq == 2


def test_a_message_that_was_acknowledged_before_the_block_keeps_its_reply(alice: Asker, bob: Asker) -> None:
    sent = bob.send("b", to="alice", client_id="1")
    change(alice, "block", "bob")
    assert bob.send("b", to="alice", client_id="1") == sent


def test_a_worker_that_has_not_heard_of_the_block_refuses_all_the_same(chat: Chat, alice: Asker, bob: Asker) -> None:
    elsewhere = Chat(chat.database).http("bob")
    elsewhere.send("a", to="alice")
    change(alice, "block", "bob")
    assert refusal(elsewhere, "message.send", client_id="1", to="alice", text="x")
    assert len(chat.entries(OURS)) == 1


def test_two_who_never_talked_cannot_begin_to(chat: Chat, alice: Asker, bob: Asker) -> None:
    change(alice, "block", "bob")
    connections = [chat.connect("alice"), chat.connect("bob")]
    for who, other in ((alice, "bob"), (bob, "alice")):
        assert refusal(who, "message.send", client_id=new_client_id(), to=other, text="x")
    assert [connection.got for connection in connections] == [[], []]
    change(alice, "unblock", "bob")
    bob.send("hi", to="alice")
    for connection in connections:
        assert [event.by for event in connection.of(ConversationCreated)] == ["bob"]
        assert [event.text for event in connection.of(MessageCreated)] == ["hi"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("message.send", {"client_id": "1", "text": "x"}),
        ("message.edit", {"client_id": "1", "seq": 1, "text": "x"}),
        ("conversation.get", {}),
        ("history.get", {}),
        ("ack", {"seq": 0}),
    ],
)
def test_a_conversation_that_only_a_block_made_is_as_if_it_were_not_there(
    chat: Chat, alice: Asker, bob: Asker, name: str, fields: dict[str, Any]
) -> None:
    """Fault 59: its id can be worked out by anybody."""
    change(alice, "block", "bob")
    details = set()
    for conversation in (OURS, new_id()):
        for worker in (chat, Chat(chat.database)):
            with pytest.raises(NotFound) as caught:
                worker.http("bob").ask(name, conversation=conversation, **fields)
            details.add(caught.value.detail)
    assert len(details) == 1
    assert bob.ask("sync", cursors={OURS: 0}).reset == [OURS]
    assert bob.ask("conversation.list").conversations == []


def test_a_block_ends_follows_both_ways_and_keeps_new_ones_away(chat: Chat, alice: Asker, bob: Asker) -> None:
    change(alice, "follow", "bob")
    change(bob, "follow", "alice")
    change(alice, "block", "bob")
    assert tie(chat) == Tie(blocks=True)
    listener = chat.connect("bob")
    for who, other in ((alice, "bob"), (bob, "alice")):
        with pytest.raises(Forbidden, match="cannot follow each other"):
            change(who, "follow", other)
    assert listener.got == []
    change(alice, "unblock", "bob")
    assert tie(chat) == Tie()
    assert listed(alice, "block") == []


def test_who_blocks_somebody_is_in_nobodys_list(alice: Asker, bob: Asker) -> None:
    change(alice, "block", "bob")
    assert listed(alice, "block") == ["bob"]
    assert [listed(bob, name) for name in ("block", "following", "follower")] == [[], [], []]


def test_passing_notices_do_not_cross_a_block(chat: Chat, alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    bob.send("b", to="alice")
    listener, own = chat.connect("alice"), chat.connect("bob", "tablet")
    bob.ask("ack", conversation=OURS, seq=1)
    assert [len(connection.of(ConversationDelivered)) for connection in (listener, own)] == [1, 1]
    change(alice, "block", "bob")
    listener.got.clear()
    bob.ask("ack", conversation=OURS, seq=2)
    assert listener.of(ConversationDelivered) == []
    change(alice, "unblock", "bob")
    alice.ask("ack", conversation=OURS, seq=2)
    assert [event.user for event in own.of(ConversationDelivered)][-1] == "alice"


def test_a_block_whose_reply_was_lost_is_known_and_found_again(chat: Chat, alice: Asker) -> None:
    assert at_once(chat.relations.apart("bob")) == frozenset()
    chat.log.change_faults = [LOST]
    chat.log.away = True
    with pytest.raises(OutcomeUnknown):
        alice.ask("user.block", client_id="1", user="bob")
    assert at_once(chat.relations.apart("bob")) == {"alice"}
    chat.log.away = False
    assert alice.ask("user.block", client_id="1", user="bob").seq == 1

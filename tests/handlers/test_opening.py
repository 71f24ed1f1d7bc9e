"""How a conversation comes to be: once, and both people hear of it in their event queues."""

import pytest

from chatd.errors import OutcomeUnknown, Unavailable
from chatd.handlers.messages import MessageCreated
from chatd.handlers.opening import ConversationCreated
from chatd.records.logs import Publication
from chatd.state.ids import direct, event_queue
from chatd.wire.events import ConversationStale
from tests.kit.at_once import at_once
from tests.kit.world import Asker, Chat, Connection
from tests.kit.writing import LOST, VANISHED

OURS = direct("alice", "bob")


def created(connection: Connection) -> list[tuple[str, int, str, str | None]]:
    return [(one.conversation, one.seq, one.by, one.created) for one in connection.of(ConversationCreated)]


def stale(connection: Connection) -> list[str]:
    return [event.conversation for event in connection.of(ConversationStale)]


def missed(connection: Connection) -> list[tuple[str, int]]:
    """What a sync of the stale brings."""
    connection.got.clear()
    connection.ask("sync", scope="named", cursors=dict.fromkeys([connection.queue], 0))
    return connection.places


def test_both_are_told_in_their_event_queues_before_the_first_message(chat: Chat, alice: Asker) -> None:
    connected = [chat.connect("alice"), chat.connect("bob")]
    alice.send("hello", to="bob")
    for connection in connected:
        assert connection.places == [(connection.queue, 1), (OURS, 1)]
        [event] = connection.of(ConversationCreated)
        assert (event.by, event.created, event.kind, event.members) == ("alice", OURS, "direct", ["alice", "bob"])


def test_it_is_opened_once_whoever_comes_first_and_on_whichever_worker(chat: Chat, alice: Asker) -> None:
    elsewhere = Chat(chat.database)
    alice.send("a", to="bob")
    elsewhere.http("bob").send("b", to="alice")
    chat.http("bob").send("c", to="alice")
    assert [len(chat.entries(log)) for log in (OURS, event_queue("alice"), event_queue("bob"))] == [3, 1, 1]


def test_each_new_conversation_takes_the_next_place_in_the_queue(chat: Chat, alice: Asker) -> None:
    tablet = chat.connect("alice", "tablet")
    for other in ("bob", "carol", "alice"):
        alice.send("hello", to=other)
    chat.http("dave").send("hello", to="alice")
    assert created(tablet) == [
        (alice.queue, seq, by, direct("alice", other))
        for seq, by, other in [(1, "alice", "bob"), (2, "alice", "carol"), (3, "alice", "alice"), (4, "dave", "dave")]
    ]


def test_what_could_not_be_opened_is_opened_when_it_is_tried_again(chat: Chat, alice: Asker) -> None:
    bob = chat.connect("bob")
    chat.conversations.faults = [Unavailable()]
    with pytest.raises(Unavailable):
        alice.send("a", to="bob", client_id="1")
    assert (bob.got, chat.database.logs) == ([], {})
    alice.send("a", to="bob", client_id="1")
    assert bob.places == [(bob.queue, 1), (OURS, 1)]


@pytest.mark.parametrize("fault", [LOST, VANISHED])
def test_when_nobody_knows_whether_it_was_opened_both_are_told_to_read_their_queues(
    chat: Chat, alice: Asker, fault: str
) -> None:
    connected = [chat.connect("alice"), chat.connect("bob")]
    chat.conversations.faults = [fault]
    with pytest.raises(OutcomeUnknown):
        alice.send("a", to="bob", client_id="1")
    assert [connection.got for connection in connected] == [[], []]
    alice.send("a", to="bob", client_id="1")
    for connection in connected:
        assert stale(connection) == [connection.queue]
        assert [event.text for event in connection.of(MessageCreated)] == ["a"]
        assert missed(connection) == [(connection.queue, 1)]


def test_after_that_a_queue_is_live_again(chat: Chat, alice: Asker) -> None:
    bob = chat.connect("bob")
    chat.conversations.faults = [LOST]
    with pytest.raises(OutcomeUnknown):
        alice.send("a", to="bob", client_id="1")
    alice.send("a", to="bob", client_id="1")
    assert missed(bob) == [(bob.queue, 1)]
    chat.http("carol").send("b", to="bob")
    assert created(bob)[-1] == (bob.queue, 2, "carol", direct("bob", "carol"))
    assert stale(bob) == []


def test_a_queue_of_which_another_opening_told_first_is_not_told_of_twice(chat: Chat, alice: Asker) -> None:
    connected = [chat.connect("alice"), chat.connect("bob")]
    chat.conversations.faults = [LOST]
    with pytest.raises(OutcomeUnknown):
        alice.send("a", to="bob", client_id="1")
    alice.send("b", to="carol")
    alice.send("a", to="bob", client_id="1")
    for connection in connected:
        assert stale(connection) == [connection.queue]
    assert missed(connected[0]) == [(alice.queue, 1), (alice.queue, 2)]
    assert missed(connected[1]) == [(event_queue("bob"), 1)]


def test_where_there_is_no_queue_nobody_is_told(chat: Chat, alice: Asker) -> None:
    bob = chat.connect("bob")
    chat.conversations.faults = [VANISHED]
    with pytest.raises(OutcomeUnknown):
        alice.send("a", to="bob", client_id="1")
    at_once(chat.conversations.open(OURS, "direct", ["alice", "bob"], []))
    alice.send("a", to="bob", client_id="1")
    assert bob.places == [(OURS, 1)]
    assert stale(bob) == []


def test_a_queue_is_in_doubt_until_it_was_told_of_once(chat: Chat, alice: Asker) -> None:
    told: list[Publication] = []
    chat.bus.subscribe(told.extend, lambda *_: None, lambda *_: None)
    chat.conversations.faults = [VANISHED]
    with pytest.raises(OutcomeUnknown):
        alice.send("a", to="bob", client_id="1")
    for other in ("carol", "dave", "bob"):
        alice.send("b", to=other)
    doubtful = [(one.entry.conversation, one.entry.seq) for one in told if one.doubtful]
    assert doubtful == [(alice.queue, 1), (event_queue("bob"), 1)]


def test_a_message_into_a_conversation_that_is_there_tells_of_a_doubtful_queue_too(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    connected = chat.connect("alice")
    chat.conversations.faults = [LOST]
    with pytest.raises(OutcomeUnknown):
        alice.send("b", to="carol", client_id="1")
    for number in range(2):
        alice.send(str(number), to="bob")
    assert stale(connected) == [connected.queue]
    assert [event.text for event in connected.of(MessageCreated)] == ["0", "1"]

"""The list of conversations, one of them, and how far each person has been reached."""

import base64

import msgspec
import pytest

from chatd.errors import Invalid, NotFound
from chatd.handlers.conversations import ConversationInfo, ConversationPage, Member
from chatd.handlers.marks import ConversationDelivered
from chatd.state.ids import direct
from chatd.wire.commands import Done
from tests.kit.world import Asker, Chat, Connection, altered

OURS = direct("alice", "bob")


def names(page: ConversationPage) -> list[str]:
    """The other person of each."""
    return [next(iter({*listed.members} - {"alice"}), "alice") for listed in page.conversations]


def all_pages(asker: Asker, limit: int) -> list[str]:
    page = asker.ask("conversation.list", limit=limit)
    found = names(page)
    while page.next is not None:
        page = asker.ask("conversation.list", limit=limit, cursor=page.next)
        assert page.conversations, "a page that was promised holds something"
        found += names(page)
    return found


# -- the list --


def test_the_list_has_the_latest_first(alice: Asker) -> None:
    for other in ("bob", "carol", "alice", "bob"):
        last = alice.send("hello", to=other)
    page = alice.ask("conversation.list")
    assert names(page) == ["bob", "alice", "carol"]
    assert page.next is None
    first = page.conversations[0]
    assert (first.conversation, first.kind, first.members) == (OURS, "direct", ["alice", "bob"])
    assert (first.last_seq, first.last_at, first.delivered) == (2, last.time, 0)


def test_it_shows_what_anybody_said_and_how_far_it_reached_the_caller(alice: Asker, bob: Asker) -> None:
    bob.send("a", to="alice")
    bob.send("b", to="alice")
    alice.ask("ack", conversation=OURS, seq=1)
    assert [listed.delivered for listed in alice.ask("conversation.list").conversations] == [1]
    assert [listed.delivered for listed in bob.ask("conversation.list").conversations] == [0]


def test_it_holds_no_event_queue_and_nothing_of_others(alice: Asker, bob: Asker) -> None:
    bob.send("hello", to="carol")
    assert alice.ask("conversation.list").conversations == []
    assert len(bob.ask("conversation.list").conversations) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_its_pages_meet_without_a_gap_or_a_repeat(alice: Asker, limit: int) -> None:
    for number in range(7):
        alice.send("hello", to=f"friend{number}")
    assert all_pages(alice, limit) == [f"friend{number}" for number in reversed(range(7))]


def test_so_do_those_of_conversations_that_changed_at_the_same_time(chat: Chat, alice: Asker) -> None:
    for number in range(7):
        alice.send("hello", to=f"friend{number}")
    for log in chat.database.logs.values():
        log.last_at = log.created_at = chat.database.logs[alice.queue].created_at
    assert len(all_pages(alice, 2)) == len({*all_pages(alice, 2)}) == 7


def test_a_cursor_goes_on_where_its_page_ended_whatever_happened_since(alice: Asker) -> None:
    for number in range(6):
        alice.send("hello", to=f"friend{number}")
    page = alice.ask("conversation.list", limit=2)
    for other in ("friend0", "friend2", "friend5", "new"):
        alice.send("again", to=other)
    rest = alice.ask("conversation.list", limit=10, cursor=page.next)
    assert (names(page), names(rest)) == (["friend5", "friend4"], ["friend3", "friend1"])


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "A",
        "AAAA",
        "____",
        *(
            base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
            for text in (f"x.{OURS}", "5", "5.", "5.no-uuid", f"5.{OURS}x", f".{OURS}", f"{'9' * 40}.{OURS}")
        ),
    ],
)
def test_a_cursor_that_no_page_ended_with_is_invalid(alice: Asker, cursor: str) -> None:
    with pytest.raises(Invalid, match="`cursor`"):
        alice.ask("conversation.list", cursor=cursor)


# -- one of them --


def test_one_conversation_shows_its_members_and_how_far_each_has_been_reached(alice: Asker, bob: Asker) -> None:
    first, last = alice.send("a", to="bob"), alice.send("b", to="bob")
    bob.ask("ack", conversation=OURS, seq=1)
    bob.ask("read", conversation=OURS, seq=1)
    info = alice.ask("conversation.get", conversation=OURS)
    assert info.members == bob.ask("conversation.get", conversation=OURS).members
    assert info.created_at < first.time
    assert info == ConversationInfo(
        conversation=OURS,
        kind="direct",
        members=[Member(user="alice", delivered=0, read=0), Member(user="bob", delivered=1, read=1)],
        last_seq=2,
        created_at=info.created_at,
        last_at=last.time,
        delivered=0,
        read=0,
        unread=0,
        member_count=2,
        mentions=0,
        last_message=alice.ask("history.get", conversation=OURS).messages[-1],
    )


def test_the_event_queue_is_one_with_its_reader_alone(alice: Asker) -> None:
    alice.send("a", to="bob")
    info = alice.ask("conversation.get", conversation=alice.queue)
    assert (info.kind, info.members, info.last_seq) == ("queue", [Member(user="alice", delivered=0, read=0)], 1)


def test_one_that_is_gone_is_not_found_even_where_its_members_are_still_known(chat: Chat, alice: Asker) -> None:
    alice.send("a", to="bob")
    del chat.database.logs[OURS]
    with pytest.raises(NotFound):
        alice.ask("conversation.get", conversation=OURS)


# -- acknowledging --


@pytest.fixture
def three(alice: Asker) -> None:
    for text in "abc":
        alice.send(text, to="bob")


def seqs(asker: Asker) -> list[int]:
    """What of the conversation this device is still to get."""
    events = asker.ask("sync").events
    return [event.seq for event in events if event.conversation == OURS]


@pytest.mark.usefixtures("three")
def test_what_was_acknowledged_is_not_sent_again(bob: Asker) -> None:
    assert bob.ask("ack", conversation=OURS, seq=2, client_id="1") == Done()
    assert seqs(bob) == [3]


@pytest.mark.usefixtures("three")
def test_cursors_only_move_forward(chat: Chat, bob: Asker) -> None:
    for seq in (2, 1, 0, 2):
        bob.ask("ack", conversation=OURS, seq=seq)
    assert seqs(bob) == [3]


@pytest.mark.usefixtures("three")
def test_nobody_acknowledges_what_is_not_there_yet(bob: Asker) -> None:
    with pytest.raises(Invalid, match="beyond the end"):
        bob.ask("ack", conversation=OURS, seq=4)
    assert seqs(bob) == [1, 2, 3]


@pytest.mark.usefixtures("three")
def test_each_device_has_a_cursor_of_its_own(chat: Chat, bob: Asker) -> None:
    tablet = chat.http("bob", "tablet")
    bob.ask("ack", conversation=OURS, seq=3)
    tablet.ask("ack", conversation=OURS, seq=1)
    assert (seqs(bob), seqs(tablet), seqs(chat.http("bob", "new"))) == ([], [2, 3], [1, 2, 3])


@pytest.fixture
def connected(chat: Chat) -> list[Connection]:
    return [chat.connect(user) for user in ("alice", "bob", "carol")]


def delivered(connection: Connection) -> list[tuple[str, str, int]]:
    return [(event.conversation, event.user, event.seq) for event in connection.of(ConversationDelivered)]


@pytest.mark.usefixtures("three")
def test_the_members_are_told_when_a_person_has_been_reached_further(bob: Asker, connected: list[Connection]) -> None:
    bob.ask("ack", conversation=OURS, seq=2)
    told = [(OURS, "bob", 2)]
    assert [delivered(connection) for connection in connected] == [told, told, []]


@pytest.mark.usefixtures("three")
def test_they_are_not_told_when_another_device_comes_as_far(
    chat: Chat, bob: Asker, connected: list[Connection]
) -> None:
    for device, seq in (("phone", 2), ("tablet", 1), ("tablet", 2), ("phone", 1), ("tablet", 3)):
        chat.http("bob", device).ask("ack", conversation=OURS, seq=seq)
    assert [event[2] for event in delivered(connected[0])] == [2, 3]
    assert [member.delivered for member in bob.ask("conversation.get", conversation=OURS).members] == [0, 3]


def test_what_one_has_alone_concerns_nobody(chat: Chat, alice: Asker) -> None:
    note = alice.send("note", to="alice")
    tablet = chat.connect("alice", "tablet")
    alice.ask("ack", conversation=note.conversation, seq=1)
    alice.ask("ack", conversation=alice.queue, seq=1)
    assert delivered(tablet) == []


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("conversation.list", {"limit": 0}),
        ("conversation.list", {"limit": 501}),
        ("conversation.list", {"cursor": "!"}),
        ("conversation.get", {"conversation": OURS.upper()}),
        ("ack", {"conversation": OURS, "seq": -1}),
    ],
)
def test_what_no_field_allows_does_not_come_this_far(alice: Asker, name: str, fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        alice.ask(name, **fields)


# -- the latest message --


def latest(asker: Asker) -> object:
    """In the list, and the same in the conversation itself."""
    [listed] = asker.ask("conversation.list").conversations
    assert listed.last_message == asker.ask("conversation.get", conversation=OURS).last_message
    return listed.last_message


def test_the_list_shows_the_latest_message_as_history_does(alice: Asker, bob: Asker) -> None:
    alice.send("a", to="bob")
    bob.send("b", to="alice", reply_to=1)
    assert latest(alice) == bob.ask("history.get", conversation=OURS).messages[-1]
    bob.ask("message.edit", conversation=OURS, seq=2, text="B", client_id="e")
    assert latest(alice).text == "B"
    bob.ask("message.delete", conversation=OURS, seq=2, client_id="d")
    assert (latest(alice).seq, latest(alice).deleted, latest(alice).text) == (2, True, "")


def test_a_latest_message_that_cannot_be_opened_is_said_to_be_unreadable(chat: Chat, alice: Asker) -> None:
    for text in "ab":
        alice.send(text, to="bob")
    entries = chat.entries(OURS)
    entries[-1] = altered(entries[-1])
    assert (latest(alice).seq, latest(alice).unreadable, latest(alice).text) == (2, True, "")

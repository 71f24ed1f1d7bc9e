"""Read marks and what follows from them: who is told what, and what is unread."""

from collections.abc import Collection

import msgspec
import pytest
from msgspec.structs import replace
from zope.interface import implementer

from chatd.errors import Invalid, NotFound
from chatd.handlers.conversations import Member
from chatd.handlers.marks import ConversationDelivered, ConversationRead, Receipt, ReceiptPage
from chatd.interfaces.people import IRelations
from chatd.records.rosters import MEMBER, Membership, plain_roster
from chatd.state.ids import direct
from chatd.wire.commands import Done
from tests.kit.stores import new_id
from tests.kit.world import Asker, Chat, Connection

OURS = direct("alice", "bob")


@implementer(IRelations)
class Apart:
    """These people are apart from each other by a block."""

    def __init__(self, *people: str) -> None:
        self.people = frozenset(people)

    async def apart(self, user: str) -> frozenset[str]:
        return self.people - {user} if user in self.people else frozenset()

    async def check_contact(self, user: str, other: str) -> None:
        raise AssertionError("nobody opens anything here")


def connected(chat: Chat, *users: str) -> list[Connection]:
    return [chat.connect(user) for user in users]


def told(connection: Connection) -> list[tuple[str, str, int]]:
    """Whose marks it heard of."""
    events = connection.of(ConversationRead) + connection.of(ConversationDelivered)
    assert {event.conversation for event in events} <= {OURS}
    return [
        (type(event).__struct_config__.tag.removeprefix("conversation."), event.user, event.seq) for event in events
    ]


def group_of(chat: Chat, users: Collection[str]) -> str:
    """A group of these people, which nobody was told of."""
    group = new_id()
    chat.database.begin(plain_roster(group, "group", sorted(users)))
    return group


@pytest.fixture
def three(alice: Asker) -> None:
    for text in "abc":
        alice.send(text, to="bob")


# -- reading --


@pytest.mark.usefixtures("three")
def test_the_others_and_ones_own_devices_are_told_how_far_one_has_read(chat: Chat, bob: Asker) -> None:
    alice, tablet, carol = connected(chat, "alice", "bob", "carol")
    assert bob.ask("read", conversation=OURS, seq=2, client_id="1") == Done()
    assert [told(one) for one in (alice, tablet, carol)] == [[("read", "bob", 2)]] * 2 + [[]]


@pytest.mark.usefixtures("three")
def test_they_are_not_told_of_what_moves_nothing(chat: Chat, bob: Asker) -> None:
    [alice] = connected(chat, "alice")
    for seq in (2, 1, 0, 2, 3):
        bob.ask("read", conversation=OURS, seq=seq)
    assert told(alice) == [("read", "bob", 2), ("read", "bob", 3)]


@pytest.mark.usefixtures("three")
def test_both_see_how_far_the_other_was_reached_and_has_read(alice: Asker, bob: Asker) -> None:
    bob.ask("ack", conversation=OURS, seq=3)
    bob.ask("read", conversation=OURS, seq=2)
    for asker in (alice, bob):
        assert asker.ask("conversation.get", conversation=OURS).members == [
            Member(user="alice", delivered=0, read=0),
            Member(user="bob", delivered=3, read=2),
        ]


@pytest.mark.usefixtures("three")
def test_what_is_read_is_delivered_but_the_device_still_gets_what_it_has_not(chat: Chat, bob: Asker) -> None:
    bob.ask("read", conversation=OURS, seq=2)
    assert bob.ask("conversation.get", conversation=OURS).delivered == 2
    assert [event.seq for event in bob.ask("sync").events if event.conversation == OURS] == [1, 2, 3]


@pytest.mark.usefixtures("three")
def test_nobody_reads_what_is_not_there_yet(bob: Asker) -> None:
    with pytest.raises(Invalid, match="beyond the end"):
        bob.ask("read", conversation=OURS, seq=4)
    assert bob.ask("conversation.get", conversation=OURS).read == 0


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("command", ["read", "message.receipts", "conversation.get"])
def test_strangers_have_nothing_to_read(chat: Chat, command: str) -> None:
    fields = {} if command == "conversation.get" else {"seq": 1}
    for conversation in (OURS, new_id()):
        with pytest.raises(NotFound):
            chat.http("mallory").ask(command, conversation=conversation, **fields)


def test_ones_own_notes_and_queue_are_read_by_ones_own_devices_alone(chat: Chat, alice: Asker) -> None:
    note = alice.send("note", to="alice")
    [tablet] = connected(chat, "alice")
    for conversation in (note.conversation, alice.queue):
        alice.ask("read", conversation=conversation, seq=1)
    events = [ConversationRead(conversation=one, user="alice", seq=1) for one in (note.conversation, alice.queue)]
    assert tablet.of(ConversationRead) == events
    assert tablet.of(ConversationDelivered) == []


# -- privately --


@pytest.mark.usefixtures("three")
def test_what_is_read_privately_is_told_to_ones_own_devices_alone(chat: Chat, alice: Asker, bob: Asker) -> None:
    bob.ask("read", conversation=OURS, seq=1)
    hers, his = connected(chat, "alice", "bob")
    bob.ask("read", conversation=OURS, seq=3, private=True)
    assert (told(his), told(hers)) == ([("read", "bob", 3)], [("delivered", "bob", 3)])
    [_, member] = alice.ask("conversation.get", conversation=OURS).members
    assert member == Member(user="bob", delivered=3, read=1)
    his_own = bob.ask("conversation.get", conversation=OURS)
    assert (his_own.read, his_own.unread, his_own.members[1]) == (3, 0, member)


@pytest.mark.usefixtures("three")
def test_a_public_mark_behind_a_private_one_is_told_to_the_others(chat: Chat, bob: Asker) -> None:
    bob.ask("read", conversation=OURS, seq=3, private=True)
    hers, his = connected(chat, "alice", "bob")
    bob.ask("read", conversation=OURS, seq=2)
    assert (told(his), told(hers)) == ([], [("read", "bob", 2)])


@pytest.mark.usefixtures("three")
def test_by_setting_all_reading_of_a_conversation_is_private_until_it_is_shown(
    chat: Chat, alice: Asker, bob: Asker
) -> None:
    bob.ask("reading.hide", conversation=OURS, client_id="1")
    assert bob.ask("conversation.get", conversation=OURS).private_reading
    hers, his = connected(chat, "alice", "bob")
    bob.ask("read", conversation=OURS, seq=2)
    assert (told(his), told(hers)) == ([("read", "bob", 2)], [("delivered", "bob", 2)])
    bob.ask("reading.show", conversation=OURS, client_id="2")
    assert told(hers) == [("delivered", "bob", 2)]
    bob.ask("read", conversation=OURS, seq=2)
    assert told(hers)[:1] == [("read", "bob", 2)]


# -- across a block --


def test_across_a_block_nobody_hears_of_marks_nor_sees_them() -> None:
    chat = Chat(relations=Apart("alice", "bob"))
    group = group_of(chat, ("alice", "bob", "carol"))
    chat.http("alice").send("a", conversation=group)
    alice, carol = connected(chat, "alice", "carol")
    bob = chat.http("bob")
    bob.ask("ack", conversation=group, seq=1)
    bob.ask("read", conversation=group, seq=1)
    delivered = ConversationDelivered(conversation=group, user="bob", seq=1)
    assert (alice.got, carol.got) == ([], [delivered, ConversationRead(conversation=group, user="bob", seq=1)])
    members = alice.ask("conversation.get", conversation=group).members
    assert members == [Member(user="alice", delivered=0, read=0), Member(user="bob"), _unreached("carol")]
    receipts = alice.ask("message.receipts", conversation=group, seq=1)
    assert (receipts.recipients, receipts.read) == (2, 1)
    assert receipts.people == [Receipt(user="carol", delivered=False, read=False)]


def _unreached(user: str) -> Member:
    return Member(user=user, delivered=0, read=0)


# -- in groups --


@pytest.fixture
def large() -> Chat:
    """Where three are many."""
    return Chat(large_group=2)


def test_nobody_is_told_of_marks_in_a_large_group(large: Chat) -> None:
    group = group_of(large, ("alice", "bob", "carol"))
    large.http("alice").send("a", conversation=group)
    alice, bob = connected(large, "alice", "bob")
    asker = large.http("bob")
    asker.ask("ack", conversation=group, seq=1)
    assert (alice.got, bob.got) == ([], [])
    asker.ask("read", conversation=group, seq=1)
    assert (alice.got, bob.got) == ([], [ConversationRead(conversation=group, user="bob", seq=1)])
    assert asker.ask("conversation.get", conversation=group).members == []


def test_in_a_large_group_receipts_are_counts(large: Chat) -> None:
    group = group_of(large, ("alice", "bob", "carol"))
    large.http("alice").send("a", conversation=group)
    large.http("bob").ask("read", conversation=group, seq=1)
    found = large.http("carol").ask("message.receipts", conversation=group, seq=1)
    assert found == ReceiptPage(recipients=2, delivered=1, read=1, people=[], more=False)


def test_in_a_small_group_receipts_have_names_page_by_page(chat: Chat, alice: Asker) -> None:
    group = group_of(chat, ("alice", "bob", "carol", "dave"))
    alice.send("a", conversation=group)
    chat.http("bob").ask("read", conversation=group, seq=1)
    chat.http("dave").ask("ack", conversation=group, seq=1)
    first = alice.ask("message.receipts", conversation=group, seq=1, limit=2)
    assert (first.recipients, first.delivered, first.read, first.more) == (3, 2, 1, True)
    assert first.people == [
        Receipt(user="bob", delivered=True, read=True),
        Receipt(user="carol", delivered=False, read=False),
    ]
    second = alice.ask("message.receipts", conversation=group, seq=1, limit=2, after="carol")
    assert second.people == [Receipt(user="dave", delivered=True, read=False)]
    assert (second.recipients, second.more) == (3, False)


def test_a_message_was_not_for_those_who_joined_later(chat: Chat, alice: Asker) -> None:
    group = group_of(chat, ("alice", "bob"))
    alice.send("a", conversation=group)
    log = chat.database.logs[group]
    log.people["carol"] = Membership(since=1)
    log.marks["carol"] = 0
    log.roster = replace(log.roster, access=1, members={**log.roster.members, "carol": log.people["carol"]})
    found = alice.ask("message.receipts", conversation=group, seq=1)
    assert (found.recipients, [one.user for one in found.people]) == (1, ["bob"])


def test_nobody_hears_of_the_marks_of_who_has_left(chat: Chat, alice: Asker) -> None:
    group = group_of(chat, ("alice", "bob", "carol"))
    alice.send("a", conversation=group)
    log = chat.database.logs[group]
    log.people["carol"] = Membership(standing="left", until=1)
    log.roster = replace(log.roster, access=1, members={"alice": MEMBER, "bob": MEMBER})
    worker = Chat(chat.database)
    [bob] = connected(worker, "bob")
    assert worker.http("carol").ask("ack", conversation=group, seq=1) == Done()
    with pytest.raises(NotFound):
        worker.http("carol").ask("read", conversation=group, seq=1)
    assert bob.got == []


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("seq", [4, 99])
def test_there_are_no_receipts_of_what_is_no_message(bob: Asker, seq: int) -> None:
    bob.ask("message.pin", conversation=OURS, seq=1, client_id="1")
    with pytest.raises(NotFound):
        bob.ask("message.receipts", conversation=OURS, seq=seq)


# -- what is unread --


@pytest.mark.usefixtures("three")
def test_unread_messages_and_mentions_are_in_the_list_and_in_the_conversation(alice: Asker, bob: Asker) -> None:
    alice.send("hey", to="bob", mentions=["bob"])
    bob.send("yes?", to="alice", mentions=["alice"])
    bob.ask("read", conversation=OURS, seq=2)
    for asker, expected in ((bob, (2, 1)), (alice, (1, 1))):
        [listed] = asker.ask("conversation.list").conversations
        info = asker.ask("conversation.get", conversation=OURS)
        for shown in (listed, info):
            assert (shown.unread, shown.mentions, shown.unread_more, shown.mentions_more) == (*expected, False, False)
    assert msgspec.json.decode(msgspec.json.encode(listed)).keys() >= {"unread", "mentions", "read", "delivered"}


@pytest.mark.usefixtures("three")
def test_what_is_deleted_is_not_unread_and_an_edit_may_mention_anew(alice: Asker, bob: Asker) -> None:
    alice.ask("message.delete", conversation=OURS, seq=1, client_id="d")
    alice.ask("message.edit", conversation=OURS, seq=2, text="bob!", mentions=["bob"], client_id="e")
    [listed] = bob.ask("conversation.list").conversations
    assert (listed.unread, listed.mentions) == (2, 1)
    alice.ask("message.edit", conversation=OURS, seq=2, text="nobody", client_id="f")
    assert bob.ask("conversation.get", conversation=OURS).mentions == 0


def test_by_reading_nobody_finds_out_that_they_are_blocked(chat: Chat) -> None:
    """The direct conversation that the block stands in is, until somebody writes, as if it were not there."""
    alice, bob = chat.http("alice"), chat.http("bob")
    alice.ask("user.block", client_id="block", user="bob")
    for other in ("alice", "somebody"):
        with pytest.raises(NotFound):
            bob.ask("read", conversation=direct("bob", other), seq=0)

"""Typing: who is told, how often, and that it ends."""

import pytest

from chatd.errors import Forbidden, NotFound
from chatd.handlers.typing import TypingStarted, TypingStopped
from chatd.records.presence import TypingShown
from chatd.records.rosters import plain_roster
from chatd.settings.model import PresenceSettings
from chatd.state.ids import event_queue
from chatd.state.relations import RelationsChanged, Strangers
from tests.kit.stores import new_id
from tests.kit.world import Chat


class Blocks(Strangers):
    """People some of whom block each other."""

    def __init__(self):
        self.pairs = set()

    async def apart(self, user):
        return frozenset(other for pair in self.pairs if user in pair for other in pair - {user})


@pytest.fixture
def blocks():
    return Blocks()


@pytest.fixture
def chat(blocks):
    return Chat(relations=blocks, presence=PresenceSettings(typing_damped_above=4, typing_silent_above=6))


@pytest.fixture
def alice(chat):
    return chat.connect("alice")


@pytest.fixture
def bob(chat):
    return chat.connect("bob")


@pytest.fixture
def talk(alice, bob):
    """Their conversation, in which both have heard everything."""
    conversation = alice.send("hello", to="bob").conversation
    alice.got.clear()
    bob.got.clear()
    return conversation


def group(chat, *members):
    """A group of these."""
    roster = plain_roster(new_id(), "group", members)
    chat.database.begin(roster)
    return roster.conversation


def heard(connection):
    """Of whom one was told what, since one was asked last."""
    told = [
        (type(event).__struct_config__.tag.removeprefix("typing."), event.user)
        for event in connection.got
        if isinstance(event, TypingStarted | TypingStopped)
    ]
    connection.got.clear()
    return told


def test_the_other_members_are_told_and_nobody_else(chat, alice, bob, talk):
    carol, another = chat.connect("carol"), chat.connect("alice", "laptop")
    alice.ask("typing.start", conversation=talk)
    assert bob.got == [TypingStarted(conversation=talk, user="alice", expires_in_ms=6000)]
    alice.ask("typing.stop", conversation=talk)
    assert bob.got[1:] == [TypingStopped(conversation=talk, user="alice")]
    assert heard(alice) == heard(another) == heard(carol) == []
    assert not any("typing" in entry.kind for log in chat.database.logs.values() for entry in log.entries)


def test_whoever_goes_on_typing_is_told_of_every_few_seconds(chat, alice, bob, talk):
    for _ in range(20):
        alice.ask("typing.start", conversation=talk)
        chat.pass_time(0.5)
    assert heard(bob) == [("started", "alice")] * 4
    chat.pass_time(10)
    assert heard(bob) == [("stopped", "alice")]


def test_starting_and_stopping_again_and_again_is_told_no_oftener(chat, alice, bob, talk):
    for _ in range(5):
        alice.ask("typing.start", conversation=talk)
        alice.ask("typing.stop", conversation=talk)
    assert heard(bob) == [("started", "alice"), ("stopped", "alice")]
    chat.pass_time(3)
    alice.ask("typing.start", conversation=talk)
    assert heard(bob) == [("started", "alice")]


def test_it_ends_by_itself_and_only_once(chat, alice, bob, talk):
    alice.ask("typing.start", conversation=talk)
    chat.pass_time(5.5)
    assert heard(bob) == [("started", "alice")]
    chat.pass_time(1.5)
    assert heard(bob) == [("stopped", "alice")]
    alice.ask("typing.stop", conversation=talk)
    chat.pass_time(20)
    assert heard(bob) == []


def test_it_ends_with_the_connection_that_said_it(chat, alice, bob, talk):
    another = chat.connect("alice", "laptop")
    alice.ask("typing.start", conversation=talk)
    another.hang_up()
    assert heard(bob) == [("started", "alice")]
    alice.hang_up()
    assert heard(bob) == [("stopped", "alice")]


def test_a_message_ends_it_whichever_way_it_is_sent(chat, alice, bob, talk):
    alice.ask("typing.start", conversation=talk)
    bob.ask("typing.start", conversation=talk)
    bob.got.clear()
    chat.http("alice").send("there", conversation=talk)
    assert [type(event).__struct_config__.tag for event in bob.got] == ["message.created", "typing.stopped"]
    bob.got.clear()
    chat.pass_time(10)
    assert heard(bob) == []
    assert heard(alice)[-1] == ("stopped", "bob")


def test_another_kind_of_change_does_not_end_it(chat, alice, bob, talk):
    alice.ask("typing.start", conversation=talk)
    alice.ask("message.pin", client_id="p", conversation=talk, seq=1)
    assert heard(bob) == [("started", "alice")]


def test_it_works_over_http_too(chat, bob, talk):
    chat.http("alice").ask("typing.start", conversation=talk)
    chat.http("alice", "laptop").ask("typing.stop", conversation=talk)
    assert heard(bob) == [("started", "alice"), ("stopped", "alice")]


def test_strangers_are_told_that_there_is_nothing(chat, alice, talk):
    for name in ("typing.start", "typing.stop"):
        for conversation in (talk, new_id()):
            with pytest.raises(NotFound):
                chat.http("mallory").ask(name, conversation=conversation)


def test_nobody_types_in_an_event_queue(alice, talk):
    with pytest.raises(Forbidden, match="written by the server alone"):
        alice.ask("typing.start", conversation=event_queue("alice"))


def test_who_is_apart_is_not_told(chat, blocks, alice, bob, talk):
    carol, conversation = chat.connect("carol"), group(chat, "alice", "bob", "carol")
    blocks.pairs.add(frozenset({"alice", "bob"}))
    alice.ask("typing.start", conversation=talk)
    alice.ask("typing.start", conversation=conversation)
    assert (heard(bob), heard(carol)) == ([], [("started", "alice")])
    alice.ask("typing.stop", conversation=conversation)
    assert (heard(bob), heard(carol)) == ([], [("stopped", "alice")])


def test_a_block_while_somebody_types_lets_nothing_more_through(chat, alice, bob, talk):
    alice.ask("typing.start", conversation=talk)
    bob.got.clear()
    chat.bus.signal(RelationsChanged(users=("alice", "bob")))
    alice.ask("typing.stop", conversation=talk)
    assert heard(bob) == []


def test_in_a_large_group_a_few_at_a_time_are_shown(chat):
    people = [chat.connect(name) for name in "abcde"]
    conversation = group(chat, *"abcde")
    for person in people:
        person.ask("typing.start", conversation=conversation)
    assert heard(people[4]) == [("started", "a"), ("started", "b"), ("started", "c")]
    people[3].ask("typing.stop", conversation=conversation)
    assert heard(people[4]) == []
    people[0].ask("typing.stop", conversation=conversation)
    people[4].ask("typing.start", conversation=conversation)
    people[3].ask("typing.start", conversation=conversation)
    assert heard(people[1])[-2:] == [("stopped", "a"), ("started", "e")]


def test_in_a_large_group_those_count_whom_other_workers_show(chat, alice):
    bob, conversation = chat.connect("b"), group(chat, "alice", *"bcde")
    for user in "cde":
        chat.bus.signal(TypingShown(conversation=conversation, user=user))
    alice.ask("typing.start", conversation=conversation)
    assert heard(bob) == []
    chat.pass_time(7)
    alice.ask("typing.start", conversation=conversation)
    assert heard(bob) == [("started", "alice")]


def test_in_a_very_large_group_nobody_is_shown(chat, alice):
    conversation = group(chat, "alice", *"bcdefg")
    bob = chat.connect("b")
    alice.ask("typing.start", conversation=conversation)
    assert heard(bob) == []

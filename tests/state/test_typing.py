"""What is kept of people who type: as long as it matters, and no longer."""

from twisted.internet.task import Clock

from chatd.state.delivery import Delivery
from chatd.state.outbox import Outbox
from chatd.state.typing import COALESCED_SECONDS, EXPIRES_SECONDS, Typists
from tests.kit.delivery import Packets

EVERYBODY = frozenset({"bob", "carol"})


def connection():
    return Delivery(Outbox(lambda packet: None, lambda: None, event_bytes=100, total_bytes=100), Packets())


def typists():
    clock, stopped = Clock(), []
    return Typists(clock.seconds, lambda *told: stopped.append(told)), clock, stopped


def test_who_stopped_is_remembered_until_it_could_not_be_told_again():
    typing, clock, _ = typists()
    assert typing.start("here", "alice", None, EVERYBODY)
    typing.stop("here", "alice")
    assert not typing.is_due("here", "alice")
    clock.advance(COALESCED_SECONDS)
    assert typing.is_due("here", "alice")
    clock.advance(EXPIRES_SECONDS)
    typing.expire()
    assert not typing.anybody


def test_a_start_made_while_another_was_on_its_way_is_not_told():
    typing, _, _ = typists()
    assert typing.start("here", "alice", None, EVERYBODY)
    assert not typing.start("here", "alice", None, EVERYBODY)


def test_one_who_goes_on_on_another_connection_stops_with_that_one():
    typing, clock, stopped = typists()
    phone, laptop = connection(), connection()
    typing.start("here", "alice", phone, EVERYBODY)
    clock.advance(COALESCED_SECONDS)
    typing.start("here", "alice", laptop, EVERYBODY)
    typing.left(phone)
    clock.advance(EXPIRES_SECONDS - COALESCED_SECONDS)
    typing.expire()
    assert stopped == []
    typing.left(laptop)
    assert stopped == [("here", "alice", EVERYBODY)]


def test_the_end_is_told_in_every_conversation_of_a_connection():
    typing, _, stopped = typists()
    phone = connection()
    typing.start("here", "alice", phone, EVERYBODY)
    typing.start("there", "alice", phone, EVERYBODY)
    typing.left(phone)
    typing.left(phone)
    assert sorted(stopped) == [("here", "alice", EVERYBODY), ("there", "alice", EVERYBODY)]


def test_whoever_parts_from_a_typist_is_not_told_the_end():
    typing, _, stopped = typists()
    typing.start("here", "alice", None, EVERYBODY)
    typing.start("here", "dave", None, EVERYBODY)
    typing.part({"alice", "bob"})
    typing.stop("here", "alice")
    typing.stop("here", "dave")
    assert stopped == [("here", "alice", frozenset({"carol"})), ("here", "dave", EVERYBODY)]


def test_a_crowd_disperses():
    typing, clock, _ = typists()
    for user in "abc":
        typing.shown("here", user)
    assert typing.is_crowded("here", "d")
    assert not typing.is_crowded("here", "a")
    assert not typing.is_crowded("there", "d")
    clock.advance(EXPIRES_SECONDS)
    assert not typing.is_crowded("here", "d")
    typing.expire()
    assert not typing.is_crowded("here", "d")

"""Resuming, over HTTP and on a connection. What happens between the reads of a log is in ``test_sync_model``."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from chatd.errors import Invalid, Unavailable
from chatd.handlers import sync as sync_module
from chatd.handlers.messages import MessageCreated
from chatd.handlers.sync import Synced
from chatd.records.logs import Entry
from chatd.state import delivery as delivery_module
from chatd.state.ids import direct, event_queue
from chatd.wire.events import ConversationStale
from tests.kit.at_once import at_once
from tests.kit.delivery import PACKET_BYTES, Packet
from tests.kit.stores import new_id
from tests.kit.world import Asker, Chat, Connection

OURS = direct("alice", "bob")
THEIRS = direct("bob", "carol")
NOTHING = Synced(events=[], more=False, reset=[], epoch="an-epoch")


@pytest.fixture
def three(alice: Asker) -> None:
    for text in "abc":
        alice.send(text, to="bob")


def places(synced: Synced) -> list[tuple[str, int]]:
    return [(event.conversation, event.seq) for event in synced.events]


def all_of(bob: Asker) -> list[tuple[str, int]]:
    return [(bob.queue, 1), (OURS, 1), (OURS, 2), (OURS, 3)]


# -- over HTTP --


@pytest.mark.usefixtures("three")
def test_what_happened_waits_for_a_person_who_was_never_connected(bob: Asker) -> None:
    synced = bob.ask("sync")
    assert sorted(places(synced)) == sorted(all_of(bob))
    assert [event.text for event in synced.events if isinstance(event, MessageCreated)] == ["a", "b", "c"]
    assert (synced.more, synced.reset) == (False, [])


def test_where_nothing_happened_there_is_nothing(bob: Asker) -> None:
    assert bob.ask("sync") == NOTHING


@pytest.mark.usefixtures("three")
def test_cursors_go_before_what_was_acknowledged(bob: Asker) -> None:
    bob.ask("ack", conversation=OURS, seq=3)
    bob.ask("ack", conversation=bob.queue, seq=1)
    assert places(bob.ask("sync")) == []
    assert places(bob.ask("sync", cursors={OURS: 1})) == [(OURS, 2), (OURS, 3)]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_bring_everything_once_and_in_the_order_of_each_log(bob: Asker, alice: Asker, limit: int) -> None:
    alice.send("note", to="alice")
    bob.send("d", to="carol")
    cursors: dict[str, int] = {}
    got = []
    more = True
    while more:
        synced = bob.ask("sync", cursors=cursors, limit=limit)
        assert 0 < len(synced.events) <= limit
        assert len(synced.events) == limit or not synced.more
        got += places(synced)
        cursors |= dict(places(synced))
        more = synced.more
    assert sorted(got) == sorted([*all_of(bob), (bob.queue, 2), (THEIRS, 1)])
    assert all(got.index((name, seq)) < got.index((name, seq + 1)) for name, seq in got if (name, seq + 1) in got)


@pytest.mark.usefixtures("three")
def test_with_named_only_those_are_looked_at(bob: Asker) -> None:
    assert places(bob.ask("sync", scope="named", cursors={OURS: 2})) == [(OURS, 3)]
    assert places(bob.ask("sync", scope="named")) == []


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("scope", ["all", "named"])
def test_what_is_none_of_the_callers_is_reset_whether_it_is_there_or_not(chat: Chat, bob: Asker, scope: str) -> None:
    bob.send("d", to="carol")
    nobodys = new_id()
    cursors = {THEIRS: 0, event_queue("bob"): 1, nobodys: 5, OURS: 3}
    synced = chat.http("alice").ask("sync", scope=scope, cursors=cursors)
    assert synced.reset == [THEIRS, event_queue("bob"), nobodys]
    assert {event.conversation for event in synced.events} <= {event_queue("alice")}


@pytest.mark.usefixtures("three")
def test_a_cursor_beyond_the_end_is_reset(bob: Asker) -> None:
    synced = bob.ask("sync", scope="named", cursors={OURS: 4})
    assert (synced.reset, synced.events) == ([OURS], [])
    assert bob.ask("sync", cursors={OURS: 3}).reset == []


@pytest.mark.parametrize("seq", [0, 1])
def test_an_event_queue_that_has_not_begun_stands_at_its_start(bob: Asker, seq: int) -> None:
    assert bob.ask("sync", cursors={bob.queue: seq}).reset == [bob.queue] * seq


# -- on a connection --


@pytest.mark.usefixtures("three")
def test_on_a_connection_nothing_is_delivered_before_the_first_sync(chat: Chat, alice: Asker) -> None:
    bob = chat.connect("bob", synced=False)
    alice.send("d", to="bob")
    alice.ask("ack", conversation=OURS, seq=4)
    assert bob.got == []


@pytest.mark.usefixtures("three")
def test_what_was_missed_is_delivered_before_the_reply_and_then_what_happens(chat: Chat, alice: Asker) -> None:
    bob = chat.connect("bob", synced=False)
    assert bob.ask("sync", limit=1) == NOTHING
    assert sorted(bob.places) == sorted(all_of(bob))
    alice.send("d", to="bob")
    assert bob.places[-1] == (OURS, 4)


@pytest.mark.usefixtures("three")
def test_from_a_cursor_it_delivers_what_follows(chat: Chat) -> None:
    bob = chat.connect("bob", synced=False)
    synced = bob.ask("sync", cursors={OURS: 2, bob.queue: 1, THEIRS: 1})
    assert (bob.places, synced.reset) == ([(OURS, 3)], [THEIRS])


@pytest.mark.usefixtures("three")
def test_named_takes_a_sync_of_all_before_it(chat: Chat) -> None:
    bob = chat.connect("bob", synced=False)
    with pytest.raises(Invalid, match="of `all`"):
        bob.ask("sync", scope="named", cursors={OURS: 0})
    bob.ask("sync")
    bob.got.clear()
    bob.ask("sync", scope="named", cursors={OURS: 1})
    assert bob.places == [(OURS, 2), (OURS, 3)]


@pytest.mark.usefixtures("three")
def test_a_connection_that_has_gone_is_read_nothing_more(chat: Chat) -> None:
    bob = chat.connect("bob", synced=False)
    bob.outbox.pause()
    sync = bob.start("sync")
    bob.hang_up()
    assert sync.ended
    assert bob.got == []


class Sip(Connection):
    """Takes one packet, then pauses."""

    def _take(self, packet: Packet) -> None:
        super()._take(packet)
        self.outbox.pause()


@pytest.mark.usefixtures("three")
def test_what_was_missed_comes_as_fast_as_it_is_read(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "WRITE_EVENTS", 1)
    bob = Sip(chat, "bob", "phone")
    sync = bob.start("sync")
    for count in range(1, 5):
        assert (len(bob.got), sync.ended) == (count, count == 4)
        bob.outbox.resume()
    assert sorted(bob.places) == sorted(all_of(bob))


class Pages:
    """Pages of one event, each of which comes when a test says so. The first that ``who`` syncs has been asked for."""

    def __init__(self, chat: Chat, monkeypatch: pytest.MonkeyPatch, who: Asker) -> None:
        self.asked: list[Deferred[list[Entry]]] = []
        self._entries = chat.log.entries
        self._questions: list[tuple[Any, ...]] = []
        monkeypatch.setattr(sync_module, "READ_EVENTS", 1)
        monkeypatch.setattr(chat.log, "entries", self._ask)
        self.sync = who.start("sync")

    def _ask(self, *question: Any) -> Deferred[list[Entry]]:
        self.asked.append(Deferred())
        self._questions.append(question)
        return self.asked[-1]

    def come(self) -> None:
        """The one that was asked for last."""
        self.asked[-1].callback(at_once(self._entries(*self._questions[-1])))


@pytest.mark.usefixtures("three")
def test_while_a_page_is_delivered_the_next_is_read_and_no_more(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = Sip(chat, "bob", "phone")
    bob.outbox.pause()
    pages = Pages(chat, monkeypatch, bob)
    pages.come()
    assert (bob.got, len(pages.asked)) == ([], 2)
    pages.come()
    assert len(pages.asked) == 2, "two pages are held for a peer that does not read"
    while not pages.sync.ended:
        bob.outbox.resume()
        if not pages.asked[-1].called:
            pages.come()
    assert sorted(bob.places) == sorted(all_of(bob))


@pytest.mark.usefixtures("three")
def test_what_is_being_read_for_who_has_gone_is_waited_for_and_nothing_else(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = Sip(chat, "bob", "phone")
    bob.outbox.pause()
    pages = Pages(chat, monkeypatch, bob)
    pages.come()
    bob.hang_up()
    assert not pages.sync.ended
    pages.asked[-1].errback(Unavailable())
    assert (pages.sync.ended, pages.sync.error, len(pages.asked), bob.got) == (True, None, 2, [])


@pytest.mark.usefixtures("three")
def test_what_finds_no_room_while_the_log_is_read_is_read_too(
    chat: Chat, alice: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "HELD_EVENTS", 1)
    bob = Sip(chat, "bob", "phone")
    sync = bob.start("sync")
    for text in "def":
        alice.send(text, to="bob")
    while not sync.ended:
        bob.outbox.resume()
    assert sorted(bob.places) == sorted([*all_of(bob), (OURS, 4), (OURS, 5), (OURS, 6)])


@pytest.mark.parametrize(("events", "logs"), [(1, 200), (2, 200), (3, 2), (500, 1), (500, 3), (2, 1)])
@pytest.mark.parametrize("written", [1, 2, 32])
def test_however_many_reads_and_writes_it_takes_each_event_comes_once_and_in_order(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, events: int, logs: int, written: int
) -> None:
    monkeypatch.setattr(sync_module, "WRITE_EVENTS", written)
    monkeypatch.setattr(sync_module, "READ_EVENTS", events)
    monkeypatch.setattr(sync_module, "READ_LOGS", logs)
    for number in range(5):
        for text in "abc"[: number + 1]:
            chat.http(f"friend{number}").send(f"{text}{number}", to="bob", client_id=f"{text}{number}")
    bob = chat.connect("bob", synced=False)
    bob.ask("sync")
    expected = [(bob.queue, seq) for seq in range(1, 6)]
    for number in range(5):
        expected += [(direct("bob", f"friend{number}"), seq) for seq in range(1, min(number + 1, 3) + 1)]
    assert sorted(bob.places) == sorted(expected)
    assert all(bob.places.index((name, seq)) > bob.places.index((name, seq - 1)) for name, seq in expected if seq > 1)


@pytest.mark.usefixtures("three")
def test_a_reader_without_room_is_told_which_conversation_it_misses_and_gets_it_later(chat: Chat, alice: Asker) -> None:
    bob = Connection(chat, "bob", "phone", room=2 * PACKET_BYTES)
    bob.ask("sync")
    bob.got.clear()
    bob.outbox.pause()
    for text in "def":
        alice.send(text, to="bob")
    bob.outbox.resume()
    assert bob.places == [(OURS, 4), (OURS, 5)]
    assert [event.conversation for event in bob.of(ConversationStale)] == [OURS]
    bob.got.clear()
    bob.ask("sync", scope="named", cursors={OURS: 5})
    assert bob.places == [(OURS, 6)]


class Outage:
    """The database goes away in the middle of a sync."""

    def __init__(self, chat: Chat, monkeypatch: pytest.MonkeyPatch, question: str) -> None:
        async def fail(*args: object) -> None:
            raise Unavailable

        self.bob = chat.connect("bob", synced=False)
        with monkeypatch.context() as fault:
            fault.setattr(chat.log if question == "entries" else chat.conversations, question, fail)
            with pytest.raises(Unavailable):
                self.bob.ask("sync")


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("question", ["positions", "entries"])
def test_a_sync_that_failed_delivers_nothing_until_it_is_asked_again(
    chat: Chat, alice: Asker, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    bob = Outage(chat, monkeypatch, question).bob
    alice.send("d", to="bob")
    assert bob.places == []
    bob.ask("sync")
    assert sorted(bob.places) == sorted([*all_of(bob), (OURS, 4)])


@pytest.mark.usefixtures("three")
def test_one_that_failed_before_it_knew_what_to_read_did_not_take_place(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = Outage(chat, monkeypatch, "positions").bob
    assert bob.got == []
    with pytest.raises(Invalid, match="of `all`"):
        bob.ask("sync", scope="named", cursors={OURS: 0})


@pytest.mark.usefixtures("three")
def test_one_that_failed_while_it_read_tells_which_conversations_it_was_about(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = Outage(chat, monkeypatch, "entries").bob
    assert sorted(event.conversation for event in bob.of(ConversationStale)) == sorted([bob.queue, OURS])
    bob.ask("sync", scope="named", cursors={OURS: 0})
    assert bob.places == [(OURS, 1), (OURS, 2), (OURS, 3)]

"""Two complete workers on one database, and what becomes of chat when the bus between them does as it pleases."""

from collections.abc import Callable

import msgspec
import pytest

from chatd.bus import remote as remote_module
from chatd.bus.packets import Packets, committed
from chatd.bus.remote import LOOK_SECONDS, PULSE_SECONDS, SILENT_SECONDS, RemoteBus
from chatd.errors import Unavailable
from chatd.handlers.marks import ConversationDelivered
from chatd.handlers.messages import MessageCreated
from chatd.handlers.opening import ConversationCreated
from chatd.handlers.revisions import MessageEdited
from chatd.records.bus import News
from chatd.records.logs import Position, Publication
from chatd.records.rosters import plain_roster
from chatd.security.sealing import AuthorKey
from chatd.state.authors import SERVER
from chatd.state.shared import SHORT_LOG, SharedHub
from chatd.store.failures import SessionError
from chatd.wire.events import ConversationStale
from tests.kit.at_once import at_once
from tests.kit.groups import act, found
from tests.kit.line import Line, Ring
from tests.kit.world import Chat, Connection, altered

MOMENT = 1.5


class Two:
    """Alice is connected to ``here``, bob to ``there``."""

    def __init__(self) -> None:
        self.line = Line()
        self.here = Chat(line=self.line)
        self.there = Chat(self.here.database, line=self.line)
        self.line.link_all()
        self.alice = self.here.connect("alice")
        self.bob = self.there.connect("bob")

    def begun(self) -> str:
        """A conversation in which both have said something, and which both have been told of."""
        conversation = str(self.alice.send("1", to="bob").conversation)
        self.bob.send("2", to="alice")
        self.settle()
        for connection in (self.alice, self.bob):
            assert texts(connection) == ["1", "2"]
            connection.got.clear()
        return conversation

    def settle(self) -> None:
        self.line.pass_time(MOMENT)

    def bus(self, chat: Chat) -> RemoteBus:
        assert isinstance(chat.bus, RemoteBus)
        return chat.bus

    def hub(self, chat: Chat) -> SharedHub:
        assert isinstance(chat.hub, SharedHub)
        return chat.hub


def texts(connection: Connection) -> list[str]:
    return [event.text for event in connection.of(MessageCreated)]


@pytest.fixture
def two():
    two = Two()
    yield two
    assert two.here.failed == two.there.failed == []
    assert two.here.unreadable == two.there.unreadable == []


def test_whatever_is_done_on_one_worker_is_heard_on_the_other(two: Two) -> None:
    sent = two.alice.send("hello", to="bob")
    two.settle()
    assert [event.created for event in two.bob.of(ConversationCreated)] == [sent.conversation]
    assert texts(two.bob) == ["hello"]
    two.alice.ask("message.edit", client_id="e", conversation=sent.conversation, seq=1, text="hello!")
    assert [event.text for event in two.bob.of(MessageEdited)] == ["hello!"]
    two.bob.ask("ack", conversation=sent.conversation, seq=1)
    assert [event.user for event in two.alice.of(ConversationDelivered)] == ["bob"]


def test_what_is_known_already_arrives_without_a_look_at_the_log(two: Two) -> None:
    conversation = two.begun()
    two.alice.send("3", conversation=conversation)
    assert texts(two.bob) == ["3"], "before any time has passed"


def test_nothing_crosses_in_plain_text(two: Two) -> None:
    two.alice.send("hello", to="bob", metadata={"k": "secret"})
    crossed = b"".join(two.line.heard_in)
    assert two.here.entries(two.alice.queue)[0].sealed in crossed
    assert b"hello" not in crossed
    assert b"secret" not in crossed


def test_what_overtakes_another_on_its_way_is_heard_after_it(two: Two) -> None:
    conversation = two.begun()
    two.line.holding = True
    for n in range(3, 6):
        two.alice.send(str(n), conversation=conversation)
    two.line.let_go(backwards=True)
    assert texts(two.bob) == ["3", "4", "5"]


def test_what_is_said_here_waits_for_what_was_said_there_before_it(two: Two) -> None:
    conversation = two.begun()
    two.line.holding = True
    two.alice.send("3", conversation=conversation)
    two.bob.send("4", conversation=conversation)
    assert texts(two.bob) == []
    two.line.let_go()
    assert texts(two.bob) == texts(two.alice) == ["3", "4"]
    two.settle()
    assert texts(two.bob) == texts(two.alice) == ["3", "4"]


def test_what_is_lost_is_read_from_the_log_as_soon_as_something_follows(two: Two) -> None:
    conversation = two.begun()
    two.line.lossy = True
    two.alice.send("3", conversation=conversation)
    two.line.lossy = False
    two.alice.send("4", conversation=conversation)
    two.settle()
    assert texts(two.bob) == ["3", "4"]
    assert two.bob.of(ConversationStale) == []


def test_what_the_bus_repeats_is_heard_once(two: Two) -> None:
    conversation = two.begun()
    two.alice.send("3", conversation=conversation)
    for packet in [*two.line.heard_in]:
        two.bus(two.there).hear(packet)
    two.settle()
    assert texts(two.bob) == ["3"]


def test_a_message_too_large_for_the_bus_is_read_from_the_log() -> None:
    line = Line()
    here = Chat(line=line, max_text_chars=10_000)
    there = Chat(here.database, line=line)
    line.link_all()
    alice, bob = here.connect("alice"), there.connect("bob")
    alice.send("x" * 5000, to="bob")
    line.pass_time(MOMENT)
    assert [len(text) for text in texts(bob)] == [5000]


def test_while_the_bus_is_away_everybody_goes_on_and_what_was_missed_is_found_when_it_is_back(two: Two) -> None:
    conversation = two.begun()
    for bus in two.line.buses:
        bus.unlink()
    two.alice.send("3", conversation=conversation)
    two.bob.send("4", conversation=conversation)
    two.settle()
    assert (texts(two.alice), texts(two.bob)) == (["3"], ["3", "4"]), "what bob says here brings what was before it"
    two.line.link_all()
    two.settle()
    assert texts(two.alice) == texts(two.bob) == ["3", "4"]


def test_while_the_bus_is_away_what_others_say_is_found_every_few_seconds(two: Two) -> None:
    conversation = two.begun()
    for bus in two.line.buses:
        bus.unlink()
    for n in range(3, 6):
        two.alice.send(str(n), conversation=conversation)
        two.line.clock.advance(PULSE_SECONDS)
        two.bus(two.there).pulse()
        two.settle()
        assert texts(two.bob)[-1] == str(n)
    assert two.bob.of(ConversationStale) == []


def test_what_one_says_whom_the_bus_alone_has_lost_is_found_by_those_who_have_it(two: Two) -> None:
    """Hers is away, his is there and hears nothing of her."""
    conversation = two.begun()
    two.bus(two.here).pulse()
    two.bus(two.here).unlink()
    two.line.clock.advance(SILENT_SECONDS + 1)
    for n in range(3, 6):
        two.alice.send(str(n), conversation=conversation)
        two.bus(two.there).pulse()
        two.settle()
        assert texts(two.bob)[-1] == str(n)
        two.line.clock.advance(PULSE_SECONDS)
    assert two.bob.of(ConversationStale) == []


def test_a_conversation_that_began_while_the_bus_was_away_is_found_when_it_is_back(two: Two) -> None:
    two.begun()
    for bus in two.line.buses:
        bus.unlink()
    carol = two.there.connect("carol")
    carol.send("psst", to="alice")
    assert texts(two.alice) == []
    two.line.link_all()
    two.settle()
    two.settle()
    assert texts(two.alice) == ["psst"]
    assert two.alice.of(ConversationStale) == []


def test_a_conversation_of_which_nothing_was_heard_is_read_from_its_start_for_all_of_its_people(two: Two) -> None:
    dora = two.there.connect("dora")
    two.line.lossy = True
    group = found(two.alice, "bob", "dora")
    two.alice.send("hello", conversation=group)
    two.line.lossy = False
    two.bus(two.there).look_back()
    two.settle()
    for connection in (two.bob, dora):
        assert texts(connection) == ["hello"]
        assert connection.of(ConversationStale) == []


def test_one_that_has_grown_long_by_then_is_told_to_be_stale(two: Two) -> None:
    two.line.lossy = True
    for n in range(SHORT_LOG + 1):
        conversation = two.alice.send(f"{n}", to="bob").conversation
    two.line.lossy = False
    two.bus(two.there).look_back()
    two.settle()
    assert {event.conversation for event in two.bob.of(ConversationStale)} == {conversation}
    two.bob.ask("sync", cursors={}, scope="all")
    assert texts(two.bob) == [str(n) for n in range(SHORT_LOG + 1)]


def test_what_a_dead_worker_told_nobody_is_found_when_it_is_missed(two: Two) -> None:
    conversation = two.begun()
    two.bus(two.here).pulse()
    two.line.lossy = True
    two.alice.send("3", conversation=conversation)
    two.line.lossy = False
    two.line.pass_time(1.0)
    for _ in range(round(SILENT_SECONDS / PULSE_SECONDS) + 1):
        two.line.clock.advance(PULSE_SECONDS)
        two.bus(two.there).pulse()
        two.line.pass_time(0.2)
    assert texts(two.bob) == ["3"]
    assert two.bus(two.there).peers == 0


def test_whatever_was_told_to_nobody_is_found_some_time(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "SILENT_SECONDS", 10 * LOOK_SECONDS)
    conversation = two.begun()
    two.line.lossy = True
    two.alice.send("3", conversation=conversation)
    two.line.lossy = False
    two.line.clock.advance(LOOK_SECONDS + 1)
    two.bus(two.there).pulse()
    two.settle()
    assert texts(two.bob) == ["3"]


def test_a_worker_that_takes_its_leave_is_not_missed(two: Two) -> None:
    two.bus(two.here).pulse()
    assert two.bus(two.there).peers == 1
    at_once(two.bus(two.here).leave())
    assert two.bus(two.there).peers == 0
    assert not two.bus(two.here).linked
    at_once(two.bus(two.here).leave())


def test_a_defect_of_what_carries_is_told_and_what_was_to_be_said_is_said_later(two: Two) -> None:
    conversation = two.begun()
    two.line.refusing = ZeroDivisionError("a defect")
    two.alice.send("3", conversation=conversation)
    [(_, error)] = two.here.failed
    assert isinstance(error, ZeroDivisionError)
    two.here.failed.clear()
    two.line.refusing = None
    two.alice.send("4", conversation=conversation)
    assert texts(two.bob) == ["3", "4"]


def test_what_did_not_get_through_for_sure_is_said_again(two: Two) -> None:
    conversation = two.begun()
    two.line.refusing = SessionError("gone")
    two.alice.send("3", conversation=conversation)
    two.alice.send("4", conversation=conversation)
    two.line.refusing = None
    two.line.link(two.bus(two.here))
    assert texts(two.bob) == ["3", "4"]


def test_where_too_much_waits_for_the_bus_all_workers_look_at_the_log(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = two.begun()
    monkeypatch.setattr(remote_module, "MAX_WAITING_BYTES", 400)
    two.bus(two.here).unlink()
    for n in range(3, 9):
        two.alice.send(str(n), conversation=conversation)
    assert two.bus(two.here).dropped > 0
    two.line.lossy = True
    two.line.link(two.bus(two.here))
    two.line.lossy = False
    assert texts(two.bob) == []
    for packet in two.line.heard_in[-2:]:
        two.bus(two.there).hear(packet)
    two.settle()
    assert texts(two.bob) == [str(n) for n in range(3, 9)]


def test_a_worker_looks_at_the_log_when_another_says_that_it_could_not_tell_all(two: Two) -> None:
    conversation = two.begun()
    two.line.lossy = True
    two.alice.send("3", conversation=conversation)
    two.bus(two.there).hear(forged(own_key(two), [6, 10.0]))
    two.settle()
    assert texts(two.bob) == ["3"]


def test_whoever_is_in_many_conversations_with_nobody_here_costs_nothing(two: Two) -> None:
    carol, dora = two.here.connect("carol"), two.here.http("dora")
    dora.send("1", to="carol")
    two.settle()
    assert texts(carol) == ["1"]
    assert len(two.hub(two.there).interest) == 0


@pytest.mark.parametrize("size", [10, 1000])
def test_a_message_costs_the_bus_the_same_however_many_are_in_the_group(size: int, two: Two) -> None:
    group = found(two.alice, "bob")
    for first in range(0, size, 100):
        people = [f"member-{n}" for n in range(first, min(first + 100, size))]
        act(two.alice, "member.add", group, users=people)
    two.settle()
    sent, crossed = two.bus(two.here).sent, len(two.line.heard_in)
    two.alice.send("hello", conversation=group)
    two.settle()
    assert texts(two.bob) == ["hello"]
    assert two.bus(two.here).sent - sent == 1
    [packet] = two.line.heard_in[crossed:]
    assert len(packet) < 1000


# -- what passes --


def test_signals_reach_all_workers_each_once(two: Two) -> None:
    heard: list[tuple[str, Ring]] = []
    two.here.exchange.listen(Ring, lambda ring: heard.append(("here", ring)))
    two.there.exchange.listen(Ring, lambda ring: heard.append(("there", ring)))
    two.here.bus.signal(Ring(what="door"))
    assert sorted(heard) == [("here", Ring(what="door")), ("there", Ring(what="door"))]


def test_signals_are_kept_for_a_bus_that_is_away_and_notices_are_not(two: Two) -> None:
    conversation, heard = two.begun(), []
    two.there.exchange.listen(Ring, heard.append)
    two.bus(two.here).unlink()
    two.here.bus.signal(Ring(what="door"))
    two.here.bus.notify(["bob"], delivered(conversation))
    two.line.link(two.bus(two.here))
    assert heard == [Ring(what="door")]
    assert two.bob.of(ConversationDelivered) == []


def delivered(conversation: str) -> ConversationDelivered:
    return ConversationDelivered(conversation=conversation, user="alice", seq=1)


def test_a_notice_reaches_people_however_many(two: Two) -> None:
    conversation = two.begun()
    two.here.bus.notify([*(f"somebody-{n}" for n in range(150)), "bob"], delivered(conversation))
    assert len(two.bob.of(ConversationDelivered)) == 1


def test_a_notice_for_all_members_names_none_of_them(two: Two) -> None:
    conversation = two.begun()
    many = ["alice", "bob", *(f"somebody-{n}" for n in range(50))]
    roster = msgspec.structs.replace(plain_roster(conversation, "group", many), access=3)
    two.here.directory.learn(roster)
    two.there.database.logs[conversation].roster = roster
    two.here.bus.notify(roster.members, delivered(conversation))
    assert len(two.bob.of(ConversationDelivered)) == 1
    assert not any(b"somebody" in packet for packet in two.line.heard_in)
    two.here.bus.notify(roster.members, delivered(conversation))
    assert len(two.bob.of(ConversationDelivered)) == 2


def test_a_notice_whose_members_cannot_be_looked_up_is_dropped(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = two.begun()
    many = [f"somebody-{n}" for n in range(50)]
    two.here.directory.learn(msgspec.structs.replace(plain_roster(conversation, "group", many), access=3))
    del two.there.database.logs[conversation]
    roster = two.here.directory.known(conversation)
    assert roster is not None
    two.here.bus.notify(roster.members, delivered(conversation))
    monkeypatch.setattr(remote_module, "LOADING_ROSTERS", 0)
    two.here.bus.notify(roster.members, delivered(conversation))
    assert two.bob.of(ConversationDelivered) == []


# -- what nobody of ours said --


def forged(key: AuthorKey, message: object, sender: bytes = b"z" * 16) -> bytes:
    return Packets(sender, key, max_bytes=10**6).wrap([msgspec.msgpack.encode(message)])


def own_key(two: Two) -> AuthorKey:
    return at_once(two.here.authors.writing(SERVER))


@pytest.mark.parametrize("packet", [b"", b"x", b"x" * 32, b"x" * 500, b"x" * 100_000])
def test_what_is_no_packet_is_dropped_and_counted(two: Two, packet: bytes) -> None:
    bus = two.bus(two.there)
    before = bus.received
    bus.hear(packet)
    assert (bus.refused, bus.received) == (1, before)


def test_what_was_made_with_another_key_is_dropped_and_counted(two: Two) -> None:
    conversation = two.begun()
    bus = two.bus(two.there)
    entry = msgspec.structs.replace(two.here.entries(conversation)[-1], seq=3, kind="message.created")
    real = next(committed(Publication(entry=entry, audience=("alice", "bob"), content=msgspec.Struct()), 10_000))
    bus.hear(Packets(b"z" * 16, AuthorKey("", b"x" * 32), max_bytes=10**6).wrap([real]))
    assert bus.refused == 1
    assert two.bob.got == []


def test_whatever_was_altered_on_its_way_is_dropped(two: Two) -> None:
    conversation = two.begun()
    two.line.holding = True
    two.alice.send("3", conversation=conversation)
    [(_, packet)] = two.line.held
    bus = two.bus(two.there)
    for at in range(0, len(packet), 7):
        bus.hear(packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :])
    assert bus.refused == len(range(0, len(packet), 7))
    assert two.bob.got == []
    two.line.let_go()
    assert texts(two.bob) == ["3"]


@pytest.mark.parametrize(
    "message",
    [
        "no array",
        [99, 1],
        [1, "not-a-uuid", 1, 0, None, [], [], None],
        [1, "6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b", -1, 0, None, [], [], None],
        [1, "6b4d2f0e-8f5b-8c1d-9a53-0a8f5a3f1c2b", 1, 0, ["x"] * 65, [], [], None],
        [2, ["bob"], None, 0],
        [6, -1.0],
    ],
)
def test_what_has_the_wrong_shape_is_dropped_whoever_said_it(two: Two, message: object) -> None:
    bus = two.bus(two.there)
    bus.hear(forged(own_key(two), message))
    assert bus.refused == 1


def test_notices_and_signals_that_are_not_known_here_are_dropped_and_the_rest_is_heard(two: Two) -> None:
    bus, heard = two.bus(two.there), []
    two.there.exchange.listen(Ring, heard.append)
    for event in ({"type": "newer"}, {"type": "ring", "what": 5}, {"no": "type"}, 7):
        bus.hear(forged(own_key(two), [2, ["bob"], None, 0, event]))
        bus.hear(forged(own_key(two), [3, event]))
    bus.hear(forged(own_key(two), [3, {"type": "ring", "what": "door"}]))
    assert heard == [Ring(what="door")]
    assert two.bob.got == []


def test_content_that_does_not_open_is_no_more_than_a_hint(two: Two) -> None:
    """Whether something is unreadable only the log can say."""
    conversation = two.begun()
    two.line.lossy = True
    two.alice.send("3", conversation=conversation)
    entry = altered(two.here.entries(conversation)[-1])
    two.hub(two.there).hear(News(conversation=conversation, seq=entry.seq, entry=entry, audience=("alice", "bob")))
    assert texts(two.bob) == []
    two.settle()
    assert texts(two.bob) == ["3"]


@pytest.mark.parametrize("writers", [1, 30])
def test_however_many_write_for_the_first_time_what_they_say_is_looked_up_together(writers: int, two: Two) -> None:
    """Their keys are not known on the other worker, nor who is in the conversations that they begin."""
    asked: list[str] = []

    def counting(name: str, ask: Callable[..., object]) -> Callable[..., object]:
        def asking(*args: object) -> object:
            asked.append(name)
            return ask(*args)

        return asking

    stores = two.there.stores
    for store, names in (
        (stores.keys, ("keys",)),
        (stores.conversations, ("roster", "rosters")),
        (two.there.log, ("tails",)),
    ):
        for name in names:
            setattr(store, name, counting(name, getattr(store, name)))
    for n in range(writers):
        two.here.connect(f"writer-{n}").send(f"{n}", to="bob")
    two.settle()
    assert sorted(texts(two.bob)) == sorted(map(str, range(writers)))
    assert asked == ["tails", "keys", "rosters"]


def test_a_hint_of_what_does_not_exist_is_looked_up_and_forgotten(two: Two) -> None:
    conversation = two.begun()
    two.hub(two.there).hear(News(conversation=conversation, seq=50, audience=("alice", "bob")))
    two.settle()
    assert two.bob.got == []
    assert two.hub(two.there).gaps(10) == []
    two.alice.send("3", conversation=conversation)
    assert texts(two.bob) == ["3"]


def test_the_database_may_be_away_while_something_is_missing(two: Two) -> None:
    conversation = two.begun()
    tails, failing = two.there.log.tails, [Unavailable(), Unavailable()]

    async def away(*args: object) -> object:
        if failing:
            raise failing.pop()
        return await tails(*args)

    two.there.log.tails = away
    two.hub(two.there).hear(News(conversation=conversation, seq=3, audience=("alice", "bob")))
    two.line.lossy = True
    two.alice.send("3", conversation=conversation)
    two.line.pass_time(4.0)
    assert texts(two.bob) == ["3"]


def test_where_the_log_cannot_be_read_for_all_each_is_told_to_read_it(two: Two) -> None:
    conversation = two.begun()

    async def broken(*args: object) -> object:
        raise ZeroDivisionError("a defect")

    two.there.log.tails = broken
    two.line.lossy = True
    two.alice.send("3", conversation=conversation)
    two.hub(two.there).hear(News(conversation=conversation, seq=3, audience=("alice", "bob")))
    two.settle()
    assert [event.conversation for event in two.bob.of(ConversationStale)] == [conversation]
    [(_, error)] = two.there.failed
    assert isinstance(error, ZeroDivisionError)
    two.there.failed.clear()
    two.bob.ask("sync", cursors={conversation: 2}, scope="named")
    assert texts(two.bob) == ["3"]


# -- while somebody connects --


def during_positions(chat: Chat, happens: Callable[[], object]) -> None:
    """Let this happen after the next positions have been read, and before they are told."""
    positions = chat.conversations.positions

    async def overtaken(user: str, device: str) -> list[Position]:
        found = await positions(user, device)
        chat.conversations.positions = positions
        happens()
        return found

    chat.conversations.positions = overtaken


def test_what_is_said_while_somebody_connects_is_not_missed(two: Two) -> None:
    """It is heard before her positions are known, where nobody follows the conversation."""
    conversation = two.begun()
    two.bob.hang_up()
    tablet = Connection(two.there, "alice", "tablet")
    during_positions(two.there, lambda: two.alice.send("3", conversation=conversation))
    tablet.ask("sync", cursors={conversation: 2, tablet.queue: 1})
    two.settle()
    assert texts(tablet) == ["3"]


def test_what_was_heard_by_way_of_somebody_who_then_leaves_is_not_heard_again(two: Two) -> None:
    conversation = two.begun()
    tablet = Connection(two.there, "alice", "tablet")

    def happens() -> None:
        two.alice.send("3", conversation=conversation)
        two.bob.hang_up()

    during_positions(two.there, happens)
    tablet.ask("sync", cursors={conversation: 2, tablet.queue: 1})
    two.alice.send("4", conversation=conversation)
    two.settle()
    assert texts(tablet) == ["3", "4"]


def test_of_two_devices_that_connect_at_once_neither_takes_the_others_position_for_its_own(two: Two) -> None:
    conversation = two.begun()
    two.bob.hang_up()
    slow, fast = Connection(two.there, "bob", "slow"), Connection(two.there, "bob", "fast")
    cursors = {conversation: 2, slow.queue: 1}

    def happens() -> None:
        two.line.lossy = True
        two.alice.send("3", conversation=conversation)
        two.line.lossy = False
        fast.ask("sync", cursors=cursors)

    during_positions(two.there, happens)
    slow.ask("sync", cursors=cursors)
    two.alice.send("4", conversation=conversation)
    two.settle()
    assert texts(slow) == texts(fast) == ["3", "4"]

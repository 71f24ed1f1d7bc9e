"""One connection's events: what it is sent, what it is spared, and what it is told when something is left out."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from chatd.records.logs import Cursor
from chatd.state import delivery as delivery_module
from chatd.state.delivery import Delivery, Phase, Start
from chatd.state.outbox import Outbox
from chatd.wire.events import ConversationStale, EphemeralEvent, Event, LogEvent, Outgoing
from tests.kit.delivery import PACKET_BYTES, Packet, Packets

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Happened(LogEvent, frozen=True, kw_only=True, tag="happened"):
    """A change of a log."""


class Uneven(Packets):
    """A form in which one event is larger than the rest."""

    def __init__(self, large: str) -> None:
        super().__init__()
        self._large = large

    def encode(self, *events: Event) -> Packet:
        packet = super().encode(*events)
        for event in events:
            if isinstance(event, LogEvent) and f"{event.conversation}{event.seq}" == self._large:
                packet.size += 9 * PACKET_BYTES
        return packet


class Connection:
    """A delivery and what came of it; the event at ``large`` takes ten times the room of any other."""

    def __init__(self, *, room: int = 100, total_room: int = 100, large: str = "") -> None:
        self._packets: list[Packet] = []
        self.outbox: Outbox[Packet] = Outbox(
            self._packets.append,
            lambda: self.delivery.end(),
            event_bytes=room * PACKET_BYTES,
            total_bytes=total_room * PACKET_BYTES,
        )
        self.delivery: Delivery[Packet] = Delivery(self.outbox, Uneven(large))

    def offer(self, *places: str) -> None:
        for place in places:
            self.delivery.offer(Outgoing(event(place)))

    def read(self, *places: str) -> list[bool]:
        """One by one."""
        return [self.delivery.read(event(place)) for place in places]

    def read_run(self, *places: str) -> bool:
        return self.delivery.read(*map(event, places))

    def sync(self, *starts: Start) -> list[str]:
        self.delivery.gather()
        return places(self.delivery.settle(starts))

    def taken(self) -> list[str]:
        """What was sent since this was last asked: ``c3`` for an event, ``c!`` where its conversation is stale."""
        taken = [
            f"{message.conversation}!"
            if isinstance(message, ConversationStale)
            else f"{message.conversation}{message.seq}"
            if isinstance(message, LogEvent)
            else "passing"
            for message in (message for packet in self._packets for message in packet.messages)
        ]
        self._packets.clear()
        return taken


def event(place: str) -> Happened:
    """``c3``: the third of conversation ``c``."""
    return Happened(conversation=place[0], seq=int(place[1:]), time=NOON)


def cursor(place: str) -> Cursor:
    return Cursor(conversation=place[0], seq=int(place[1:]))


def places(cursors: list[Cursor]) -> list[str]:
    return [f"{one.conversation}{one.seq}" for one in cursors]


def start(place: str, last_seq: int | None = None, *, recent: bool = False) -> Start:
    """A conversation that this connection has up to ``place``; its log ends there too, or at ``last_seq``."""
    seq = int(place[1:])
    return Start(conversation=place[0], seq=seq, last_seq=seq if last_seq is None else last_seq, recent=recent)


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_nothing_comes_before_the_first_sync(connection: Connection) -> None:
    connection.offer("a1")
    connection.delivery.lost("a")
    connection.delivery.notice(Outgoing(EphemeralEvent()))
    assert connection.taken() == []
    assert connection.delivery.phase is Phase.IDLE


def test_a_conversation_that_is_level_goes_live(connection: Connection) -> None:
    assert connection.sync(start("a3")) == []
    connection.offer("a4", "b1")
    connection.delivery.notice(Outgoing(EphemeralEvent()))
    assert connection.taken() == ["a4", "b1", "passing"]


def test_what_arrives_while_positions_are_read_follows_them_without_a_repeat(connection: Connection) -> None:
    connection.delivery.gather()
    connection.offer("a3", "a4", "a5")
    assert connection.taken() == []
    assert connection.delivery.settle([start("a4")]) == []
    assert connection.taken() == ["a5"]


def test_a_conversation_that_began_after_positions_were_read_comes_from_its_start(connection: Connection) -> None:
    connection.delivery.gather()
    connection.offer("a1", "a2")
    assert connection.delivery.settle([]) == []
    assert connection.taken() == ["a1", "a2"]


def test_a_conversation_that_began_meanwhile_is_read_where_its_start_was_missed(connection: Connection) -> None:
    connection.delivery.gather()
    connection.offer("a2")
    assert places(connection.delivery.settle([])) == ["a0"]
    assert connection.taken() == []


def test_what_is_missing_is_read_and_then_what_arrived_meanwhile_is_released(connection: Connection) -> None:
    connection.delivery.gather()
    connection.offer("a4")
    assert places(connection.delivery.settle([start("a1", 3)])) == ["a1"]
    connection.offer("a5")
    assert connection.read("a2", "a3", "a4") == [True] * 3
    assert connection.delivery.level(cursor("a4"))
    connection.offer("a6")
    assert connection.taken() == ["a2", "a3", "a4", "a5", "a6"]


def test_a_change_that_was_read_before_it_arrived_is_sent_once(connection: Connection) -> None:
    connection.sync(start("a0", 3))
    connection.read("a1", "a2", "a3")
    assert connection.delivery.level(cursor("a3"))
    connection.offer("a2", "a3", "a4", "a5")
    assert connection.taken() == ["a1", "a2", "a3", "a4", "a5"]


@pytest.mark.parametrize(("recent", "sent"), [(True, ["a4"]), (False, ["a3", "a4"])])
def test_only_a_log_that_changed_of_late_may_have_changes_on_their_way(
    connection: Connection, recent: bool, sent: list[str]
) -> None:
    connection.sync(start("a3", recent=recent))
    connection.offer("a3", "a4")
    assert connection.taken() == sent


def test_what_was_released_is_not_sent_again_when_it_arrives_again(connection: Connection) -> None:
    connection.delivery.gather()
    connection.offer("a4")
    connection.delivery.settle([start("a3", recent=True)])
    connection.offer("a4", "a5")
    assert connection.taken() == ["a4", "a5"]


@pytest.mark.parametrize("arrived", [["a6"], ["a5", "a7"], ["a6", "a7"]])
def test_a_hole_in_what_arrived_is_read_from_the_log(connection: Connection, arrived: list[str]) -> None:
    connection.sync(start("a3", 4))
    connection.offer(*arrived)
    connection.read("a4")
    assert not connection.delivery.level(cursor("a4"))
    assert connection.taken() == ["a4"]
    assert connection.delivery.is_behind("a")
    assert connection.read("a5", "a6", "a7") == [True] * 3
    assert connection.delivery.level(cursor("a7"))


def test_what_arrives_in_disorder_is_released_in_order(connection: Connection) -> None:
    connection.sync(start("a3", 4))
    connection.offer("a6", "a5")
    connection.read("a4")
    assert connection.delivery.level(cursor("a4"))
    assert connection.taken() == ["a4", "a5", "a6"]


def test_what_is_held_is_bounded_and_the_rest_read_from_the_log(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "HELD_EVENTS", 2)
    connection.sync(start("a3", 4))
    connection.offer("a5", "a6", "a7", "a8")
    connection.read("a4")
    assert not connection.delivery.level(cursor("a4")), "a7 and a8 were not held"
    connection.offer("a9")
    connection.read("a5", "a6", "a7", "a8")
    assert connection.delivery.level(cursor("a8"))
    assert connection.taken() == ["a4", "a5", "a6", "a7", "a8", "a9"]


def test_an_event_without_room_makes_its_conversation_stale_once_and_silent() -> None:
    connection = Connection(room=1)
    connection.sync(start("a3"), start("b1"))
    connection.outbox.pause()
    connection.offer("a4", "a5", "a6", "b2")
    connection.outbox.resume()
    connection.offer("a7", "b3")
    assert connection.taken() == ["a4", "a!", "b!"]


def test_a_stale_conversation_comes_back_by_name_from_the_clients_cursor() -> None:
    connection = Connection(room=0)
    connection.sync(start("a3"))
    connection.outbox.pause()
    connection.offer("a4")
    connection.outbox.resume()
    connection.delivery.fall_behind(["a"])
    connection.offer("a5")
    assert places(connection.delivery.settle([start("a3", 4)])) == ["a3"]
    connection.read("a4")
    assert connection.delivery.level(cursor("a4"))
    connection.offer("a6")
    assert connection.taken() == ["a!", "a4", "a5", "a6"]


def test_a_conversation_synced_by_name_leaves_the_others_live(connection: Connection) -> None:
    connection.sync(start("a3"), start("b1"))
    connection.delivery.fall_behind(["a"])
    connection.offer("a4", "b2")
    assert connection.taken() == ["b2"]
    assert connection.delivery.settle([start("a4")]) == []
    connection.offer("a5", "b3")
    assert connection.taken() == ["a5", "b3"]


def test_a_conversation_named_from_further_back_is_sent_again_from_there(connection: Connection) -> None:
    """The floor of an earlier sync does not swallow what is asked for anew."""
    connection.sync(start("a3", recent=True))
    connection.delivery.fall_behind(["a"])
    assert places(connection.delivery.settle([start("a1", 3)])) == ["a1"]
    connection.read("a2", "a3")
    assert connection.delivery.level(cursor("a3"))
    assert connection.taken() == ["a2", "a3"]


def test_naming_what_is_nobodys_leaves_nothing_behind(connection: Connection) -> None:
    connection.sync()
    connection.delivery.fall_behind(["a", "b"])
    connection.offer("b1")
    assert connection.delivery.settle([]) == []
    assert not connection.delivery.is_behind("a")
    connection.offer("a1", "b2")
    assert connection.taken() == ["b1", "a1", "b2"]


def test_reading_stops_for_a_conversation_that_became_stale() -> None:
    connection = Connection(room=1)
    connection.sync(start("a0", 3), start("b0", 1))
    connection.outbox.pause()
    assert connection.read("a1", "a2", "a3", "b1") == [True, False, False, False]
    assert not connection.delivery.is_behind("a")
    assert connection.delivery.level(cursor("a1")), "there is nothing left to read"
    connection.outbox.resume()
    assert connection.taken() == ["a1", "a!", "b!"]


def test_a_run_is_one_write_and_is_sent_whole_or_not_at_all() -> None:
    connection = Connection(room=3)
    connection.sync(start("a0", 6))
    assert connection.read_run("a1", "a2")
    assert len(connection._packets) == 1
    connection.outbox.pause()
    assert [connection.read_run("a3", "a4"), connection.read_run("a5", "a6")] == [True, False]
    connection.outbox.resume()
    assert connection.taken() == ["a1", "a2", "a3", "a4", "a!"]
    assert not connection.delivery.is_behind("a")


def test_a_release_without_room_makes_its_conversation_stale() -> None:
    connection = Connection(room=1)
    connection.delivery.gather()
    connection.offer("a1", "a2", "a3")
    connection.outbox.pause()
    connection.delivery.settle([start("a0")])
    connection.outbox.resume()
    connection.offer("a4")
    assert connection.taken() == ["a1", "a!"]


def test_nothing_slips_past_an_event_without_room_because_it_is_smaller() -> None:
    live, released, read = (Connection(room=5, large="a2") for _ in range(3))
    live.sync(start("a0"))
    live.outbox.pause()
    live.offer("a1", "a2", "a3")
    released.delivery.gather()
    released.offer("a1", "a2", "a3")
    released.outbox.pause()
    released.delivery.settle([start("a0")])
    read.sync(start("a0", 3))
    read.outbox.pause()
    read.read("a1", "a2", "a3")
    for connection in (live, released, read):
        connection.outbox.resume()
        assert connection.taken() == ["a1", "a!"]


def test_a_loss_makes_a_live_conversation_stale(connection: Connection) -> None:
    connection.sync(start("a3"))
    connection.delivery.lost("a")
    connection.delivery.lost("a")
    connection.offer("a4")
    assert connection.taken() == ["a!"]


def test_a_loss_while_positions_are_read_has_the_log_read(connection: Connection) -> None:
    connection.delivery.gather()
    connection.offer("a4")
    connection.delivery.lost("a")
    assert places(connection.delivery.settle([start("a3")])) == ["a3"]
    assert connection.taken() == []


def test_a_loss_while_the_log_is_read_has_it_read_further(connection: Connection) -> None:
    connection.sync(start("a3", 4))
    connection.delivery.lost("a")
    connection.read("a4")
    assert not connection.delivery.level(cursor("a4"))
    assert connection.delivery.level(cursor("a4"))


def test_if_positions_cannot_be_read_nothing_comes_until_the_next_sync(connection: Connection) -> None:
    connection.sync(start("a3"))
    connection.delivery.gather()
    connection.offer("a4")
    connection.delivery.interrupted()
    connection.offer("a5")
    assert connection.taken() == []
    assert connection.delivery.phase is Phase.IDLE
    assert connection.sync(start("a3", 5)) == ["a3"]


def test_if_the_log_cannot_be_read_on_what_is_behind_is_stale_and_the_rest_is_live(connection: Connection) -> None:
    connection.sync(start("a3", 4), start("b1"))
    connection.offer("a5")
    connection.delivery.interrupted()
    connection.offer("a6", "b2")
    assert connection.taken() == ["a!", "b2"]


def test_a_full_sync_clears_what_was_stale() -> None:
    connection = Connection(room=0)
    connection.sync(start("a3"))
    connection.delivery.lost("a")
    connection.sync(start("a4"))
    connection.offer("a5")
    assert connection.taken() == ["a!", "a5"]


def overflowing() -> Connection:
    """There is no room for anything, not even to say so."""
    connection = Connection(room=0, total_room=0)
    connection.sync(start("a0", 9), start("b3"))
    connection.outbox.pause()
    return connection


@pytest.mark.parametrize(
    "happens",
    [
        lambda connection: connection.offer("b4", "b5"),
        lambda connection: connection.read("a1", "a2"),
        lambda connection: connection.delivery.lost("b"),
        lambda connection: connection.delivery.interrupted(),
        lambda connection: [connection.offer("a1", "a2"), connection.delivery.level(cursor("a0"))],
        lambda connection: [
            connection.delivery.gather(),
            connection.offer("a1", "a2", "b4"),
            connection.delivery.settle([start("a0"), start("b3")]),
        ],
    ],
)
def test_a_connection_without_any_room_ends_wherever_that_is_found_out(happens: Callable[[Connection], object]) -> None:
    """The overflow comes back into the delivery in the middle of whatever it does."""
    connection = overflowing()
    happens(connection)
    assert connection.delivery.phase is Phase.ENDED
    connection.offer("a1", "b4")
    assert connection.taken() == []


def test_after_its_end_a_connection_is_offered_nothing_and_reads_nothing(connection: Connection) -> None:
    connection.sync(start("a3", 9))
    connection.delivery.end()
    connection.offer("a10")
    assert connection.read("a4") == [False]
    assert connection.delivery.level(cursor("a3"))
    assert connection.sync(start("a3", 9)) == []
    connection.delivery.fall_behind(["a"])
    connection.delivery.lost("a")
    connection.delivery.interrupted()
    assert connection.taken() == []
    assert not connection.delivery.is_behind("a")
    assert connection.delivery.phase is Phase.ENDED

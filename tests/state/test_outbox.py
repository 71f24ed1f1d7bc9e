"""P6: what a connection is not reading waits within bounds, in order, and goes in stages."""

from collections.abc import Callable

import pytest

from chatd.state.outbox import Outbox


class Frame:
    """So many bytes with a name."""

    def __init__(self, name: str, size: int = 10) -> None:
        self.name = name
        self.size = size


class Connection:
    """The outbox under test and what came of it; the transport pauses after ``window`` frames."""

    def __init__(self, *, event_bytes: int = 30, total_bytes: int = 60, window: int = 1000) -> None:
        self.written: list[str] = []
        self.overflows = 0
        self.window = window
        self.outbox: Outbox[Frame] = Outbox(
            self._write, self._overflow, event_bytes=event_bytes, total_bytes=total_bytes
        )

    def _write(self, frame: Frame) -> None:
        self.written.append(frame.name)
        if len(self.written) % self.window == 0:
            self.outbox.pause()

    def _overflow(self) -> None:
        self.overflows += 1


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_everything_passes_straight_through_while_the_peer_reads(connection: Connection) -> None:
    connection.outbox.reply(Frame("reply"))
    assert connection.outbox.event(Frame("event"))
    connection.outbox.ephemeral(Frame("typing"))
    assert connection.written == ["reply", "event", "typing"]
    assert connection.outbox.waiting_bytes == 0


def test_a_frame_larger_than_every_bound_passes_while_the_peer_reads(connection: Connection) -> None:
    assert connection.outbox.event(Frame("event", 1000))
    connection.outbox.reply(Frame("reply", 1000))
    assert connection.written == ["event", "reply"]


def test_passing_notices_are_the_first_to_go(connection: Connection) -> None:
    connection.outbox.pause()
    connection.outbox.ephemeral(Frame("typing"))
    assert connection.outbox.event(Frame("event"))
    connection.outbox.resume()
    assert connection.written == ["event"]


def test_events_are_refused_before_replies(connection: Connection) -> None:
    connection.outbox.pause()
    assert [connection.outbox.event(Frame(f"event {n}")) for n in range(4)] == [True, True, True, False]
    connection.outbox.reply(Frame("reply"))
    assert not connection.outbox.event(Frame("event 5"))
    assert connection.outbox.waiting_bytes == 40
    connection.outbox.resume()
    assert connection.written == ["event 0", "event 1", "event 2", "reply"]
    assert connection.overflows == 0


def test_replies_take_room_from_events(connection: Connection) -> None:
    connection.outbox.pause()
    connection.outbox.reply(Frame("reply", 25))
    assert not connection.outbox.event(Frame("event"))
    assert connection.outbox.event(Frame("small event", 5))


def test_a_connection_overflows_once_when_a_reply_does_not_fit(connection: Connection) -> None:
    connection.outbox.pause()
    for n in range(6):
        connection.outbox.reply(Frame(f"reply {n}"))
    assert connection.overflows == 0
    connection.outbox.reply(Frame("one too many"))
    connection.outbox.reply(Frame("and another"))
    assert connection.overflows == 1


def test_an_overflown_connection_takes_no_more_and_keeps_nothing(connection: Connection) -> None:
    """A reply is missing on it, so nothing may follow: what is missed is resumed on another connection."""
    connection.outbox.pause()
    connection.outbox.reply(Frame("kept", 50))
    connection.outbox.reply(Frame("one too many", 50))
    assert connection.outbox.waiting_bytes == 0
    connection.outbox.pause()
    assert connection.outbox.event(Frame("event"))
    connection.outbox.reply(Frame("reply"))
    assert connection.outbox.waiting_bytes == 0
    assert not connection.outbox.paused, "nobody is to wait for it"
    connection.outbox.resume()
    assert connection.written == []


def test_order_is_kept_over_pauses_in_the_middle_of_a_resume() -> None:
    connection = Connection(event_bytes=1000, total_bytes=1000, window=3)
    connection.outbox.pause()
    for n in range(10):
        if n % 2:
            connection.outbox.reply(Frame(str(n)))
        else:
            connection.outbox.event(Frame(str(n)))
    for written in (3, 6, 9):
        connection.outbox.resume()
        assert len(connection.written) == written
        assert connection.outbox.waiting_bytes == (10 - written) * 10
    connection.outbox.reply(Frame("10"))
    connection.outbox.resume()
    assert connection.written == [str(n) for n in range(11)]
    assert not connection.outbox.paused


def test_whoever_waits_for_the_peer_is_called_when_nothing_waits_any_more() -> None:
    connection = Connection(window=2)
    connection.outbox.pause()
    for n in range(3):
        connection.outbox.reply(Frame(str(n)))
    connection.outbox.when_drained(lambda: connection.written.append("drained"))
    connection.outbox.resume()
    assert connection.written == ["0", "1"]
    connection.outbox.resume()
    assert connection.written == ["0", "1", "2", "drained"]
    connection.outbox.resume()
    assert connection.written.count("drained") == 1


def test_nobody_waits_for_a_peer_that_reads(connection: Connection) -> None:
    connection.outbox.when_drained(lambda: connection.written.append("drained"))
    assert connection.written == ["drained"]


@pytest.mark.parametrize("end", [Outbox.discard, lambda outbox: outbox.reply(Frame("too large", 61))])
def test_whoever_waits_is_called_when_the_connection_ends(
    connection: Connection, end: Callable[[Outbox[Frame]], None]
) -> None:
    connection.outbox.pause()
    connection.outbox.event(Frame("event"))
    connection.outbox.when_drained(lambda: connection.written.append("drained"))
    end(connection.outbox)
    assert connection.written == ["drained"]
    assert not connection.outbox.paused


def test_a_discarded_outbox_writes_nothing_more(connection: Connection) -> None:
    connection.outbox.pause()
    connection.outbox.event(Frame("event"))
    connection.outbox.discard()
    connection.outbox.resume()
    connection.outbox.reply(Frame("reply"))
    connection.outbox.ephemeral(Frame("typing"))
    assert connection.written == []
    assert connection.outbox.waiting_bytes == 0

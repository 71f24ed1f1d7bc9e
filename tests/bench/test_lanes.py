"""What comes back is checked: each message acknowledged once, delivered once, in order and without a gap."""

import pytest

from bench.errors import Violation
from bench.lanes import FIRST, ChatLane, EchoLane, Samples
from tests.bench.line import Line

BODY = 40


def reply(number: int, seq: int | None = None) -> bytes:
    seq = number if seq is None else seq
    return b'{"id":%d,"type":"ok","message_id":"c.%d","conversation":"c","seq":%d,"time":"t"}' % (
        FIRST + number,
        seq,
        seq,
    )


def event(number: int, seq: int | None = None) -> bytes:
    seq = number if seq is None else seq
    text = b'"message_id":"c.%d","sender":"a","text":"%d x"}' % (seq, FIRST + number)
    return b'{"type":"message.created","conversation":"c","seq":%d,"time":"t",%b' % (seq, text)


class Pair:
    """A lane between two lines, of which some messages were sent."""

    def __init__(self, lines: list[Line], sent: int = 3) -> None:
        self.sender, self.reader = lines
        self.samples = Samples()
        self.lane = ChatLane(self.sender.client, self.reader.client, "bob", BODY, self.samples)
        self.lane.send(sent, 0.0)
        self._read_sender, self._read_reader = (read for _, read in self.lane.readers)

    def to_sender(self, *texts: bytes) -> None:
        self.sender.say(*texts)
        self._read_sender()

    def to_reader(self, *texts: bytes) -> None:
        self.reader.say(*texts)
        self._read_reader()


def test_a_message_is_a_command_with_a_body_of_the_given_length(lines: list[Line]) -> None:
    pair = Pair(lines, sent=2)
    first, second = pair.sender.server.recv(4096).split(b'{"id":')[1:]
    assert b'"type":"message.send","client_id":"m-10000001","to":"bob","text":"10000001 ' in first
    assert b'"client_id":"m-10000002"' in second
    assert len(first.partition(b'"text":"')[2].partition(b'"')[0]) == BODY


def test_a_message_is_through_when_it_is_acknowledged_and_delivered(lines: list[Line]) -> None:
    pair = Pair(lines)
    pair.to_sender(reply(1), reply(2))
    assert pair.lane.completed == 0
    pair.to_reader(event(1))
    assert pair.lane.completed == 1
    pair.to_reader(event(2), event(3))
    assert pair.lane.completed == 2
    assert len(pair.samples.acks) == 2
    assert len(pair.samples.deliveries) == 3


def test_a_lane_is_settled_when_the_sender_has_its_own_events_too(lines: list[Line]) -> None:
    pair = Pair(lines, sent=1)
    pair.to_sender(reply(1))
    pair.to_reader(event(1))
    assert not pair.lane.settled
    pair.to_sender(event(1))
    assert pair.lane.settled


def test_acknowledgements_may_come_in_any_order(lines: list[Line]) -> None:
    pair = Pair(lines)
    pair.to_sender(reply(3), reply(1), reply(2))
    pair.to_reader(event(1), event(2), event(3))
    assert pair.lane.completed == 3


def test_a_message_to_somebody_away_is_through_when_it_is_acknowledged(lines: list[Line]) -> None:
    lane = ChatLane(lines[0].client, None, "bob", BODY, Samples())
    lane.send(1, 0.0)
    lines[0].say(event(1), reply(1))
    ((_, read),) = lane.readers
    read()
    assert lane.completed == 1
    assert lane.settled


def test_the_opening_of_the_conversation_is_no_violation(lines: list[Line]) -> None:
    pair = Pair(lines)
    opening = b'{"type":"conversation.created","conversation":"q","seq":1,"time":"t"}'
    pair.to_sender(opening, event(1))
    pair.to_reader(opening, event(1))


@pytest.mark.parametrize(
    "texts",
    [
        (reply(1), reply(1)),
        (reply(4),),
        (reply(1, seq=2),),
        (b'{"id":10000001,"type":"ok"}',),
        (event(2),),
        (event(1), event(1)),
        (b'{"type":"conversation.stale","conversation":"c"}',),
    ],
    ids=["twice", "never sent", "another seq", "no seq", "gap", "repeat", "stale"],
)
def test_a_broken_promise_to_the_sender_is_a_violation(lines: list[Line], texts: tuple[bytes, ...]) -> None:
    pair = Pair(lines)
    with pytest.raises(Violation):
        pair.to_sender(*texts)


def test_a_refused_message_is_a_violation_that_says_why(lines: list[Line]) -> None:
    pair = Pair(lines)
    with pytest.raises(Violation, match=r"refused: .*overloaded"):
        pair.to_sender(b'{"id":10000001,"type":"error","error":{"code":"overloaded"}}')


@pytest.mark.parametrize(
    "texts",
    [
        (event(2),),
        (event(1), event(1)),
        (event(1), event(3, seq=2)),
        (event(1), event(2, seq=3)),
        (event(1), event(2), event(3), event(4)),
        (b'{"type":"message.created","conversation":"c","seq":1,"time":"t","unreadable":true}',),
        (reply(1),),
    ],
    ids=["gap", "repeat", "other text", "seq skipped", "never sent", "unreadable", "a reply"],
)
def test_a_broken_promise_to_the_reader_is_a_violation(lines: list[Line], texts: tuple[bytes, ...]) -> None:
    pair = Pair(lines)
    with pytest.raises(Violation):
        pair.to_reader(*texts)


@pytest.mark.parametrize("numbers", [(2,), (1, 1), (1, 2, 3)], ids=["lost", "repeated", "never sent"])
def test_an_echo_that_is_not_the_next_one_is_a_violation(lines: list[Line], numbers: tuple[int, ...]) -> None:
    samples = Samples()
    lane = EchoLane(lines[0].client, BODY, samples)
    lane.send(2, 0.0)
    ((_, read),) = lane.readers
    lines[0].say(*(b"%d x" % (FIRST + number) for number in numbers))
    with pytest.raises(Violation):
        read()


def test_echoes_in_order_are_counted(lines: list[Line]) -> None:
    samples = Samples()
    lane = EchoLane(lines[0].client, BODY, samples)
    lane.send(2, 0.0)
    ((_, read),) = lane.readers
    lines[0].say(b"%d x" % (FIRST + 1), b"%d x" % (FIRST + 2))
    read()
    assert lane.settled
    assert len(samples.deliveries) == 2

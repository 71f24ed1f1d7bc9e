"""What goes to many must reach each of them once, in one order, with the same bytes."""

import pytest

from bench.audience import AudienceLane, GroupLane, broadcast
from bench.errors import Violation
from bench.lanes import FIRST, Samples
from tests.bench.line import Line

BODY = 40
BASE = 7
"""Entries of the group's log before the first message."""


def reply(number: int, place: int | None = None) -> bytes:
    seq = BASE + (number if place is None else place)
    return b'{"id":%d,"type":"ok","message_id":"c.1","conversation":"c","seq":%d,"time":"t"}' % (FIRST + number, seq)


def event(number: int, place: int | None = None, text: bytes = b"x") -> bytes:
    seq = BASE + (number if place is None else place)
    head = b'{"type":"message.created","conversation":"c","seq":%d,"time":"t","sender":"a",' % seq
    return head + b'"text":"%d %b"}' % (FIRST + number, text)


class Group:
    """Two members, both of whom send, by turns: the second first."""

    def __init__(self, lines: list[Line], sent: int = 2) -> None:
        self.lines = lines
        self.samples = Samples()
        self.lane = GroupLane([line.client for line in lines], 2, b"c", BASE, BODY, self.samples)
        self.lane.send(sent, 0.0)
        self._reads = [read for _, read in self.lane.readers]

    def to(self, member: int, *texts: bytes) -> None:
        self.lines[member].say(*texts)
        self._reads[member]()

    def to_both(self, *texts: bytes) -> None:
        self.to(0, *texts)
        self.to(1, *texts)


def test_the_senders_take_turns(lines: list[Line]) -> None:
    Group(lines)
    assert b'"client_id":"m-10000001","conversation":"c","text":"10000001 ' in lines[1].server.recv(4096)
    assert b'"client_id":"m-10000002"' in lines[0].server.recv(4096)


def test_a_message_is_through_when_it_is_acknowledged_and_everybody_has_it(lines: list[Line]) -> None:
    group = Group(lines)
    group.to(1, reply(1), event(1))
    assert group.lane.completed == 0
    group.to(0, event(1))
    assert group.lane.completed == 1
    group.to_both(event(2))
    assert (group.lane.completed, group.lane.settled) == (1, False)
    group.to(0, reply(2))
    assert (group.lane.completed, group.lane.settled) == (2, True)
    assert (len(group.samples.acks), len(group.samples.deliveries)) == (2, 2)


def test_messages_of_several_senders_may_be_stored_in_any_order(lines: list[Line]) -> None:
    group = Group(lines)
    group.to_both(event(2, place=1), event(1, place=2))
    group.to(0, reply(2, place=1))
    group.to(1, reply(1, place=2))
    assert group.lane.settled


def test_what_the_beginning_of_a_group_leaves_is_no_violation(lines: list[Line]) -> None:
    group = Group(lines)
    group.to_both(b'{"type":"conversation.joined"}', b'{"type":"group.created"}', b'{"type":"member.added"}', event(1))


@pytest.mark.parametrize(
    "texts",
    [
        (event(2, place=2),),
        (event(1), event(1)),
        (event(1), event(1, place=2)),
        (event(3, place=1),),
        (reply(1), reply(1)),
        (reply(3),),
        (reply(1, place=2), event(1)),
        (b'{"id":10000001,"type":"error","error":{"code":"overloaded"}}',),
        (b'{"type":"conversation.stale","conversation":"c"}',),
    ],
    ids=[
        "gap",
        "repeat",
        "sent once",
        "never sent",
        "reply twice",
        "reply to nothing",
        "two places",
        "refused",
        "stale",
    ],
)
def test_a_broken_promise_to_a_member_is_a_violation(lines: list[Line], texts: tuple[bytes, ...]) -> None:
    group = Group(lines)
    with pytest.raises(Violation):
        group.to(0, *texts)


@pytest.mark.parametrize("text", [event(2, place=1), event(1, text=b"y")], ids=["another order", "other bytes"])
def test_what_one_member_gets_all_others_get(lines: list[Line], text: bytes) -> None:
    group = Group(lines)
    group.to(0, event(1))
    with pytest.raises(Violation):
        group.to(1, text)


def test_a_broadcast_is_through_when_everybody_has_it(lines: list[Line]) -> None:
    lane = AudienceLane([line.client for line in lines], 1, broadcast(b"prep:", BODY), Samples())
    lane.send(1, 0.0)
    text = lines[0].server.recv(4096).partition(b"prep:")[2]
    assert (len(text), text[:9]) == (BODY, b"10000001 ")
    for line, (_, read) in zip(lines, lane.readers, strict=True):
        assert not lane.settled
        line.say(text)
        read()
    assert (lane.settled, lane.text_bytes) == (True, BODY)

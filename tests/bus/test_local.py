"""The bus of a single worker."""

from datetime import UTC, datetime

import pytest
from zope.interface.verify import verifyObject

from chatd.bus.local import LocalBus
from chatd.interfaces.bus import IBus
from chatd.records.base import Signal
from chatd.records.logs import Entry, Publication
from chatd.wire.events import EphemeralEvent


class Noticed(EphemeralEvent, frozen=True, kw_only=True, tag="noticed"):
    """Something passing."""


class Signalled(Signal, frozen=True, kw_only=True, tag="signalled"):
    """Something for the workers."""

    what: str


def unexpected(*news):
    pytest.fail("this was not what was told")


@pytest.fixture
def bus():
    return LocalBus()


def publication(seq):
    entry = Entry(
        conversation="c",
        seq=seq,
        time=datetime(2024, 1, 1, tzinfo=UTC),
        author="alice",
        client_id=str(seq),
        kind="message.created",
        sealed=b"",
    )
    return Publication(entry=entry, audience=("bob",))


def test_it_is_a_bus(bus):
    assert verifyObject(IBus, bus)


def test_what_is_published_arrives_at_once_and_as_it_was(bus):
    arrived = []
    bus.subscribe(arrived.append, unexpected, unexpected)
    bus.publish([publication(1), publication(2)])
    bus.publish([publication(3)])
    assert arrived == [[publication(1), publication(2)], [publication(3)]]


def test_notices_arrive_at_once_with_those_whom_they_are_for(bus):
    arrived = []
    bus.subscribe(unexpected, lambda users, event: arrived.append((users, event)), unexpected)
    bus.notify(["alice", "bob"], Noticed())
    assert arrived == [(["alice", "bob"], Noticed())]


def test_signals_arrive_at_once(bus):
    arrived = []
    bus.subscribe(unexpected, unexpected, arrived.append)
    bus.signal(Signalled(what="news"))
    assert arrived == [Signalled(what="news")]


def test_before_anybody_listens_nobody_is_told(bus):
    bus.publish([publication(1)])
    bus.notify(["alice"], Noticed())
    bus.signal(Signalled(what="news"))


def test_a_listener_that_fails_is_the_publishers_to_judge(bus):
    def fail(_):
        raise LookupError("a defect")

    bus.subscribe(fail, fail, fail)
    with pytest.raises(LookupError):
        bus.publish([publication(1)])

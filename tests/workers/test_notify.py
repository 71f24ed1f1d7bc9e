"""What systemd is told."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from chatd.workers.notify import LOOK_S, Notifier, Report

PID = 77


class Receiver:
    """Where the messages go."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.socket.setblocking(False)

    def take(self) -> list[str]:
        """The messages since the last time."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    one = Receiver(str(tmp_path / "notify"))
    with closing(one.socket):
        yield one


class Service:
    """A service and how it is."""

    def __init__(self, notifier: Notifier) -> None:
        self.clock = Clock()
        self.ready = False
        self.well = True
        self.summary = "starting"
        self.report = Report(
            notifier,
            self.clock,
            ready=lambda: self.ready,
            well=lambda: self.well,
            summary=lambda: self.summary,
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([LOOK_S] * round(seconds / LOOK_S))


def test_messages_are_one_datagram_of_assignments(receiver: Receiver) -> None:
    Notifier(receiver.address).tell(RELOADING=1, STATUS="all is well")
    assert receiver.take() == ["RELOADING=1\nSTATUS=all is well"]


def test_an_abstract_address_begins_with_an_at_sign() -> None:
    receiver = Receiver(f"@chatd-test-{id(object())}")
    with closing(receiver.socket):
        Notifier(receiver.address).tell(READY=1)
        assert receiver.take() == ["READY=1"]


def test_without_systemd_nothing_is_said_and_nothing_fails() -> None:
    Notifier.from_environment({}, PID).tell(READY=1)


def test_where_systemd_does_not_listen_that_is_logged(tmp_path: Path) -> None:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    Notifier(str(tmp_path / "nobody")).tell(READY=1)
    globalLogPublisher.removeObserver(events.append)
    assert [event["log_level"].name for event in events] == ["warn"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(PID)}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_the_watchdog_is_fed_where_systemd_asks_this_process(environ: dict[str, str], seconds: float) -> None:
    assert Notifier.from_environment(environ, PID).watchdog_s == seconds


def test_readiness_is_told_once_when_it_comes(receiver: Receiver) -> None:
    service = Service(Notifier(receiver.address))
    service.report.start()
    service.pass_time(10)
    assert receiver.take() == ["STATUS=starting"]
    service.ready, service.summary = True, "serving"
    service.pass_time(10)
    assert receiver.take() == ["READY=1", "STATUS=serving"]
    service.ready = False
    service.pass_time(1)
    service.ready = True
    service.pass_time(1)
    assert receiver.take() == []


def test_a_reload_begins_and_ends(receiver: Receiver) -> None:
    service = Service(Notifier(receiver.address))
    service.ready = True
    service.report.start()
    receiver.take()
    service.ready = False
    service.report.reloading()
    service.pass_time(1)
    (begun,) = receiver.take()
    assert begun.startswith("RELOADING=1\nMONOTONIC_USEC=")
    service.ready = True
    service.pass_time(1)
    assert receiver.take() == ["READY=1"]


def test_the_watchdog_is_fed_while_all_is_well(receiver: Receiver) -> None:
    service = Service(Notifier(receiver.address, 10.0))
    service.report.start()
    service.pass_time(20)
    assert receiver.take().count("WATCHDOG=1") == 8
    service.well = False
    service.pass_time(20)
    assert receiver.take() == []
    service.well = True
    service.pass_time(1)
    assert receiver.take() == ["WATCHDOG=1"]


def test_the_end_is_told_and_then_nothing(receiver: Receiver) -> None:
    service = Service(Notifier(receiver.address, 10.0))
    service.report.start()
    receiver.take()
    service.report.stopping()
    service.ready = True
    service.pass_time(1)
    assert receiver.take() == ["STOPPING=1"]
    service.report.stop()
    service.report.stop()
    service.pass_time(60)
    assert receiver.take() == []
    assert service.clock.getDelayedCalls() == []

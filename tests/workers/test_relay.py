"""A worker's log in its parent's."""

from collections.abc import Iterator

import pytest
from twisted.logger import LogEvent, Logger, eventAsText, globalLogPublisher
from twisted.python.failure import Failure

from chatd.workers import relay as relay_module
from chatd.workers.control import Logged
from chatd.workers.relay import Relay, publish


class Worker:
    """Logs, and what it tells its parent."""

    def __init__(self) -> None:
        self.told: list[Logged] = []
        self.relay = Relay(self.told.append)
        self.log = Logger(namespace="chatd.somewhere", observer=self.relay)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def published() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def line(event: LogEvent) -> str:
    return eventAsText(event, includeTimestamp=False)


def test_an_event_comes_out_as_it_was_with_the_number_of_the_worker(worker: Worker, published: list[LogEvent]) -> None:
    worker.log.warn("{who} is away", who="alice {x}")
    publish(3, 4711, worker.told[0])
    (event,) = published
    assert line(event) == "[worker 3 chatd.somewhere#warn] alice {x} is away"
    assert event["log_time"] == worker.told[0].time


def test_a_traceback_keeps_its_lines(worker: Worker, published: list[LogEvent]) -> None:
    try:
        raise ZeroDivisionError("a defect")
    except ZeroDivisionError:
        worker.log.failure("something failed", Failure())
    publish(1, 4711, worker.told[0])
    first, *rest = line(published[0]).splitlines()
    assert first == "[worker 1 chatd.somewhere#critical] something failed"
    assert rest[-1].endswith("ZeroDivisionError: a defect")


def test_what_twisteds_older_log_says_comes_along(worker: Worker) -> None:
    worker.relay({"log_time": 1.0, "log_format": "hello", "log_system": "-"})
    assert worker.told == [Logged(time=1.0, level="info", namespace="-", text="hello")]


def test_while_the_parent_is_behind_some_lines_are_kept_and_the_others_counted(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "MOST_KEPT", 2)
    worker.relay.congested(True)
    for n in range(5):
        worker.log.info("{n}", n=n)
    assert worker.told == []
    worker.relay.congested(False)
    worker.log.info("and on")
    assert [(one.level, one.text) for one in worker.told] == [
        ("info", "0"),
        ("info", "1"),
        ("warn", "3 lines of the log were left out"),
        ("info", "and on"),
    ]


def test_what_was_kept_may_fill_the_way_again_and_keeps_its_order() -> None:
    told: list[Logged] = []

    def tell(logged: Logged) -> None:
        told.append(logged)
        relay.congested(True)

    relay = Relay(tell)
    log = Logger(observer=relay)
    for n in range(3):
        log.info("{n}", n=n)
    for _ in range(3):
        relay.congested(False)
    assert [one.text for one in told] == ["0", "1", "2"]


def test_where_nothing_was_left_out_nothing_is_said(worker: Worker) -> None:
    worker.relay.congested(True)
    worker.relay.congested(False)
    assert worker.told == []

"""What the parent says about its workers over HTTP."""

from collections.abc import Awaitable, Callable

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from chatd.records.condition import FINE, Dependency
from chatd.workers.overview import Overview, OverviewSite
from chatd.workers.slot import State
from tests.kit.visitor import Answer, parsed


class Visit:
    """One request."""

    def __init__(
        self,
        path: str,
        *,
        ready: bool = True,
        dependencies: dict[str, Dependency] | None = None,
        page: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        states = {1: State.READY, 2: State.READY if ready else State.BACKING_OFF}
        overview = Overview(
            lambda: ready, lambda: states, lambda: dependencies or {}, page or (lambda: succeed(b"figures"))
        )
        self.transport = StringTransport()
        self.channel = OverviewSite(overview, Clock()).buildProtocol(None)
        self.channel.makeConnection(self.transport)
        self.channel.dataReceived(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    @property
    def answer(self) -> Answer:
        return parsed(self.transport.value())[0]


def test_the_parent_is_alive_for_as_long_as_it_answers() -> None:
    answer = Visit("/healthz", ready=False).answer
    assert (answer.status, answer.json, answer.headers["Server"]) == (200, {"status": "alive"}, None)


@pytest.mark.parametrize(("ready", "status", "word"), [(True, 200, "ready"), (False, 503, "not ready")])
def test_it_is_ready_while_every_worker_is_and_says_what_each_is_at(ready: bool, status: int, word: str) -> None:
    answer = Visit("/readyz", ready=ready).answer
    second = "ready" if ready else "backing_off"
    assert (answer.status, answer.json) == (
        status,
        {"status": word, "workers": {"1": "ready", "2": second}, "dependencies": {}},
    )


def test_it_says_what_is_wrong_with_what_workers_need() -> None:
    bus = Dependency(state="degraded", detail="slow", workers=(2,))
    answer = Visit("/readyz", dependencies={"database": FINE, "bus": bus}).answer
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["dependencies"] == {
        "database": {"state": "ok"},
        "bus": {"state": "degraded", "detail": "slow", "workers": [2]},
    }


def test_figures_come_when_the_workers_have_told_them() -> None:
    coming: Deferred[bytes] = Deferred()
    visit = Visit("/metrics", page=lambda: coming)
    assert visit.transport.value() == b""
    coming.callback(b"figures 1\n")
    assert (visit.answer.status, visit.answer.body) == (200, b"figures 1\n")
    assert visit.answer.headers["Content-Type"].startswith("text/plain; version=")


def test_who_does_not_wait_for_figures_disturbs_nobody() -> None:
    coming: Deferred[bytes] = Deferred()
    visit = Visit("/metrics", page=lambda: coming)
    visit.channel.connectionLost(Failure(ConnectionDone()))
    coming.callback(b"figures")
    assert visit.transport.value() == b""


def test_a_defect_is_logged_and_answered() -> None:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    visit = Visit("/metrics", page=lambda: fail(ZeroDivisionError("a defect")))
    globalLogPublisher.removeObserver(events.append)
    assert visit.answer.status == 500
    assert [type(event["log_failure"].value) for event in events if "log_failure" in event] == [ZeroDivisionError]


def test_there_is_nothing_else() -> None:
    assert Visit("/").answer.status == 404

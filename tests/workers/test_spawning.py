"""A worker process, seen from its parent: what it inherits, says and leaves behind."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from chatd.workers import spawning
from chatd.workers.control import Begin, Family, Logged, Look, Measure, Measured, Status, Stop
from chatd.workers.spawning import Spawner, WorkerProcess, environment
from tests.kit.at_once import Watch
from tests.kit.processes import order
from tests.kit.until import until


class Watching:
    """Who is told about a process."""

    def __init__(self) -> None:
        self.answers: list[bool] = []
        self.endings: list[tuple[str, bool]] = []

    def answered(self, ready: bool) -> None:
        self.answers.append(ready)

    def ended(self, how: str, orderly: bool) -> None:
        self.endings.append((how, orderly))


class Line:
    """A channel that only keeps what is said."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.closed = False

    def tell(self, *messages: Any) -> None:
        self.said += messages

    def close(self) -> None:
        self.closed = True


class Transport:
    """The process, as Twisted shows it."""

    def __init__(self) -> None:
        self.pid = 77
        self.signals: list[str] = []
        self.gone = False

    def signalProcess(self, signal: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(signal)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


class Running:
    """A process that was just spawned."""

    def __init__(self) -> None:
        self.watching = Watching()
        self.process = WorkerProcess(3, self.watching)
        self.transport = Transport()
        self.process.makeConnection(self.transport)
        self.line = Line()
        self.process.begin(self.line, order(), [4])


@pytest.fixture
def running() -> Running:
    return Running()


def test_it_is_told_its_order_and_then_what_is_asked_of_it(running: Running) -> None:
    running.process.look()
    running.process.stop()
    assert running.line.said == [Begin(worker=3, order=order(), descriptors=(4,)), Look(), Stop()]
    running.process.heard(Status(ready=True))
    assert running.watching.answers == [True]
    running.process.congested(True)


def test_its_log_goes_into_ours(running: Running, logged: list[str]) -> None:
    running.process.heard(Logged(time=1.0, level="info", namespace="n", text="hello"))
    assert logged == ["hello"]


def test_its_figures_come_to_who_asked(running: Running) -> None:
    one, other = Watch(running.process.measure()), Watch(running.process.measure())
    numbers = [message.number for message in running.line.said if isinstance(message, Measure)]
    family = Family("n", "h", "gauge", ())
    running.process.heard(Measured(number=numbers[1], families=(family,)))
    assert (one.ended, other.result) == (False, (family,))


def test_figures_that_come_too_late_are_nobodys(running: Running) -> None:
    asked = running.process.measure()
    late = Watch(asked)
    asked.cancel()
    assert isinstance(late.error, CancelledError)
    running.process.heard(Measured(number=1, families=()))


def test_when_it_hangs_up_nobody_waits_for_figures_and_nothing_is_said_to_it(running: Running) -> None:
    waiting = Watch(running.process.measure())
    running.process.hung_up()
    assert isinstance(waiting.error, CancelledError)
    assert isinstance(Watch(running.process.measure()).error, CancelledError)
    before = [*running.line.said]
    running.process.look()
    running.process.stop()
    assert running.line.said == before


def test_what_it_writes_past_its_log_is_logged_line_by_line(running: Running, logged: list[str]) -> None:
    running.process.childDataReceived(2, b"Traceback\nImport")
    running.process.childDataReceived(2, b"Error: \xff")
    running.process.processEnded(Failure(ProcessTerminated(1)))
    writes = "worker 3 (process 77) writes: "
    assert logged == [writes + "Traceback", writes + "ImportError: \\xff"]
    running.process.childDataReceived(1, b"x" * (spawning.LONGEST_LINE + 1))
    assert len(logged) == 3


@pytest.mark.parametrize(
    ("cause", "ending"),
    [
        (ProcessDone(0), ("exit status 0", True)),
        (ProcessTerminated(1), ("exit status 1", False)),
        (ProcessTerminated(None, 9), ("signal 9", False)),
    ],
)
def test_how_it_ended_is_told(cause: Exception, ending: tuple[str, bool], running: Running) -> None:
    running.process.processEnded(Failure(cause))
    assert running.watching.endings == [ending]
    assert running.line.closed


def test_one_that_has_gone_already_cannot_be_killed(running: Running) -> None:
    running.process.kill()
    running.transport.gone = True
    running.process.kill()
    assert running.transport.signals == ["KILL"]


def test_it_inherits_neither_settings_nor_what_is_for_its_parent(tmp_path: Path) -> None:
    environ = {
        "PATH": "/bin",
        "PGSSLROOTCERT": "/ca",
        "CHATD_ENCRYPTION_MASTER_KEYS": "hunter2",
        "NOTIFY_SOCKET": "/run/notify",
        "LISTEN_FDS": "1",
        "PYTHONPATH": "elsewhere",
    }
    found = environment(environ, ["/a", str(tmp_path)])
    assert found == {"PATH": "/bin", "PGSSLROOTCERT": "/ca", "PYTHONPATH": f"/a:{tmp_path}"}


PROGRAM = """
import os, sys
print(sorted(name for name in os.environ if name.startswith("CHATD")), flush=True)
print(sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")), flush=True)
os.read(3, 1)
"""


@ensureDeferred
async def test_a_real_one_has_its_channel_and_its_sockets_and_no_other_descriptor(
    monkeypatch: pytest.MonkeyPatch, logged: list[str], listening: socket.socket
) -> None:
    monkeypatch.setattr(spawning, "PROGRAM", ("-c", PROGRAM))
    watching = Watching()
    spawner = Spawner(reactor, lambda number: [listening] * number, {"CHATD_SECRET": "x"})
    process = spawner.spawn(2, order(), watching)
    await until(lambda: watching.endings)
    assert watching.endings == [("exit status 0", True)]
    assert [line for line in logged if "writes" in line] == [
        f"worker 2 (process {process.pid}) writes: []",
        f"worker 2 (process {process.pid}) writes: [0, 1, 2, 3, 4, 5]",
    ]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


@ensureDeferred
async def test_a_real_one_that_cannot_be_started_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr("sys.executable", "/does/not/exist")
    with pytest.raises(OSError, match="No such file"):
        Spawner(reactor, lambda number: [], {}).spawn(1, order(), Watching())
    await until(lambda: os.listdir("/proc/self/fd") == before)

"""A real worker process, with a parent that says little: how it ends, and what it leaves behind."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from chatd.workers.spawning import Spawner, WorkerProcess
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


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(eventAsText(event, includeTimestamp=False))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def watching() -> Watching:
    return Watching()


def spawn(watching: Watching) -> WorkerProcess:
    """A worker whose order it cannot follow: there are no keys in it."""
    return Spawner(reactor, lambda number: [], {"PATH": "/bin"}).spawn(1, order(), watching)


@ensureDeferred
async def test_what_it_cannot_go_on_with_is_one_line_and_exit_status_1(watching: Watching, logged: list[str]) -> None:
    process = spawn(watching)
    await until(lambda: watching.endings)
    assert watching.endings == [("exit status 1", False)]
    (line,) = [line for line in logged if "cannot go on" in line]
    assert line.startswith("[worker 1 chatd.workers.ending#critical] chatd cannot go on: encryption.master_keys")
    assert "Traceback" not in "".join(logged)
    with pytest.raises(CancelledError):
        await process.measure()


WITHOUT_PARENT = """
import os, socket, sys, time
ours, theirs = socket.socketpair()
os.dup2(theirs.fileno(), 50)
theirs.close()
ours.close()
os.dup2(50, 3)
os.close(50)
from twisted.internet import reactor
from chatd.child import main
code = main(reactor)
print(code, reactor.seconds is time.monotonic, file=sys.__stdout__)
"""


def test_without_a_parent_it_ends_at_once_and_its_timers_never_depended_on_the_time_of_day() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_PARENT], capture_output=True, text=True, check=True, timeout=60
    )
    assert (ended.stdout, ended.stderr) == ("0 True\n", "")

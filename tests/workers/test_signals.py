"""SIGTERM and SIGHUP."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from chatd.workers.signals import Signals


class Reactor:
    """Does at once what is for its own time."""

    def __init__(self) -> None:
        self.stopped = 0

    def callFromThread(self, call: Callable[[], None]) -> None:
        call()

    def stop(self) -> None:
        self.stopped += 1


class Process:
    """What signals do to a process with or without a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        self.reactor = Reactor()
        self.terminal = terminal
        self.reloads = 0
        self.signals = Signals(self.reactor, self.reload, lambda: self.terminal)

    def reload(self) -> None:
        self.reloads += 1


def test_sigterm_stops_it_once() -> None:
    process = Process(terminal=False)
    process.signals.terminate()
    process.signals.terminate()
    process.signals.hang_up()
    assert (process.reactor.stopped, process.reloads) == (1, 0)


@pytest.mark.parametrize("terminal", [True, False])
def test_sighup_reloads_as_often_as_it_comes(terminal: bool) -> None:
    process = Process(terminal=terminal)
    process.signals.hang_up()
    process.signals.hang_up()
    assert (process.reactor.stopped, process.reloads) == (0, 2)


def test_sighup_ends_it_when_its_terminal_has_gone() -> None:
    process = Process(terminal=True)
    process.terminal = False
    process.signals.hang_up()
    assert (process.reactor.stopped, process.reloads) == (1, 0)


def test_both_are_handled_by_the_process() -> None:
    process = Process(terminal=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        process.signals.install()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (process.reactor.stopped, process.reloads) == (1, 1)


WATCH = """
import signal, sys
from chatd.workers.signals import has_terminal
print(has_terminal(), file=sys.stderr, flush=True)
signal.signal(signal.SIGHUP, lambda *_: (print(has_terminal(), file=sys.stderr, flush=True), sys.exit()))
print("waiting", file=sys.stderr, flush=True)
signal.pause()
"""


def test_a_terminal_is_there_until_it_is_closed() -> None:
    """A process whose controlling terminal is one of ours, which then goes away."""
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-c", WATCH]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        assert process.stderr is not None
        assert [process.stderr.readline(), process.stderr.readline()] == ["True\n", "waiting\n"]
        os.close(ours)
        assert process.stderr.read() == "False\n"


def test_a_process_without_one_has_none() -> None:
    command = [
        "setsid",
        "--wait",
        sys.executable,
        "-c",
        "from chatd.workers.signals import has_terminal as h; print(h())",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "False\n"

"""Timers count what has passed, whatever becomes of the time of day."""

import subprocess
import sys
import time

import pytest
from twisted.internet.selectreactor import SelectReactor

from chatd.workers.clock import install_monotonic

JUMPS = """
import sys, time

real, jump = time.time, [0]
time.time = lambda: real() + jump[0]

from twisted.internet import reactor
from chatd.workers.clock import install_monotonic

def forward():
    jump[0] += 7200
    reactor.callLater(0.05, back)

def back():
    jump[0] -= 14400
    reactor.callLater(0.05, end)

def end():
    print("in order")
    reactor.stop()

if "monotonic" in sys.argv:
    install_monotonic(reactor)
reactor.callLater(3600, print, "an hour too early")
reactor.callLater(0, forward)
reactor.run()
"""


def run(*arguments: str) -> str:
    """What a process prints whose clock is set two hours forward and then four back."""
    ended = subprocess.run(
        [sys.executable, "-c", JUMPS, *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    return ended.stdout


def test_timers_neither_strike_nor_stall_when_the_clock_is_set() -> None:
    assert run("monotonic") == "in order\n"


def test_installing_it_again_changes_nothing() -> None:
    reactor = SelectReactor()
    install_monotonic(reactor)
    reactor.callLater(1, print)
    install_monotonic(reactor)
    assert reactor.seconds is time.monotonic


def test_it_is_refused_once_something_waits_on_the_other_clock() -> None:
    reactor = SelectReactor()
    waiting = reactor.callLater(1, print)
    with pytest.raises(RuntimeError, match="is scheduled"):
        install_monotonic(reactor)
    waiting.cancel()
    install_monotonic(reactor)
    assert reactor.seconds is time.monotonic

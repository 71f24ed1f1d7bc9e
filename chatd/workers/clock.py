"""Timers that wall-clock time cannot move.

Twisted's reactor counts in ``time.time()``: when the clock is set forward by an hour, every deadline of that hour
strikes at once, and when it is set back, none does for an hour. What is promised to clients in times of day comes
from PostgreSQL; everything counted here is a duration.
"""

import time

from twisted.internet.base import ReactorBase


def install_monotonic(reactor: ReactorBase) -> None:
    """Let ``reactor`` count in ``time.monotonic()``; doing so again changes nothing.

    To be called before anything is scheduled: a call that waits already has its time on the other clock. Raises
    RuntimeError if there is one. From then on ``reactor.seconds()`` is no time of day, so twisted.web's own access
    log, which takes its dates from there, is of no use.
    """
    if reactor.seconds is time.monotonic:
        return
    waiting = reactor.getDelayedCalls()
    if waiting:
        raise RuntimeError(f"the reactor's clock cannot change any more: {waiting[0]} is scheduled")
    reactor.seconds = time.monotonic

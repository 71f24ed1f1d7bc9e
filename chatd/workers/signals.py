"""Signals that mean something to the process that an operator sees.

SIGTERM ends it in good order, with exit code 0; twistd by itself would end by the signal, which looks like an accident
to who waits for the process. SIGHUP asks a service to read its configuration again, and tells a program in a terminal
that its user has left.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.logger import Logger

log = Logger()


def has_terminal() -> bool:
    """Whether this process belongs to a terminal that is still there (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Signals:
    """Handles both from :meth:`install` on, which is called once the reactor has put its own handlers in place."""

    def __init__(
        self, reactor: Any, reload: Callable[[], object], has_terminal: Callable[[], bool] = has_terminal
    ) -> None:
        self._reactor = reactor
        self._reload = reload
        self._has_terminal = has_terminal
        self._had_terminal = has_terminal()
        self._stopping = False

    def install(self) -> None:
        """To be called in the main thread."""
        signal.signal(signal.SIGTERM, self._told)
        signal.signal(signal.SIGHUP, self._told)

    def _told(self, number: int, frame: FrameType | None) -> None:
        # Python runs this between any two instructions: the rest is for the reactor's own time.
        self._reactor.callFromThread(self.terminate if number == signal.SIGTERM else self.hang_up)

    def terminate(self) -> None:
        """SIGTERM has come; what comes after the first changes nothing."""
        if not self._stopping:
            self._stopping = True
            log.info("told to end")
            self._reactor.stop()

    def hang_up(self) -> None:
        """SIGHUP has come."""
        if self._had_terminal and not self._has_terminal():
            self.terminate()
        elif not self._stopping:
            self._reload()

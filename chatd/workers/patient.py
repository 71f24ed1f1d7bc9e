"""Logging to a pipe or a socket whose reader may stand still, as journald or a log shipper does now and then.

Twisted writes to standard output until all is written, so a reader that stands still would stop the reactor, and with
it all that it does. Here at most :data:`PATIENCE_S` is waited for it, once; until it reads again events are left out,
and how many is said then. Files and terminals are written to as ever.
"""

import os
import select
import stat
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import FileLogObserver, ILogObserver, LogEvent, LogLevel
from zope.interface import implementer

PATIENCE_S: Final = 0.1


@implementer(ILogObserver)
class PatientObserver:
    """Writes events to ``descriptor``, as ``format`` gives them."""

    def __init__(self, descriptor: int, format: Callable[[LogEvent], str | None]) -> None:
        self._descriptor = descriptor
        self._format = format
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._left_out = 0
        self._within_a_line = False

    def __call__(self, event: LogEvent) -> None:
        """Write it, or leave it out."""
        text = self._format(event)
        if not text:
            return
        if (self._left_out and not self._say_what_was_left_out(event)) or not self._write(text, PATIENCE_S):
            self._left_out += 1

    def _say_what_was_left_out(self, event: LogEvent) -> bool:
        notice: dict[str, Any] = {
            "log_time": event["log_time"],
            "log_level": LogLevel.warn,
            "log_namespace": __name__,
            "log_format": "{count} lines of the log were left out",
            "count": self._left_out,
        }
        text = self._format(notice) or ""
        if not self._write("\n" + text if self._within_a_line else text, 0.0):
            return False
        self._left_out = 0
        return True

    def _write(self, text: str, patience: float) -> bool:
        """Whether it was written, whole. Where poll(2) says so there is room for PIPE_BUF bytes (pipe(7))."""
        data, written = text.encode("utf-8", "backslashreplace"), 0
        try:
            while written < len(data) and self._poll.poll(patience * 1000):
                written += os.write(self._descriptor, data[written : written + select.PIPE_BUF])
        except OSError:
            # The reader has gone. Of that nobody can be told here.
            return False
        if written:
            self._within_a_line = written < len(data)
        return written == len(data)


def patient(observer: ILogObserver) -> ILogObserver:
    """What is to take the place of ``observer``: itself, unless it writes to a pipe or a socket."""
    if isinstance(observer, FileLogObserver):
        descriptor = _descriptor(observer._outFile)
        if descriptor is not None and _has_a_reader(os.fstat(descriptor).st_mode):
            return PatientObserver(descriptor, observer.formatEvent)
    return observer


def _descriptor(file: Any) -> int | None:
    try:
        found: int = file.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return found


def _has_a_reader(mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

"""A worker's log, which its parent writes: one stream and one format, whatever twistd was told about logs.

Each event travels whole, so there are no half lines, and a worker never waits for whoever writes the log. Where the
parent falls behind, which the figures alone make it do for a moment, some events are kept for it. Beyond, they are left
out, and how many is said afterwards.
"""

from collections import deque
from collections.abc import Callable

from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from chatd.workers.control import Logged
from chatd.workers.log_lines import PID, RELAYED, WORKER, told

MOST_KEPT = 1000


@implementer(ILogObserver)
class Relay:
    """Tells events to the parent by ``tell``, as they are: what peers wrote in them is made printable there."""

    def __init__(self, tell: Callable[[Logged], None]) -> None:
        self._tell = tell
        self._kept: deque[Logged] = deque()
        self._left_out = 0
        self._last_time = 0.0
        self._congested = False

    def congested(self, congested: bool) -> None:
        """The parent falls behind, or reads again."""
        self._congested = congested
        # What is told may fill the channel again.
        while self._kept and not self._congested:
            self._tell(self._kept.popleft())
        if self._left_out and not self._congested:
            left_out, self._left_out = self._left_out, 0
            text = f"{left_out} lines of the log were left out"
            self._tell(Logged(time=self._last_time, level="warn", namespace=__name__, text=text))

    def __call__(self, event: LogEvent) -> None:
        self._last_time = event["log_time"]
        if self._congested and len(self._kept) >= MOST_KEPT:
            self._left_out += 1
            return
        logged = told(event)
        if self._congested or self._kept:
            self._kept.append(logged)
        else:
            self._tell(logged)


def publish(worker: int, pid: int, logged: Logged) -> None:
    """Put a worker's event into this process' log, where its text is made printable for whoever writes text.

    A traceback keeps its lines.
    """
    globalLogPublisher(
        {
            "log_time": logged.time,
            "log_level": LogLevel.levelWithName(logged.level),
            "log_namespace": logged.namespace,
            "log_system": f"worker {worker} {logged.namespace}#{logged.level}",
            "log_format": "{text}{log_traceback}",
            "text": logged.text,
            "log_traceback": f"\n{logged.failure}" if logged.failure else "",
            RELAYED: logged,
            WORKER: worker,
            PID: pid,
        }
    )

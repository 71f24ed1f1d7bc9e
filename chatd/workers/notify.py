"""What systemd is told about the service (sd_notify(3), systemd.service(5)).

``READY=1`` once all workers are ready, ``RELOADING=1`` with ``MONOTONIC_USEC`` when a reload begins and ``READY=1``
when it has ended, ``STATUS=`` in words, ``STOPPING=1``, and ``WATCHDOG=1`` as long as nothing hangs.
"""

import socket
import time
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()

LOOK_S = 0.5


class Notifier:
    """Writes to the socket of that ``address``; without one it does nothing.

    ``watchdog_s`` is how often at least systemd wants to hear that all is well, 0 where it does not ask.
    """

    def __init__(self, address: str, watchdog_s: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> "Notifier":
        """As systemd has set it; the watchdog where it is meant for this process."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid) and microseconds.isdecimal()
        return cls(environ.get("NOTIFY_SOCKET", ""), int(microseconds) / 1e6 if meant else 0.0)

    def tell(self, **assignments: str | int) -> None:
        """One datagram. systemd may not be listening: that is logged, and nothing depends on it."""
        if not self._address:
            return
        lines = "\n".join(f"{name}={value}" for name, value in assignments.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto(lines.encode(), self._address)
            except OSError as error:
                log.warn("systemd cannot be told {lines}: {error}", lines=lines, error=str(error))


class Report:
    """Keeps systemd informed. ``ready``, ``well`` and ``summary`` say how it stands when they are asked."""

    def __init__(
        self,
        notifier: Notifier,
        clock: IReactorTime,
        *,
        ready: Callable[[], bool],
        well: Callable[[], bool],
        summary: Callable[[], str],
    ) -> None:
        self._notifier = notifier
        self._clock = clock
        self._ready = ready
        self._well = well
        self._summary = summary
        self._awaited = True
        self._status = ""
        self._fed_at = clock.seconds()
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def start(self) -> None:
        """From now on."""
        self._looking.start(LOOK_S).addErrback(_defect)

    def reloading(self) -> None:
        """A reload begins; it has ended when ``ready`` next says so."""
        self._awaited = True
        self._notifier.tell(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def stopping(self) -> None:
        """The end begins; the watchdog is fed until :meth:`stop`."""
        self._awaited = False
        self._notifier.tell(STOPPING=1)

    def stop(self) -> None:
        """Nothing more is said."""
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        if self._awaited and self._ready():
            self._awaited = False
            self._notifier.tell(READY=1)
        status = self._summary()
        if status != self._status:
            self._status = status
            self._notifier.tell(STATUS=status)
        now = self._clock.seconds()
        if self._notifier.watchdog_s and now - self._fed_at >= self._notifier.watchdog_s / 4 and self._well():
            self._fed_at = now
            self._notifier.tell(WATCHDOG=1)


def _defect(failure: Failure) -> None:
    log.failure("systemd is no longer informed", failure)

"""A worker process, from the inside: it does what its parent says, and ends when that is gone."""

# Twisted's classes are only partly annotated.
# mypy: allow-untyped-calls

import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger, globalLogBeginner

from chatd.workers.control import Begin, Channel, Look, Measure, Measured, Status, Stop
from chatd.workers.ending import log_ending
from chatd.workers.figures import collected
from chatd.workers.garbage import look_for_cycles_rarely
from chatd.workers.logs import limit_log
from chatd.workers.relay import Relay
from chatd.workers.worker import Worker

log = Logger()

FLUSH_S = 5.0
"""How long the last lines of the log may take to reach the parent."""


@dataclass(frozen=True)
class Equipment:
    """A worker and the registry of its figures."""

    worker: Worker
    registry: CollectorRegistry


Build = Callable[[Begin, Callable[[BaseException], None]], Equipment]
"""Makes the worker, not yet started; the second argument is told why it cannot go on."""


class Child(Factory):
    """The life of this process. ``exit_code`` is for when the reactor has stopped."""

    noisy = False

    def __init__(self, reactor: Any, build: Build) -> None:
        self._reactor = reactor
        self._build = build
        self._channel = Channel.of_worker(self)
        self._relay = Relay(self._channel.tell)
        self._worker: Worker | None = None
        self._registry: CollectorRegistry | None = None
        self._hung_up: Deferred[None] = Deferred()
        self._stopping = False
        self.exit_code = 0

    def run(self, control: int) -> None:
        """Serve the parent at the other end of the descriptor ``control``; returns when all is over."""
        # Ctrl-C and the end of a terminal reach every process there: the parent decides what follows.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with socket.socket(fileno=control) as channel:
            channel.setblocking(False)
            self._reactor.adoptStreamConnection(control, socket.AF_UNIX, self)
        globalLogBeginner.beginLoggingTo([self._relay])
        self._reactor.addSystemEventTrigger("before", "shutdown", self._wind_down)
        self._reactor.run()

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        return self._channel

    # -- what the parent says --

    def heard(self, message: Begin | Look | Measure | Stop) -> None:
        """See :class:`~chatd.workers.control.Listener`."""
        if isinstance(message, Look):
            self._channel.tell(self._status)
        elif isinstance(message, Measure):
            families = () if self._registry is None else collected(self._registry)
            self._channel.tell(Measured(number=message.number, families=families))
        elif isinstance(message, Begin):
            self._begin(message)
        else:
            self._stop()

    @property
    def _status(self) -> Status:
        if self._worker is None:
            return Status(ready=False)
        return Status(ready=self._worker.ready, dependencies=self._worker.condition.dependencies)

    def hung_up(self) -> None:
        """See :class:`~chatd.workers.control.Listener`. Without a parent nobody would start another worker here."""
        self._hung_up.callback(None)
        self._stop()

    def congested(self, congested: bool) -> None:
        """See :class:`~chatd.workers.control.Listener`."""
        self._relay.congested(congested)

    # -- beginning and end --

    def _begin(self, begin: Begin) -> None:
        limit_log(begin.order.settings.log_level, begin.order.settings.log_format)
        try:
            equipment = self._build(begin, self._broken)
        except Exception as error:
            self._broken(error)
            return
        self._worker, self._registry = equipment.worker, equipment.registry
        self._worker.startService()
        look_for_cycles_rarely()

    def _broken(self, error: BaseException) -> None:
        """Something that no retry in this process mends."""
        log_ending(error)
        self.exit_code = 1
        self._stop()

    def _stop(self) -> None:
        # Not at once: whoever says so may be in the middle of starting.
        self._reactor.callWhenRunning(self._reactor.callLater, 0, self._shut_down)

    def _shut_down(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()

    def _wind_down(self) -> Deferred[None]:
        """SIGTERM comes here, too."""
        self._stopping = True
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        if self._worker is not None:
            await self._worker.stopService()
        log.info("this worker has ended")
        if not self._hung_up.called:
            self._channel.close()
            self._reactor.callLater(FLUSH_S, self._channel.transport.abortConnection)
            await self._hung_up

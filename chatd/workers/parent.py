"""The process that holds the sockets and keeps the workers running. It does no chat work itself."""

# Twisted's application and endpoint classes are not annotated.
# mypy: allow-untyped-calls

import os
import random
import socket
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.records.condition import Dependency
from chatd.settings.base import Secret, SettingsError
from chatd.settings.model import Settings
from chatd.workers.control import Family
from chatd.workers.embedded import EmbeddedPostgres
from chatd.workers.ending import end_in_failure
from chatd.workers.figures import WorkerState, exposition
from chatd.workers.listeners import Listeners, listen
from chatd.workers.logs import limit_log
from chatd.workers.notify import Notifier, Report
from chatd.workers.orders import Order
from chatd.workers.overview import Overview, OverviewSite
from chatd.workers.resources import allow_many_descriptors
from chatd.workers.signals import Signals
from chatd.workers.spawning import Spawner
from chatd.workers.supervisor import Supervisor

log = Logger()

PORT_FREE_WITHIN_S = 3.0
"""Workers of a parent that was killed leave the port at once, but not before they have noticed."""
MEASURE_WITHIN_S = 2.0
FIXED = ("host", "port", "socket", "workers", "dev", "state_dir", "log_format", "metrics")
"""What a reload cannot change: sockets, folders and numbers that this process holds."""


class Parent(Service):
    """chatd in ``workers`` processes and this one.

    ``sockets`` are those that systemd has handed over. ``reread`` gives the order of a reload, or raises
    SettingsError. ``announce`` is told the address once it is served.
    """

    def __init__(
        self,
        order: Order,
        workers: int,
        reactor: Any,
        database: EmbeddedPostgres | None,
        sockets: Sequence[socket.socket],
        reread: Callable[[], Order],
        announce: Callable[[str], None],
        notifier: Notifier,
    ) -> None:
        self._order = order
        self._workers = workers
        self._reactor = reactor
        self._database = database
        self._inherited = list(sockets)
        self._reread = reread
        self._announce = announce
        self._listeners: Listeners | None = None
        self._overview: IListeningPort | None = None
        spawner = Spawner(reactor, self._sockets, os.environ)
        self._supervisor = Supervisor(workers, spawner.spawn, reactor, random.random)
        self._report = Report(
            notifier,
            reactor,
            ready=lambda: self._supervisor.ready and not self._supervisor.rolling,
            well=lambda: not self._supervisor.silent,
            summary=lambda: self._supervisor.summary,
        )
        self._set_log_level: Callable[[str], None]

    def startService(self) -> None:
        """Start everything in its order. Called after twistd has become a daemon, if it does."""
        super().startService()
        allow_many_descriptors()
        settings = self._order.settings
        self._set_log_level = limit_log(settings.log_level, settings.log_format)
        self._reactor.callWhenRunning(Signals(self._reactor, self._reload).install)
        Deferred.fromCoroutine(self._start()).addErrback(self._start_failed)

    def _start_failed(self, failure: Failure) -> None:
        if self.running:
            end_in_failure(self._reactor, failure.value or RuntimeError("unknown"))

    async def _start(self) -> None:
        settings = self._order.settings
        self._listeners = await self._listen()
        if self._database is not None:
            dsn = Secret(await self._database.start())
            self._order = with_dsn(self._order, dsn)
        if settings.metrics.port:
            endpoint = TCP4ServerEndpoint(self._reactor, settings.metrics.port, interface=settings.metrics.host)
            supervisor = self._supervisor
            overview = Overview(
                lambda: supervisor.ready, lambda: supervisor.states, lambda: self._dependencies, self._figures
            )
            self._overview = await endpoint.listen(OverviewSite(overview, self._reactor))
        if self.running:
            self._supervisor.start(self._order)
            self._report.start()
            self._announce(self._listeners.address)

    async def _listen(self) -> Listeners:
        deadline = self._reactor.seconds() + PORT_FREE_WITHIN_S
        while True:
            try:
                return listen(self._order.settings, self._inherited, self._workers)
            except CannotListenError:
                if self._reactor.seconds() >= deadline or not self.running:
                    raise
                await deferLater(self._reactor, 0.1)

    def _sockets(self, number: int) -> list[socket.socket]:
        assert self._listeners is not None, "workers are started after the sockets listen"
        return self._listeners.of(number)

    async def _figures(self) -> bytes:
        asked = {slot.number: slot.process.measure() for slot in self._supervisor.slots if slot.process is not None}
        for measured in asked.values():
            measured.addTimeout(MEASURE_WITHIN_S, self._reactor)
        answers = await DeferredList(list(asked.values()), consumeErrors=True)
        figures: dict[int, tuple[Family, ...]] = {
            number: answer for number, (answered, answer) in zip(asked, answers, strict=True) if answered
        }
        states = {slot.number: WorkerState(slot.ready, slot.restarts) for slot in self._supervisor.slots}
        return exposition(states, figures)

    @property
    def _dependencies(self) -> dict[str, Dependency]:
        found = self._supervisor.dependencies
        if self._database is not None:
            found["embedded"] = self._database.condition
        return found

    def _reload(self) -> None:
        """SIGHUP: take the configuration as it is now, if it is sound, by replacing the workers."""
        if not self._supervisor.started:
            log.warn("not reloaded: chatd is still starting, or ending")
            return
        self._report.reloading()
        try:
            order = self._reread()
            _check_fixed(self._order.settings, order.settings)
        except SettingsError as error:
            log.error("not reloaded, everything goes on as it is: {error}", error=str(error))
            return
        if self._database is not None:
            order = with_dsn(order, self._order.credentials.dsn)
        log.info("reloading: workers are replaced one by one")
        self._order = order
        self._set_log_level(order.settings.log_level)
        self._supervisor.replace(order)

    def stopService(self) -> Deferred[None]:
        """Have the workers drain, then stop the rest in the reverse order."""
        super().stopService()
        self._report.stopping()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        gone = self._supervisor.stop()
        if self._listeners is not None:
            self._listeners.close()
        await gone
        if self._overview is not None:
            await maybeDeferred(self._overview.stopListening)
        if self._database is not None:
            await self._database.stop()
        self._report.stop()


def with_dsn(order: Order, dsn: Secret) -> Order:
    """The same with the database where it was found to be."""
    return msgspec.structs.replace(order, credentials=msgspec.structs.replace(order.credentials, dsn=dsn))


def _check_fixed(before: Settings, after: Settings) -> None:
    for name in FIXED:
        if getattr(before, name) != getattr(after, name):
            raise SettingsError(name, "reload", "has changed, which takes a restart")

"""chatd as a service: in this process alone, or as the parent of workers."""

# Twisted's application and endpoint classes are not annotated.
# mypy: allow-untyped-calls

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.composition import build_worker, new_metrics
from chatd.edge.announced import announcement
from chatd.edge.clients import Clients
from chatd.edge.metrics import Metrics, MetricsSite
from chatd.settings.base import Secret
from chatd.settings.model import MOST_WORKERS, Settings
from chatd.workers import credentials, development
from chatd.workers.activation import first_environment, inherited
from chatd.workers.child import Equipment
from chatd.workers.control import Begin
from chatd.workers.embedded import EmbeddedPostgres
from chatd.workers.ending import end_in_failure
from chatd.workers.garbage import look_for_cycles_rarely
from chatd.workers.listeners import UNIX, Listeners, check_inherited, listen
from chatd.workers.logs import limit_log
from chatd.workers.notify import Notifier, Report
from chatd.workers.orders import Order
from chatd.workers.parent import Parent, with_dsn
from chatd.workers.ports import InheritedSocket
from chatd.workers.postgres_folder import default_state_folder
from chatd.workers.resources import allow_many_descriptors
from chatd.workers.signals import Signals
from chatd.workers.worker import Worker

log = Logger()


def build(settings: Settings, reactor: Any, reload: Callable[[], Settings]) -> IService:
    """The whole of chatd, not yet started: in this process alone, or as the parent of workers.

    ``reload`` reads the settings again. Raises SettingsError for what can be seen to be wrong without starting.
    """
    sockets = inherited(first_environment(), os.getpid())
    check_inherited(settings, sockets)
    notifier = Notifier.from_environment(os.environ, os.getpid())
    identity: development.DevelopmentIdentity | None = None
    database: EmbeddedPostgres | None = None
    if settings.dev:
        state = Path(settings.state_dir) if settings.state_dir else default_state_folder()
        identity = development.prepare(state, time.time)
        database = None if settings.database.dsn else EmbeddedPostgres(state, None, reactor)
    order = credentials.order(settings, identity)
    announce = partial(_announce, settings, identity)
    workers = worker_count(settings)
    if workers:
        reread = partial(_reread, reload, identity)
        return Parent(order, workers, reactor, database, sockets, reread, announce, notifier)
    return Chatd(order, reactor, database, sockets, announce, notifier)


def worker_count(settings: Settings) -> int:
    """How many worker processes there are to be; 0 for none but this one."""
    if settings.workers != "auto":
        return settings.workers
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def _reread(reload: Callable[[], Settings], identity: development.DevelopmentIdentity | None) -> Order:
    return credentials.order(reload(), identity)


def _announce(settings: Settings, identity: development.DevelopmentIdentity | None, address: str) -> None:
    scheme = "https" if settings.tls.certificate else "http"
    url = address if address.startswith(UNIX) else f"{scheme}://{address}"
    log.info("serving at {url}", url=url)
    if identity is not None:
        _print(development.banner(identity, url))


class Chatd(Service):
    """chatd in one process. ``announce`` is told the address once it is served."""

    def __init__(
        self,
        order: Order,
        reactor: Any,
        database: EmbeddedPostgres | None,
        sockets: list[socket.socket],
        announce: Callable[[str], None],
        notifier: Notifier,
    ) -> None:
        self._order = order
        self._reactor = reactor
        self._database = database
        self._inherited = sockets
        self._announce = announce
        self._worker: Worker | None = None
        self._listeners: Listeners | None = None
        self._report = Report(
            notifier,
            reactor,
            ready=lambda: self._worker is not None and self._worker.ready,
            well=lambda: True,
            summary=lambda: "one process, without workers",
        )

    def startService(self) -> None:
        """Start the parts in their order. Called after twistd has become a daemon, if it does."""
        super().startService()
        allow_many_descriptors()
        limit_log(self._order.settings.log_level, self._order.settings.log_format)
        self._reactor.callWhenRunning(Signals(self._reactor, _no_reload).install)
        Deferred.fromCoroutine(self._start()).addErrback(self._start_failed)

    async def _start(self) -> None:
        if self._database is not None:
            self._order = with_dsn(self._order, Secret(await self._database.start()))
        if self.running:
            settings, secrets = self._order.settings, credentials.opened(self._order)
            listeners = listen(settings, self._inherited, 1)
            address = listeners.address
            clients = Clients(settings)
            announced = announcement(settings, clients, self._reactor)
            self._worker = build_worker(
                settings,
                self._reactor,
                secrets,
                self._order.credentials.dsn.reveal(),
                [InheritedSocket(self._reactor, one, secrets.tls, announced) for one in listeners.of(1)],
                clients,
                metrics := new_metrics(),
                lambda: self._announce(address),
                self._broken,
                _metrics_port(settings, metrics, self._reactor),
            )
            self._listeners = listeners
            self._worker.startService()
            self._report.start()
            look_for_cycles_rarely()

    def _start_failed(self, failure: Failure) -> None:
        # Whoever ends it gives up the start.
        if self.running:
            self._broken(failure.value or RuntimeError("unknown"))

    def _broken(self, error: BaseException) -> None:
        end_in_failure(self._reactor, error)

    def stopService(self) -> Deferred[None]:
        """Stop the parts in the reverse order, each after the one before it has ended."""
        super().stopService()
        self._report.stopping()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._worker is not None:
            await self._worker.stopService()
        if self._listeners is not None:
            self._listeners.close()
        if self._database is not None:
            await self._database.stop()
        self._report.stop()


def build_child(begin: Begin, reactor: Any, broken: Callable[[BaseException], None]) -> Equipment:
    """What a worker process runs: the parent has said all that it needs."""
    settings, secrets = begin.order.settings, credentials.opened(begin.order)
    sockets = [socket.socket(fileno=descriptor) for descriptor in begin.descriptors]
    clients = Clients(settings)
    announced = announcement(settings, clients, reactor)
    metrics = new_metrics()
    worker = build_worker(
        settings,
        reactor,
        secrets,
        begin.order.credentials.dsn.reveal(),
        [InheritedSocket(reactor, one, secrets.tls, announced) for one in sockets],
        clients,
        metrics,
        lambda: log.info("worker {n} listens", n=begin.worker),
        broken,
    )
    return Equipment(worker, metrics.registry)


def _metrics_port(
    settings: Settings, metrics: Metrics, reactor: Any
) -> tuple[IStreamServerEndpoint, IProtocolFactory] | None:
    if not settings.metrics.port:
        return None
    endpoint = TCP4ServerEndpoint(reactor, settings.metrics.port, interface=settings.metrics.host)
    return endpoint, MetricsSite(metrics, reactor)


def _print(text: str) -> None:
    """To the terminal itself: under twistd, standard output is the log, where tokens do not belong."""
    print(text, file=sys.__stdout__, flush=True)


def _no_reload() -> None:
    log.warn("SIGHUP has no effect on chatd in one process: run it with workers to reload, or start it again")

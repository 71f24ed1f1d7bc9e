"""The composition root: every part is made here, once, and given what it needs."""

# Twisted's application and endpoint classes are not annotated.
# mypy: allow-untyped-calls

import atexit
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.auth.identity import Identity, build_identity, read_keys, trusted
from chatd.auth.revocable import RevocableTokens
from chatd.bus.local import LocalBus
from chatd.edge.admission import Admission
from chatd.edge.gateway import Gateway
from chatd.edge.metrics import Metrics, MetricsSite
from chatd.edge.sightings import Sightings
from chatd.edge.site import build_site
from chatd.edge.tls import context_factory
from chatd.edge.websocket import ConnectionFactory
from chatd.handlers.assembly import Parts, assemble
from chatd.handlers.catalogue import DECLARATIONS, KINDS
from chatd.handlers.kinds import Reader
from chatd.records import Entry
from chatd.router import Router
from chatd.security.breaker import State
from chatd.security.jwks import KeySet
from chatd.security.keyring import Keyring, MasterKeyError, MasterKeys
from chatd.security.tokens import Issuer
from chatd.settings import Settings, SettingsError
from chatd.settings_issuers import IssuerSettings
from chatd.settings_issuers import issuers as configured_issuers
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.exchange import Exchange
from chatd.state.hub import Hub
from chatd.state.relations import Strangers
from chatd.state.revocations import Revocations
from chatd.store import migrate
from chatd.store.pool import Pool
from chatd.store.stores import PREPARED, postgres_stores
from chatd.store.writer import LogWriter
from chatd.workers import development
from chatd.workers.embedded import EmbeddedPostgres, EmbeddedPostgresError, default_state_folder
from chatd.workers.garbage import look_for_cycles_rarely
from chatd.workers.introspection_watch import IntrospectionWatch
from chatd.workers.logs import limit_log
from chatd.workers.revocation_watch import RevocationWatch
from chatd.workers.worker import Worker

log = Logger()

BACKLOG = 1024
"""Connects that may wait to be accepted: after a restart all clients come back at once."""


@dataclass(frozen=True)
class Secrets:
    """What tokens are checked against and what bodies are sealed with.

    ``configured`` says where else to look, for those of the ``issuers`` whose keys or word on a token are asked for,
    and ``authorities`` whose certificates count there; None stands for the system's.
    """

    issuers: tuple[Issuer, ...]
    masters: MasterKeys
    configured: tuple[IssuerSettings, ...] = ()
    authorities: Any | None = None


def build(settings: Settings, reactor: Any) -> IService:
    """The whole of chatd, not yet started. Raises SettingsError for what can be seen to be wrong without starting."""
    if settings.dev:
        state = Path(settings.state_dir) if settings.state_dir else default_state_folder()
        identity = development.prepare(state, time.time)
        secrets = Secrets(
            issuers=(Issuer(identity.issuer, identity.audience, KeySet.from_jwks(identity.signing_key.public_jwks())),),
            masters=MasterKeys.parse(identity.master_keys.reveal()),
        )
        database = None if settings.database.dsn else EmbeddedPostgres(state, None, reactor)
        return Chatd(settings, reactor, secrets, database, lambda url: _print(development.banner(identity, url)))
    return Chatd(settings, reactor, _secrets(settings), None, _say_nothing)


def _secrets(settings: Settings) -> Secrets:
    configured = tuple(configured_issuers(settings.tokens, os.environ))
    issuers = tuple(read_keys(issuer) for issuer in configured)
    try:
        masters = MasterKeys.parse(settings.encryption.master_keys.reveal())
    except MasterKeyError as error:
        raise SettingsError("encryption.master_keys", "the master keys", str(error)) from error
    return Secrets(issuers=issuers, masters=masters, configured=configured, authorities=trusted(settings.tokens))


class Chatd(Service):
    """chatd in one process. ``announce`` is told the address once it is served."""

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        secrets: Secrets,
        database: EmbeddedPostgres | None,
        announce: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._secrets = secrets
        self._database = database
        self._announce = announce
        self._endpoint = _endpoint(settings, reactor)
        self._worker: Worker | None = None

    def startService(self) -> None:
        """Start the parts in their order. Called after twistd has become a daemon, if it does."""
        super().startService()
        limit_log(self._settings.log_level)
        Deferred.fromCoroutine(self._start()).addErrback(self._start_failed)

    async def _start(self) -> None:
        dsn = self._settings.database.dsn.reveal()
        if self._database is not None:
            dsn = await self._database.start()
        if self.running:
            self._worker = build_worker(
                self._settings, self._reactor, self._secrets, dsn, self._endpoint, self._listening, self._broken
            )
            self._worker.startService()
            look_for_cycles_rarely()

    def _start_failed(self, failure: Failure) -> None:
        self._broken(failure.value or RuntimeError("unknown"))

    def _listening(self, port: IListeningPort) -> None:
        address: Any = port.getHost()
        host = f"[{address.host}]" if ":" in address.host else address.host
        url = f"{'https' if self._settings.tls.certificate else 'http'}://{host}:{address.port}"
        log.info("serving at {url}", url=url)
        self._announce(url)

    def _broken(self, error: BaseException) -> None:
        """Something that no retry mends: say it in one line and end with exit code 1."""
        if isinstance(error, EmbeddedPostgresError | migrate.MigrationError | CannotListenError | SettingsError):
            reason = str(error)
        else:
            log.failure("chatd cannot go on", Failure(error))
            reason = f"{type(error).__name__}: {error}"
        log.critical("chatd cannot go on: {reason}", reason=reason)
        print(f"chatd: {reason}", file=sys.__stderr__, flush=True)
        atexit.register(_exit_with_failure)
        self._reactor.callWhenRunning(self._reactor.stop)

    def stopService(self) -> Deferred[None]:
        """Stop the parts in the reverse order, each after the one before it has ended."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._worker is not None:
            await self._worker.stopService()
        if self._database is not None:
            await self._database.stop()


def build_worker(
    settings: Settings,
    reactor: Any,
    secrets: Secrets,
    dsn: str,
    endpoint: IStreamServerEndpoint,
    listening: Callable[[IListeningPort], None],
    broken: Callable[[BaseException], None],
) -> Worker:
    """One worker with everything in it."""
    limits = settings.limits
    pool = Pool(
        reactor,
        dsn,
        size=settings.database.pool_size,
        max_waiting=settings.database.max_waiting,
        connect_timeout=settings.database.connect_timeout,
        statement_timeout=settings.database.statement_timeout,
    )
    stores, bus = postgres_stores(pool, max_waiting=limits.write_queue, failed=_log_unforeseen), LocalBus()
    directory = Directory(stores.conversations)
    authors = Authors(stores.keys, Keyring(secrets.masters))
    metrics = Metrics(declaration.name for declaration in DECLARATIONS)
    reader = Reader(KINDS, authors, partial(_note_unreadable, metrics))
    hub, exchange = Hub(reader.event), Exchange(_log_unforeseen)
    bus.subscribe(hub.receive, hub.notice, exchange.heed)
    identity = build_identity(settings, secrets.issuers, secrets.configured, secrets.authorities, reactor, time.time)
    writer = LogWriter(stores.log, bus, directory, max_waiting=limits.write_queue, failed=_log_unforeseen)
    handlers = assemble(
        Parts(
            stores=stores,
            log=writer,
            bus=bus,
            hub=hub,
            exchange=exchange,
            directory=directory,
            authors=authors,
            reader=reader,
            relations=Strangers(),
            limits=limits,
            tokens=settings.tokens,
            token_reader=identity.verifier,
            now=_now,
        )
    )
    router = Router(handlers, _log_failure, observe=metrics.observe if settings.metrics.port else None)
    revocations = Revocations()
    gateway = Gateway(
        router=router,
        verifier=RevocableTokens(identity.verifier, revocations),
        revocations=revocations,
        sightings=Sightings(stores.devices, reactor.seconds),
        hub=hub,
        admission=Admission(
            max_connections=limits.max_connections,
            max_per_address=limits.max_connections_per_address,
            max_unauthenticated=limits.max_unauthenticated,
        ),
        settings=settings,
        reactor=reactor,
        now=time.time,
        ready=lambda: worker.ready,
        features=tuple(declaration.name for declaration in router.declarations),
    )
    connections = ConnectionFactory(gateway)
    watch = RevocationWatch(stores.devices, revocations, exchange, reactor, time.time, connections.end_revoked)
    introspecting = IntrospectionWatch(identity.introspections, connections.living, connections.end_shown, reactor)
    _measure(metrics, identity)
    metrics.gauge("connections", "Sockets that are open.", lambda: gateway.admission.connections)
    metrics.gauge("sockets_refused", "Sockets that found no room, since the start.", lambda: gateway.admission.refused)
    metrics.gauge("log_writer_waiting", "Changes that wait to be written.", lambda: writer.waiting)
    metrics.gauge("database_waiting", "Statements that wait for a connection.", lambda: pool.occupancy.waiting)
    metrics.gauge("database_connections", "Connections to PostgreSQL.", lambda: pool.occupancy.alive)
    worker = Worker(
        reactor,
        pool,
        migrate.load(),
        PREPARED,
        build_site(gateway, connections),
        connections,
        endpoint,
        drain=settings.timeouts.drain,
        listening=listening,
        broken=broken,
        metrics=_metrics_port(settings, metrics, reactor),
        watches=(identity, watch, introspecting),
    )
    return worker


def _measure(metrics: Metrics, identity: Identity) -> None:
    """What is asked of auth services, all of them together."""
    sources, introspections = identity.sources.values(), identity.introspections.values()
    metrics.gauge("key_fetches", "Key sets asked for.", lambda: sum(one.fetches for one in sources))
    metrics.gauge("key_fetch_failures", "Key sets not had.", lambda: sum(one.failures for one in sources))
    metrics.gauge("introspections", "Questions about tokens.", lambda: sum(one.questions for one in introspections))
    metrics.gauge("introspection_failures", "Those in vain.", lambda: sum(one.failures for one in introspections))
    metrics.gauge(
        "introspection_breakers_open",
        "Auth services that are not asked since they failed.",
        lambda: sum(one.breaker.state is not State.CLOSED for one in introspections),
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _endpoint(settings: Settings, reactor: Any) -> IStreamServerEndpoint:
    if settings.tls.certificate:
        context = context_factory(settings.tls.certificate, settings.tls.key)
        return SSL4ServerEndpoint(reactor, settings.port, context, backlog=BACKLOG, interface=settings.host)
    return TCP4ServerEndpoint(reactor, settings.port, backlog=BACKLOG, interface=settings.host)


def _metrics_port(
    settings: Settings, metrics: Metrics, reactor: Any
) -> tuple[IStreamServerEndpoint, IProtocolFactory] | None:
    if not settings.metrics.port:
        return None
    endpoint = TCP4ServerEndpoint(reactor, settings.metrics.port, interface=settings.metrics.host)
    return endpoint, MetricsSite(metrics, reactor)


def _log_unforeseen(error: BaseException) -> None:
    log.failure("the store failed", Failure(error))


def _log_failure(command: str, error: BaseException) -> None:
    log.failure("{command} failed", Failure(error), command=command)


def _note_unreadable(metrics: Metrics, entry: Entry, reason: str) -> None:
    metrics.unreadable()
    log.error(
        "unreadable: {conversation} {seq} of {author}: {reason}",
        conversation=entry.conversation,
        seq=entry.seq,
        author=entry.author,
        reason=reason,
    )


def _print(text: str) -> None:
    """To the terminal itself: under twistd, standard output is the log, where tokens do not belong."""
    print(text, file=sys.__stdout__, flush=True)


def _say_nothing(url: str) -> None:
    """The log says it."""


def _exit_with_failure() -> None:
    """twistd knows no exit code of a service's own; this comes last, when it has tidied up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)

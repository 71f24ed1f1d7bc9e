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

from chatd.auth.configured import ConfiguredKeys
from chatd.auth.revocable import RevocableTokens
from chatd.bus.wiring import wire
from chatd.contacts.asking import AskedContacts
from chatd.edge.admission import Admission
from chatd.edge.gateway import Gateway
from chatd.edge.metrics import Metrics, MetricsSite
from chatd.edge.sightings import Sightings
from chatd.edge.site import build_site
from chatd.edge.tls import context_factory
from chatd.edge.websocket import ConnectionFactory
from chatd.errors import ServerError
from chatd.handlers.assembly import Parts, assemble
from chatd.handlers.catalogue import DECLARATIONS, KINDS
from chatd.handlers.indexing import Indexer
from chatd.handlers.introductions import Introductions
from chatd.handlers.kinds import Reader
from chatd.records import Claims, Entry
from chatd.router import Router
from chatd.security.jwks import KeySet, KeySetError
from chatd.security.keyring import Keyring, MasterKeyError, MasterKeys
from chatd.security.tokens import Issuer, TokenVerifier
from chatd.settings import Settings, SettingsError
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.exchange import Exchange
from chatd.state.relations import Relations
from chatd.state.revocations import Revocations
from chatd.store import migrate
from chatd.store.pool import Pool
from chatd.store.stores import PREPARED, postgres_stores
from chatd.store.writer import LogWriter
from chatd.workers import development
from chatd.workers.embedded import EmbeddedPostgres, EmbeddedPostgresError, default_state_folder
from chatd.workers.garbage import look_for_cycles_rarely
from chatd.workers.logs import limit_log
from chatd.workers.revocation_watch import RevocationWatch
from chatd.workers.rhythm import Rhythm
from chatd.workers.worker import Worker

log = Logger()

BACKLOG = 1024
"""Connects that may wait to be accepted: after a restart all clients come back at once."""


@dataclass(frozen=True)
class Secrets:
    """What tokens are checked against and what bodies are sealed with."""

    issuer: Issuer
    masters: MasterKeys


def build(settings: Settings, reactor: Any) -> IService:
    """The whole of chatd, not yet started. Raises SettingsError for what can be seen to be wrong without starting."""
    if settings.dev:
        state = Path(settings.state_dir) if settings.state_dir else default_state_folder()
        identity = development.prepare(state, time.time)
        secrets = Secrets(
            issuer=Issuer(identity.issuer, identity.audience, KeySet.from_jwks(identity.signing_key.public_jwks())),
            masters=MasterKeys.parse(identity.master_keys.reveal()),
        )
        database = None if settings.database.dsn else EmbeddedPostgres(state, None, reactor)
        return Chatd(settings, reactor, secrets, database, lambda url: _print(development.banner(identity, url)))
    return Chatd(settings, reactor, _secrets(settings), None, _say_nothing)


def _secrets(settings: Settings) -> Secrets:
    tokens = settings.tokens
    path = tokens.jwks_file or tokens.pem_file
    try:
        data = Path(path).read_bytes()
        keys = KeySet.from_jwks(data, allow_hs256=tokens.hs256) if tokens.jwks_file else KeySet.from_pem(data)
    except OSError as error:
        raise SettingsError("tokens", path, f"cannot be read: {error.strerror}") from error
    except KeySetError as error:
        raise SettingsError("tokens", path, str(error)) from error
    try:
        masters = MasterKeys.parse(settings.encryption.master_keys.reveal())
    except MasterKeyError as error:
        raise SettingsError("encryption.master_keys", "the master keys", str(error)) from error
    return Secrets(issuer=Issuer(tokens.issuer, tokens.audience, keys), masters=masters)


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
    rhythm = Rhythm(reactor, _log_unforeseen)
    stores = postgres_stores(pool, max_waiting=limits.write_queue, failed=_log_unforeseen)
    directory = Directory(stores.conversations)
    authors = Authors(stores.keys, Keyring(secrets.masters))
    metrics = Metrics(declaration.name for declaration in DECLARATIONS)
    reader = Reader(KINDS, authors, partial(_note_unreadable, metrics))
    exchange = Exchange(_log_unforeseen)
    wiring = wire(settings, reactor, pool, stores, directory, authors, reader, failed=_log_unforeseen)
    hub, bus = wiring.hub, wiring.bus
    bus.subscribe(hub.receive, hub.notice, exchange.heed)
    relations = Relations(
        stores.relations,
        exchange,
        reactor.seconds,
        policy=settings.contacts.policy,
        contacts=AskedContacts(settings.contacts, reactor),
    )
    introductions = Introductions(stores.profiles, authors, reader, bus)
    index = Indexer(authors, settings.search.max_tokens).index if settings.search.enabled else None
    writer = LogWriter(stores.log, bus, directory, max_waiting=limits.write_queue, failed=_log_unforeseen, index=index)
    for name, help, value in wiring.figures:
        metrics.gauge(name, help, value)
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
            relations=relations,
            limits=limits,
            tokens=settings.tokens,
            groups=settings.groups,
            now=_now,
            presence=settings.presence,
            rhythm=rhythm,
            gauge=metrics.gauge,
            search=settings.search,
        )
    )
    router = Router(handlers, _log_failure, observe=metrics.observe if settings.metrics.port else None)
    revocations = Revocations()
    gateway = Gateway(
        router=router,
        verifier=RevocableTokens(ConfiguredKeys(_token_verifier(settings, secrets)), revocations),
        revocations=revocations,
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
        arrived=partial(_arrived, introductions, Sightings(stores.devices, reactor.seconds)),
    )
    connections = ConnectionFactory(gateway)
    watch = RevocationWatch(stores.devices, revocations, exchange, reactor, time.time, connections.end_revoked)
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
        watches=(watch,),
        rhythm=rhythm,
        bus=wiring.carrier,
    )
    return worker


def _token_verifier(settings: Settings, secrets: Secrets) -> TokenVerifier:
    tokens = settings.tokens
    return TokenVerifier([secrets.issuer], leeway=tokens.leeway, max_lifetime=tokens.max_lifetime, clock=time.time)


def _now() -> datetime:
    return datetime.now(UTC)


def _arrived(introductions: Introductions, sightings: Sightings, claims: Claims, device: str) -> None:
    """In the background: nobody waits for what is noted of a token, and what it says of its person."""
    sightings.note(claims, device)
    if introductions.are_news(claims):
        Deferred.fromCoroutine(_introduce(introductions, claims)).addErrback(_log_introduction)


async def _introduce(introductions: Introductions, claims: Claims) -> None:
    try:
        await introductions.introduce(claims)
    except ServerError as error:
        log.warn("a profile was not taken from a token: {detail}", detail=error.detail)


def _log_introduction(failure: Failure) -> None:
    log.failure("a profile could not be taken from a token", failure)


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
    log.failure("the store, or what follows from it, failed", Failure(error))


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

"""One worker, composed: every part is made here, once, and given what it needs."""


# Twisted's application and endpoint classes are not annotated.
# mypy: allow-untyped-calls

import os
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.auth.condition import auth_figures, auth_services
from chatd.auth.identity import build_identity
from chatd.auth.revocable import RevocableTokens
from chatd.bus.wiring import wire
from chatd.cache.wiring import build_caching
from chatd.contacts.asking import AskedContacts
from chatd.edge.admission import Admission
from chatd.edge.arrivals import Arrivals
from chatd.edge.clients import Clients
from chatd.edge.descriptions import descriptions
from chatd.edge.gateway import Gateway
from chatd.edge.memory import MemoryWatch
from chatd.edge.metrics import Metrics
from chatd.edge.sightings import Sightings
from chatd.edge.site import build_site
from chatd.edge.websocket import ConnectionFactory
from chatd.handlers.assembly import Parts, assemble
from chatd.handlers.catalogue import DECLARATIONS, KINDS
from chatd.handlers.indexing import Indexer
from chatd.handlers.introductions import Introductions
from chatd.handlers.kinds import Reader
from chatd.records.condition import FINE, Dependency
from chatd.records.logs import Entry
from chatd.router import OrderedCaller, Router
from chatd.security.counts import KeyedCount
from chatd.security.keyring import Keyring
from chatd.security.limits import Limit
from chatd.security.sealing import Unreadable
from chatd.settings.model import Settings
from chatd.state.authors import Authors
from chatd.state.census import Census
from chatd.state.directory import Directory
from chatd.state.exchange import Exchange
from chatd.state.relations import Relations
from chatd.state.revocations import Revocations
from chatd.state.spending import Spending
from chatd.state.throttle import Throttle
from chatd.store import migrate
from chatd.store.epochs import PostgresEpochs, new_epoch
from chatd.store.pool import Pool
from chatd.store.stores import PREPARED, postgres_stores
from chatd.store.writer import LogWriter
from chatd.workers.credentials import Secrets
from chatd.workers.epoch_watch import EpochWatch
from chatd.workers.introspection_watch import IntrospectionWatch
from chatd.workers.key_watch import KeyWatch
from chatd.workers.resources import releasing, resident_memory, sockets_for_clients
from chatd.workers.revocation_watch import RevocationWatch
from chatd.workers.rhythm import Rhythm
from chatd.workers.worker import Worker

log = Logger()


def new_metrics() -> Metrics:
    """The figures of one worker, all at their beginning."""
    return Metrics(declaration.name for declaration in DECLARATIONS)


def build_worker(
    settings: Settings,
    reactor: Any,
    secrets: Secrets,
    dsn: str,
    endpoints: Sequence[IStreamServerEndpoint],
    clients: Clients,
    metrics: Metrics,
    listening: Callable[[], None],
    broken: Callable[[BaseException], None],
    figures: tuple[IStreamServerEndpoint, IProtocolFactory] | None = None,
) -> Worker:
    """One worker with everything in it. ``figures`` is a port for the metrics, and what serves them there."""
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
    epoch = EpochWatch(PostgresEpochs(pool, new_epoch), rhythm, lambda change: worker.give_up(change))
    pool.guard(epoch.admit)
    directory = Directory(stores.conversations)
    authors = Authors(stores.keys, Keyring(secrets.masters))
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
    caching = build_caching(settings, reactor, stores, authors, time.time, lambda: epoch.current)
    caching.listen(exchange)
    identity = build_identity(
        settings, secrets.issuers, secrets.configured, secrets.authorities, reactor, time.time, caching.shared
    )
    introductions = Introductions(stores.profiles, authors, reader, bus, exchange)
    index = Indexer(authors, settings.search.max_tokens).index if settings.search.enabled else None
    writer = LogWriter(stores.log, bus, directory, max_waiting=limits.write_queue, failed=_log_unforeseen, index=index)
    for name, help, value in (*wiring.figures, *caching.figures, *auth_figures(identity)):
        metrics.gauge(name, help, value)
    handlers = assemble(
        Parts(
            stores=caching.stores,
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
            token_reader=identity.verifier,
            groups=settings.groups,
            now=_now,
            presence=settings.presence,
            rhythm=rhythm,
            gauge=metrics.gauge,
            search=settings.search,
            epoch=lambda: epoch.current,
        )
    )
    throttle = Throttle(settings.rates, secrets.masters.derive(b"chatd/limits/1"), reactor.seconds)
    me = os.urandom(16)
    Spending(throttle, bus, exchange, rhythm, me, reactor.seconds)
    observe = metrics.observe if settings.metrics.port else None
    router = Router(handlers, partial(_log_failure, metrics), observe=observe, limit=throttle.refusal)
    revocations = Revocations()
    gateway = Gateway(
        router=router,
        verifier=RevocableTokens(identity.verifier, revocations, reactor),
        revocations=revocations,
        hub=hub,
        admission=Admission(
            limits,
            clients,
            throttle.key,
            room=lambda count: not memory.short and count < sockets_for_clients(settings.database.pool_size),
        ),
        clients=clients,
        throttle=throttle,
        settings=settings,
        reactor=reactor,
        now=time.time,
        condition=lambda: worker.condition,
        features=tuple(declaration.name for declaration in router.declarations),
        epoch=lambda: epoch.current,
        arrived=Arrivals(Sightings(stores.devices, reactor.seconds), introductions).note,
    )
    Census(gateway.admission.shared, bus, exchange, rhythm, me, reactor.seconds)
    connections = ConnectionFactory(gateway)
    memory = MemoryWatch(limits.memory_bytes, resident_memory(), releasing(), lambda: connections.handlers, reactor)
    RevocationWatch(stores.devices, revocations, exchange, rhythm, time.time, connections.end_revoked)
    IntrospectionWatch(identity.introspections, connections.living, connections.end_shown, rhythm)
    keys = KeyWatch(stores.keys, authors, secrets.masters.versions, exchange, rhythm)
    metrics.gauge(
        "master_keys_missing", "Master keys that wrap data keys and are not configured.", lambda: len(keys.missing)
    )
    metrics.gauge("connections", "Sockets that are open.", lambda: gateway.admission.connections)
    metrics.gauge("sockets_refused", "Sockets that found no room, since the start.", lambda: gateway.admission.refused)
    limited: Iterable[Limit | KeyedCount] = (*throttle.limits, *gateway.admission.shared)
    refused = {limit.name: partial(getattr, limit, "refused") for limit in limited}
    metrics.gauges("rate_limited", "What was refused by a limit, since the start.", "limit", refused)
    metrics.gauge("memory_short", "Whether sockets are refused for want of memory.", lambda: memory.short)
    metrics.gauge("memory_dropped", "Connections dropped for their memory.", lambda: memory.dropped)
    metrics.gauge("log_writer_waiting", "Changes that wait to be written.", lambda: writer.waiting)
    metrics.gauge("database_waiting", "Statements that wait for a connection.", lambda: pool.occupancy.waiting)
    metrics.gauge("database_connections", "Connections to PostgreSQL.", lambda: pool.occupancy.alive)
    worker = Worker(
        reactor,
        pool,
        migrate.load(),
        PREPARED,
        build_site(gateway, connections, descriptions()),
        connections,
        endpoints,
        drain=settings.timeouts.drain,
        listening=listening,
        broken=broken,
        metrics=figures,
        begin=epoch.begin,
        watches=(identity, memory, *caching.watches),
        # Before revocations are known no token is taken, and without the server's own key nothing works.
        equipped=lambda: revocations.known and keys.sound,
        # By the names that operators know them by.
        dependencies=lambda: {
            "database": _database(pool, revocations),
            "encryption": keys.condition,
            "auth": auth_services(identity),
            "bus": wiring.condition(),
            "cache": caching.condition(),
        },
        rhythm=rhythm,
        bus=wiring.carrier,
    )
    return worker


def _database(pool: Pool, revocations: Revocations) -> Dependency:
    if not pool.ready:
        return Dependency(state="unavailable", detail="PostgreSQL cannot be reached, or is not up to date yet")
    if not revocations.known:
        return Dependency(state="unavailable", detail="which tokens are revoked is being read")
    return FINE


def _now() -> datetime:
    return datetime.now(UTC)


def _log_unforeseen(error: BaseException) -> None:
    log.failure("the store, or what follows from it, failed", Failure(error))


def _log_failure(metrics: Metrics, command: str, error: BaseException, caller: OrderedCaller) -> None:
    about: dict[str, Any] = {
        "request" if caller.delivery is None else "connection": caller.id,
        "user": caller.user,
        "command": command,
    }
    if isinstance(error, Unreadable):
        # Foreseen, and mended by an operator: where it was raised does not matter.
        metrics.unreadable()
        log.error("{command} failed: the caller's data key: {reason}", reason=str(error), **about)
    else:
        log.failure("{command} failed", Failure(error), **about)


def _note_unreadable(metrics: Metrics, entry: Entry, reason: str) -> None:
    metrics.unreadable()
    log.error(
        "unreadable: {conversation} {seq} of {author}: {reason}",
        conversation=entry.conversation,
        seq=entry.seq,
        author=entry.author,
        reason=reason,
    )

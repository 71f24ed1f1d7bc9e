"""Which bus a worker is given, with the hub that belongs to it."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.internet.task import deferLater

from chatd.bus.backfill import Backfill
from chatd.bus.carrier import Carrier
from chatd.bus.local import LocalBus
from chatd.bus.packets import SENDER_BYTES
from chatd.bus.postgresql import MAX_BYTES, PostgresBus, one_channel
from chatd.bus.remote import RemoteBus
from chatd.bus.sweep import Sweep
from chatd.handlers.assembly import Stores
from chatd.handlers.catalogue import NOTICES, SIGNALS
from chatd.handlers.kinds import Reader
from chatd.interfaces.bus import IBus
from chatd.records.base import Signal
from chatd.records.condition import FINE, Dependency, Figure
from chatd.redis.address import configured
from chatd.settings.base import SettingsError
from chatd.settings.model import Settings
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.hub import Hub
from chatd.state.shared import SharedHub
from chatd.store.pool import Pool

AWAY = Dependency(state="degraded", detail="what other workers do arrives later")


@dataclass(frozen=True)
class Wiring:
    """``carrier`` is to be started once the database is there. ``figures`` tell of it.

    ``condition`` is how it is; None where there is no need of one.
    """

    bus: IBus
    hub: Hub
    carrier: IService | None = None
    figures: tuple[Figure, ...] = ()
    condition: Callable[[], Dependency | None] = lambda: None


@dataclass(frozen=True)
class Shared:
    """A worker's end of a bus between workers, without what carries it."""

    hub: SharedHub
    bus: RemoteBus
    backfill: Backfill
    sweep: Sweep


def share(
    stores: Stores,
    directory: Directory,
    reader: Reader,
    reactor: Any,
    *,
    failed: Callable[[BaseException], None],
    channel_of: Callable[[str], str],
    max_bytes: int,
    signals: Collection[type[Signal]] = SIGNALS,
) -> Shared:
    """That of one worker; what is given by name, :class:`~chatd.bus.remote.RemoteBus` explains."""
    pause = partial(deferLater, reactor)
    hub = SharedHub(reader.event, reader.opened, directory)
    backfill = Backfill(hub, stores.log, stores.conversations, directory, reader, pause=pause, failed=failed)
    sweep = Sweep(hub, stores.conversations, clock=reactor.seconds, pause=pause, failed=failed)
    bus = RemoteBus(
        hub,
        directory,
        sweep,
        notices=NOTICES,
        signals=signals,
        channel_of=channel_of,
        sender=os.urandom(SENDER_BYTES),
        max_bytes=max_bytes,
        clock=reactor.seconds,
        failed=failed,
    )
    return Shared(hub, bus, backfill, sweep)


def kind_of(settings: Settings) -> str:
    """What ``auto`` comes to."""
    if settings.bus.kind == "auto":
        # Even a single worker is two for a while, when it is replaced.
        return "postgresql" if settings.workers else "local"
    return settings.bus.kind


def wire(
    settings: Settings,
    reactor: Any,
    pool: Pool,
    stores: Stores,
    directory: Directory,
    authors: Authors,
    reader: Reader,
    *,
    failed: Callable[[BaseException], None],
) -> Wiring:
    """The bus of the settings' choice."""
    kind = kind_of(settings)
    if kind == "local":
        return Wiring(LocalBus(), Hub(reader.event))
    between = partial(share, stores, directory, reader, reactor, failed=failed)
    if kind == "redis":
        shared, carrier = _over_redis(settings, reactor, authors, between)
    else:
        shared = between(channel_of=one_channel, max_bytes=MAX_BYTES)
        carrier = PostgresBus(reactor, pool, shared.bus, authors)
    return Wiring(shared.bus, shared.hub, carrier, _figures(shared), lambda: FINE if shared.bus.linked else AWAY)


def _over_redis(
    settings: Settings, reactor: Any, authors: Authors, between: Callable[..., Shared]
) -> tuple[Shared, Carrier]:
    try:
        # Here and not above: chatd without Redis needs nothing of it.
        from chatd.bus import redis
    except ImportError as error:
        raise SettingsError("bus.kind", "redis", "needs what chatd[redis] installs") from error
    address, way = configured(settings.redis, reactor)
    prefix = settings.redis.prefix
    shared = between(channel_of=redis.channels(prefix), max_bytes=redis.MAX_BYTES)
    carrier = redis.RedisBus(reactor, way, address, shared.bus, authors, prefix=prefix)
    shared.hub.interest.begun = carrier.listen
    return shared, carrier


def _figures(shared: Shared) -> tuple[Figure, ...]:
    hub, bus, backfill, sweep = shared.hub, shared.bus, shared.backfill, shared.sweep
    return (
        ("bus_linked", "Whether the bus is there.", lambda: bus.linked),
        ("bus_links", "How often the bus was linked, since the start.", lambda: bus.links),
        ("bus_workers", "Other workers that are heard.", lambda: bus.peers),
        ("bus_messages_sent", "Messages that the bus took, since the start.", lambda: bus.sent),
        ("bus_messages_received", "Messages of other workers, since the start.", lambda: bus.received),
        ("bus_messages_dropped", "Messages that found no room, since the start.", lambda: bus.dropped),
        ("bus_packets_refused", "Packets that no worker made, since the start.", lambda: bus.refused),
        ("bus_logs_followed", "Conversations that people connected here follow.", lambda: len(hub.interest)),
        ("bus_reads", "Reads of the log for what the bus did not bring, since the start.", lambda: backfill.reads),
        ("bus_sweeps", "Looks at how far all logs have come, since the start.", lambda: sweep.taken),
    )

"""All handlers of one worker, each given what it needs. A new handler class has its line here and in the catalogue."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from chatd.handlers.conversations import Conversations
from chatd.handlers.history import History
from chatd.handlers.kinds import Reader
from chatd.handlers.liveness import Liveness
from chatd.handlers.messages import Messages, Sizes
from chatd.handlers.opening import Opening
from chatd.handlers.presence import Presence, notice
from chatd.handlers.revisions import Revisions
from chatd.handlers.sync import Resuming
from chatd.handlers.typing import Typing
from chatd.interfaces import (
    IBus,
    IConversationStore,
    IKeyStore,
    ILog,
    ILogStore,
    IPresenceStore,
    IRelations,
    IRhythm,
)
from chatd.records import PresenceChanged, TypingShown
from chatd.settings import Limits, PresenceSettings
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.exchange import Exchange
from chatd.state.hub import Hub
from chatd.state.leases import Leases
from chatd.state.relations import RelationsChanged
from chatd.state.subscriptions import Subscriptions

BEAT_SECONDS = 1.0
"""How often what has changed of presence and typing is looked after."""

Gauge = Callable[[str, str, Callable[[], float]], None]
"""``(name, help, value)``: show a figure to the operator."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Everything that is kept, behind its seams; all of them in one database."""

    log: ILogStore
    conversations: IConversationStore
    keys: IKeyStore
    presence: IPresenceStore


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the handlers of one worker stand on. ``now`` tells times that know their zone; ``rhythm`` is begun later."""

    stores: Stores
    log: ILog
    bus: IBus
    hub: Hub
    exchange: Exchange
    directory: Directory
    authors: Authors
    reader: Reader
    relations: IRelations
    limits: Limits
    now: Callable[[], datetime]
    presence: PresenceSettings
    rhythm: IRhythm
    gauge: Gauge


def assemble(parts: Parts) -> tuple[object, ...]:
    """One instance of each class in :data:`~chatd.handlers.catalogue.HANDLERS`."""
    stores, directory, authors, reader = parts.stores, parts.directory, parts.authors, parts.reader
    sizes = Sizes(parts.limits.max_text_chars, parts.limits.max_metadata_bytes)
    opening = Opening(stores.conversations, directory, authors, parts.bus)
    return (
        Messages(parts.log, directory, opening, authors, sizes=sizes),
        Revisions(
            parts.log,
            stores.log,
            directory,
            authors,
            reader,
            parts.now,
            sizes=sizes,
            edit_seconds=parts.limits.edit_seconds,
            delete_seconds=parts.limits.delete_seconds,
        ),
        History(stores.log, directory, reader),
        Conversations(stores.conversations, directory, parts.bus),
        Resuming(stores.log, stores.conversations, reader),
        Liveness(parts.now),
        _typing(parts),
        _presence(parts),
    )


def _typing(parts: Parts) -> Typing:
    typing = Typing(
        parts.directory,
        parts.relations,
        parts.bus,
        parts.rhythm.seconds,
        damped_above=parts.presence.typing_damped_above,
        silent_above=parts.presence.typing_silent_above,
    )
    parts.hub.follow(typing)
    parts.exchange.listen(TypingShown, typing.heed)
    parts.exchange.listen(RelationsChanged, typing.part)
    parts.rhythm.every(BEAT_SECONDS, typing.expire)
    return typing


def _presence(parts: Parts) -> Presence:
    store, rhythm, settings = parts.stores.presence, parts.rhythm, parts.presence
    leases = Leases(
        store,
        parts.bus,
        rhythm.seconds,
        lambda: str(uuid4()),
        heartbeat=settings.heartbeat,
        lease=settings.lease,
    )
    subscriptions = Subscriptions(
        store,
        parts.relations,
        notice,
        lambda: leases.steady,
        beat=BEAT_SECONDS,
        reread=settings.reread,
        most=settings.max_subscriptions,
    )
    for follower in (leases, subscriptions):
        parts.hub.follow(follower)
    parts.exchange.listen(PresenceChanged, subscriptions.heed)
    parts.exchange.listen(RelationsChanged, subscriptions.part)
    # The lease has a beat of its own, so that it is renewed however long the others take.
    for beat in (leases.beat, leases.write, leases.sweep, subscriptions.refresh, subscriptions.tell):
        rhythm.every(min(BEAT_SECONDS, settings.heartbeat), beat)
    rhythm.at_end(leases.retire)
    parts.gauge("present", "People who are connected.", lambda: leases.people)
    parts.gauge(
        "presence_subscriptions", "People that connections are told of, each counted.", lambda: subscriptions.pairs
    )
    return Presence(leases, subscriptions)

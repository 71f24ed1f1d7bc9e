"""All handlers of one worker, each given what it needs. A new handler class has its line here and in the catalogue."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from chatd.handlers.access import Access
from chatd.handlers.announcements import Announcements
from chatd.handlers.conversations import Conversations
from chatd.handlers.devices import Devices
from chatd.handlers.forwarding import Forwarding
from chatd.handlers.group_changes import GroupChanges
from chatd.handlers.group_profiles import GroupProfiles
from chatd.handlers.group_readers import GroupReaders
from chatd.handlers.groups import Groups
from chatd.handlers.hiding import Hidden
from chatd.handlers.history import History
from chatd.handlers.invitations import Invitations
from chatd.handlers.joining import Joining
from chatd.handlers.kinds import Reader
from chatd.handlers.liveness import Liveness
from chatd.handlers.marks import Marks
from chatd.handlers.members import Members
from chatd.handlers.messages import Messages, Sizes
from chatd.handlers.moderation import Moderation
from chatd.handlers.opening import Opening
from chatd.handlers.personal import PersonalSettings
from chatd.handlers.presence import Presence, notice
from chatd.handlers.profiles import Profiles
from chatd.handlers.reactions import Reactions
from chatd.handlers.relationships import Relationships
from chatd.handlers.revisions import Revisions
from chatd.handlers.search import Searching
from chatd.handlers.sync import Resuming
from chatd.handlers.tallies import Tallies
from chatd.handlers.tokens import Tokens as TokenHandlers
from chatd.handlers.typing import Typing
from chatd.interfaces.bus import IBus, IRhythm
from chatd.interfaces.conversations import IAnnouncementStore, IConversationStore, IGroupStore, IReadingStore
from chatd.interfaces.devices import IDeviceStore
from chatd.interfaces.keys import IKeyStore
from chatd.interfaces.log import ILog, ILogStore
from chatd.interfaces.messages import IReactionStore, ISearchStore
from chatd.interfaces.people import IProfileStore, IRelations, IRelationStore
from chatd.interfaces.presence import IPresenceStore
from chatd.interfaces.recent import IRecentStore
from chatd.interfaces.tokens import ITokenReader
from chatd.records.presence import PresenceChanged, TypingShown
from chatd.settings.limits import Limits
from chatd.settings.model import Groups as GroupLimits
from chatd.settings.model import PresenceSettings, Search, Tokens
from chatd.state.authors import Authors
from chatd.state.directory import Directory, RosterChanged
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
    reactions: IReactionStore
    reading: IReadingStore
    devices: IDeviceStore
    groups: IGroupStore
    announcements: IAnnouncementStore
    relations: IRelationStore
    profiles: IProfileStore
    presence: IPresenceStore
    search: ISearchStore
    recent: IRecentStore


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the handlers of one worker stand on. ``now`` tells times that know their zone; ``rhythm`` is begun later.

    ``epoch`` is the one that is served.
    """

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
    tokens: Tokens
    token_reader: ITokenReader
    now: Callable[[], datetime]
    groups: GroupLimits
    presence: PresenceSettings
    rhythm: IRhythm
    gauge: Gauge
    search: Search
    epoch: Callable[[], str]


def assemble(parts: Parts) -> tuple[object, ...]:
    """One instance of each class in :data:`~chatd.handlers.catalogue.HANDLERS`."""
    stores, directory, authors, reader = parts.stores, parts.directory, parts.authors, parts.reader
    sizes = Sizes(parts.limits.max_text_chars, parts.limits.max_metadata_bytes)
    access = Access(directory, stores.conversations)
    opening = Opening(stores.conversations, directory, authors, parts.bus, parts.relations)
    messages = Messages(parts.log, access, opening, authors, parts.now, sizes=sizes)
    parts.exchange.listen(RosterChanged, directory.heed)
    return (
        messages,
        Revisions(
            parts.log,
            stores.log,
            access,
            authors,
            reader,
            parts.now,
            sizes=sizes,
            edit_seconds=parts.limits.edit_seconds,
            delete_seconds=parts.limits.delete_seconds,
        ),
        Forwarding(messages, stores.log, reader),
        Reactions(
            parts.log,
            stores.log,
            stores.reactions,
            access,
            authors,
            reader,
            parts.now,
            max_own=parts.limits.max_reactions,
            max_all=parts.limits.max_emojis,
        ),
        Hidden(parts.log, stores.log, authors),
        History(access, reader, Tallies(stores.reactions, reader)),
        Conversations(
            stores.reading,
            parts.relations,
            reader,
            GroupProfiles(stores.log, reader),
            large_group=parts.limits.large_group,
        ),
        Marks(
            stores.conversations,
            stores.reading,
            stores.log,
            directory,
            access,
            parts.relations,
            parts.bus,
            large_group=parts.limits.large_group,
        ),
        PersonalSettings(parts.log, stores.reading, authors, parts.now),
        Resuming(stores.log, stores.conversations, reader, parts.hub, parts.epoch),
        Liveness(parts.now),
        Relationships(parts.log, stores.relations, authors, parts.bus),
        Profiles(
            parts.log,
            stores.profiles,
            authors,
            reader,
            parts.bus,
            parts.relations,
            parts.exchange,
            parts.rhythm.seconds,
            sizes=sizes,
        ),
        Devices(parts.log, stores.devices, authors, parts.bus, parts.now, kept_seconds=parts.tokens.max_lifetime),
        TokenHandlers(
            parts.log, parts.token_reader, authors, parts.bus, parts.now, kept_seconds=parts.tokens.max_lifetime
        ),
        _typing(parts, access),
        _presence(parts),
        Searching(stores.search, access, authors, reader, enabled=parts.search.enabled),
        *_groups(parts, access, sizes),
    )


def _groups(parts: Parts, access: Access, sizes: Sizes) -> tuple[object, ...]:
    """The handlers of groups, which share how they write and how they read."""
    stores, limits = parts.stores, parts.groups
    profiles, readers = GroupProfiles(stores.log, parts.reader), GroupReaders(stores.groups, parts.now)
    changes = GroupChanges(
        parts.log,
        stores.log,
        stores.groups,
        parts.directory,
        access,
        parts.authors,
        parts.relations,
        profiles,
        parts.now,
    )
    return (
        Groups(changes, stores.groups, profiles, limits=limits),
        Members(changes, readers, limits=limits),
        Moderation(changes, readers),
        Invitations(changes, readers, stores.groups, profiles, limits=limits),
        Joining(changes, readers, stores.groups, limits=limits),
        Announcements(
            parts.log,
            stores.announcements,
            readers,
            access,
            parts.authors,
            parts.bus,
            parts.now,
            sizes=sizes,
        ),
    )


def _typing(parts: Parts, access: Access) -> Typing:
    typing = Typing(
        access,
        parts.relations,
        parts.bus,
        parts.now,
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

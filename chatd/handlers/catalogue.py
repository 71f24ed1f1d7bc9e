"""All handler classes. A new command needs no line here, a new class of them one."""

from chatd.handlers.announcements import Announcements
from chatd.handlers.conversations import Conversations
from chatd.handlers.devices import ENDED, OTHERS_ENDED, Devices
from chatd.handlers.forwarding import Forwarding
from chatd.handlers.group_events import GROUP_KINDS
from chatd.handlers.group_notices import NOTICE_KINDS
from chatd.handlers.groups import Groups
from chatd.handlers.hiding import HIDDEN, Hidden
from chatd.handlers.history import History
from chatd.handlers.invitations import Invitations
from chatd.handlers.joining import Joining
from chatd.handlers.kinds import Kind
from chatd.handlers.liveness import Liveness
from chatd.handlers.marks import Marks
from chatd.handlers.members import Members
from chatd.handlers.messages import MESSAGE, Messages
from chatd.handlers.moderation import Moderation
from chatd.handlers.opening import CREATED
from chatd.handlers.personal import PERSONAL_KINDS, PersonalSettings
from chatd.handlers.presence import Presence
from chatd.handlers.profiles import PROFILE, Profiles, ProfilesChanged
from chatd.handlers.reactions import ADDED, REMOVED, Reactions
from chatd.handlers.relationships import (
    BLOCK_ADDED,
    BLOCK_REMOVED,
    FOLLOWED,
    FOLLOWING_ADDED,
    FOLLOWING_REMOVED,
    Relationships,
)
from chatd.handlers.revisions import DELETED, EDITED, PINNED, UNPINNED, Revisions
from chatd.handlers.search import Searching
from chatd.handlers.sync import Resuming
from chatd.handlers.tokens import REVOKED, Tokens
from chatd.handlers.typing import Typing
from chatd.records.base import Signal
from chatd.records.devices import TokensRevoked
from chatd.records.presence import PresenceChanged, TypingShown
from chatd.state.census import Present
from chatd.state.directory import RosterChanged
from chatd.state.relations import RelationsChanged
from chatd.state.spending import Spent
from chatd.wire.commands import Declaration, declarations
from chatd.wire.events import EphemeralEvent

HANDLERS: tuple[type, ...] = (
    Messages,
    Revisions,
    Forwarding,
    Reactions,
    Hidden,
    History,
    Conversations,
    Marks,
    PersonalSettings,
    Resuming,
    Liveness,
    Devices,
    Groups,
    Members,
    Moderation,
    Invitations,
    Joining,
    Announcements,
    Relationships,
    Profiles,
    Typing,
    Presence,
    Searching,
    Tokens,
)

DECLARATIONS: tuple[Declaration, ...] = tuple(
    declaration for handler in HANDLERS for declaration in declarations(handler)
)

KINDS: tuple[Kind, ...] = (
    MESSAGE,
    EDITED,
    DELETED,
    PINNED,
    UNPINNED,
    CREATED,
    ADDED,
    REMOVED,
    HIDDEN,
    *PERSONAL_KINDS,
    ENDED,
    OTHERS_ENDED,
    *GROUP_KINDS,
    *NOTICE_KINDS,
    FOLLOWING_ADDED,
    FOLLOWING_REMOVED,
    BLOCK_ADDED,
    BLOCK_REMOVED,
    FOLLOWED,
    PROFILE,
    REVOKED,
)

NOTICES: tuple[type[EphemeralEvent], ...] = tuple(
    dict.fromkeys(
        event for declaration in DECLARATIONS for event in declaration.emits if issubclass(event, EphemeralEvent)
    )
)
"""What passes between workers besides changes of logs."""

SIGNALS: tuple[type[Signal], ...] = (
    TokensRevoked,
    RosterChanged,
    RelationsChanged,
    ProfilesChanged,
    PresenceChanged,
    TypingShown,
    Spent,
    Present,
)
"""What workers tell each other in passing. A new kind has its place here, or it does not cross."""

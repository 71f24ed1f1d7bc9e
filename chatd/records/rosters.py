"""Conversations, who is in them, and who may do what."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from chatd.records.base import Record

ConversationKind = Literal["direct", "group", "queue"]
"""``direct``: two people. ``queue``: one person's event queue, which is a log like any other with one reader."""


Role = Literal["member", "admin", "owner"]
"""What a member may do in a group; each may what those before it may."""


Standing = Literal["member", "invited", "asking", "banned", "left"]
"""How a person stands to a conversation. Only members are sent anything; others may read what was theirs once."""


class Membership(Record, frozen=True, kw_only=True, gc=False):
    """How one person stands to one conversation.

    The log is theirs behind ``since`` and up to and including ``until`` (None: to its end). A change to an ``until`` of
    0, of somebody who has left, leaves them the part that they had. ``expires_at`` is when an invitation lapses, ``by``
    who gave it. ``blocking``, in a direct conversation: they block the other.
    """

    standing: Standing = "member"
    role: Role = "member"
    since: int = 0
    until: int | None = None
    muted_until: datetime | None = None
    expires_at: datetime | None = None
    by: str | None = None
    blocking: bool = False


MEMBER: Final = Membership()
"""Of whom there is nothing particular to say, which is most people in most conversations."""


class Rules(Record, frozen=True, kw_only=True, gc=False):
    """What a group has decided. ``posting``, ``inviting``, ``editing``: the least role that may.

    ``joining``: whether one comes in by invitation only, may ask to, or just may. ``history``: whether a member may
    read what was said before they joined.
    """

    posting: Role = "member"
    inviting: Role = "admin"
    editing: Role = "admin"
    joining: Literal["invitation", "request", "open"] = "invitation"
    history: Literal["joined", "all"] = "joined"


PLAIN_RULES: Final = Rules()


NOBODY: Final[Mapping[str, Membership]] = MappingProxyType({})


class Roster(Record, frozen=True, kw_only=True, gc=False):
    """Everything that decides who may do what in a conversation, as of ``access``.

    ``access`` counts the changes of it. ``members`` are the present ones by user; ``others`` are invited, asking or
    banned, or left while they were muted. ``profile`` is the ``seq`` of the entry that says what a group is called (0:
    none does). ``opened`` is false for a direct conversation of which its people were never told, ``closed`` true for a
    deleted group. ``changes`` are what the latest change of it did to people.
    """

    conversation: str
    kind: ConversationKind
    members: Mapping[str, Membership]
    access: int = 0
    others: Mapping[str, Membership] = NOBODY
    rules: Rules = PLAIN_RULES
    profile: int = 0
    opened: bool = True
    closed: bool = False
    changes: Mapping[str, Membership] = NOBODY

    @property
    def blocked(self) -> bool:
        """Whether this is a direct conversation in which one blocks the other."""
        if self.kind == "direct":
            # Not any(): this is asked for each message.
            for membership in self.members.values():
                if membership.blocking:
                    return True
        return False


def plain_roster(conversation: str, kind: ConversationKind, users: Collection[str]) -> Roster:
    """Where a conversation of these people begins."""
    return Roster(conversation=conversation, kind=kind, members=dict.fromkeys(users, MEMBER))


Decide = Callable[[Roster, int], Roster]
"""``(roster, seq)`` -> the roster after a change that takes ``seq``: the same one if it changes no rights.

Raises a :exc:`~chatd.errors.ChatdError` where ``roster`` does not allow the change. It is called once or several
times, perhaps with a roster that was not the latest, and then decides nothing.
"""


def unrestricted(roster: Roster, seq: int) -> Roster:
    """Decide that everything is allowed: what the server writes itself."""
    return roster


class Conversation(Record, frozen=True, kw_only=True, gc=False):
    """One log and the people in it. ``last_seq`` is 0 while the log is empty.

    Of a group, ``members`` are not told: there may be many.
    """

    conversation: str
    kind: ConversationKind
    members: tuple[str, ...]
    member_count: int
    profile: int
    last_seq: int
    created_at: datetime
    last_at: datetime


class Group(Record, frozen=True, kw_only=True, gc=False):
    """A group as it is now, and how one person stands to it (None: in no way that is kept)."""

    conversation: str
    rules: Rules
    profile: int
    member_count: int
    created_at: datetime
    closed: bool = False
    membership: Membership | None = None


class Enlisted(Record, frozen=True, kw_only=True, gc=False):
    """Somebody who stands to a group in one way, ``at`` since when."""

    user: str
    membership: Membership
    at: datetime


class Invitation(Record, frozen=True, kw_only=True, gc=False):
    """An invitation of one person into a group that is there."""

    conversation: str
    profile: int
    by: str
    at: datetime
    expires_at: datetime

"""Frozen rows: what the parts of chatd hand to each other."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Literal

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all rows."""


class ShownToken:
    """The text of a token that its auth service will be asked about again. It shows itself only when asked to."""

    __slots__ = ("__text", "digest")

    def __init__(self, text: str) -> None:
        self.__text = text
        self.digest = sha256(text.encode("utf-8", "surrogatepass")).digest()

    def reveal(self) -> str:
        """The text itself; hand it to its auth service and to nobody else."""
        return self.__text

    def __repr__(self) -> str:
        return "ShownToken(...)"


class Claims(Record, frozen=True, kw_only=True, gc=False):
    """What a verified token says. ``user`` is its ``sub``; times are seconds since the epoch (RFC 7519).

    ``scopes`` are those that chatd knows. ``shown`` is there where the auth service has to be asked again.
    """

    user: str
    issuer: str
    expires_at: float
    token_id: str | None = None
    issued_at: float | None = None
    scopes: frozenset[str] = frozenset()
    shown: ShownToken | None = None


ConversationKind = Literal["direct", "group", "queue"]
"""``direct``: two people. ``queue``: one person's event queue, which is a log like any other with one reader."""

Role = Literal["member", "admin", "owner"]
"""What a member may do in a group; each may what those before it may."""

Standing = Literal["member", "invited", "asking", "banned", "left"]
"""How a person stands to a conversation. Only members are sent anything; others may read what was theirs once."""


class Membership(Record, frozen=True, kw_only=True, gc=False):
    """How one person stands to one conversation.

    The log is theirs behind ``since`` and up to and including ``until`` (None: to its end). ``expires_at`` is when
    an invitation lapses, ``by`` who gave it. ``blocking``, in a direct conversation: they block the other.
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
    banned. ``profile`` is the ``seq`` of the entry that says what a group is called (0: none does). ``opened`` is
    false for a direct conversation of which its people were never told, ``closed`` true for a deleted group.
    ``changes`` are what the latest change of it did to people.
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


def plain_roster(conversation: str, kind: ConversationKind, users: Collection[str]) -> Roster:
    """Where a conversation of these people begins."""
    return Roster(conversation=conversation, kind=kind, members=dict.fromkeys(users, MEMBER))


class MessageState(Record, frozen=True, kw_only=True, gc=False):
    """What has become of a message. ``edited`` is where its latest edit stands, ``pinned`` and ``deleted`` where that
    was done, ``thread`` the message that began its thread."""

    author: str
    time: datetime
    thread: int | None = None
    edited: int | None = None
    pinned: int | None = None
    deleted: int | None = None


Decide = Callable[[Roster, int], Roster]
"""``(roster, seq)`` -> the roster after a change that takes ``seq``: the same one if it changes no rights.

Raises a :exc:`~chatd.errors.ChatdError` where ``roster`` does not allow the change. It is called once or several
times, perhaps with a roster that was not the latest, and then decides nothing.
"""

Revise = Callable[[MessageState, int], MessageState]
"""``(state, seq)`` -> what becomes of a message by a change that takes ``seq``; raises like :data:`Decide`."""


def unrestricted(roster: Roster, seq: int) -> Roster:
    """Decide that everything is allowed: what the server writes itself."""
    return roster


class Revision(Record, frozen=True, kw_only=True, gc=False):
    """A change concerns the message at ``target`` of its own log. Where there is none it is refused with NotFound."""

    target: int
    revise: Revise


class Elsewhere(Record, frozen=True, kw_only=True, gc=False):
    """A change of rights in another conversation, where it leaves no entry. It begins with ``roster`` if need be."""

    roster: Roster
    decide: Decide


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


class Effect(Record, frozen=True, kw_only=True, gc=False):
    """Base of what a change does besides standing in its log: it writes a row of another table, in its transaction.

    Such a row is only ever changed by changes of one log, whose lock guards it. Each kind has a writer in every store.
    """


class Draft(Record, frozen=True, kw_only=True, gc=False):
    """A change on its way into a log: sealed, not yet numbered, and allowed as far as ``roster`` tells.

    ``digest`` stands for the content in the comparison of repeats; it is keyed, so it tells nothing by itself.
    ``content`` is the open form, for delivery in this process: it is neither stored nor sent anywhere.

    ``decide`` is asked again, in the transaction, where ``roster`` is no longer the latest. ``begins``: the
    conversation begins with ``roster`` if it is not there. ``notices`` go into event queues along with this change
    and are drafts like it, but without receipts. ``reply_to`` and ``mentions`` are a message's.
    """

    conversation: str
    author: str
    client_id: str
    digest: bytes
    kind: str
    sealed: bytes
    content: msgspec.Struct
    roster: Roster
    decide: Decide = unrestricted
    begins: bool = False
    revision: Revision | None = None
    elsewhere: tuple[Elsewhere, ...] = ()
    notices: tuple["Draft", ...] = ()
    effects: tuple[Effect, ...] = ()
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()

    @property
    def audience(self) -> Collection[str]:
        """Who sees it, as far as ``roster`` tells."""
        return self.roster.members


class Appended(Record, frozen=True, kw_only=True, gc=False):
    """Where a committed change stands.

    ``roster`` is what the change left of the conversation's, where that was looked at; ``audience`` who sees the
    change, where that is not as in its draft; ``notices`` are the entries made of the draft's.
    """

    conversation: str
    seq: int
    time: datetime
    roster: Roster | None = None
    audience: Collection[str] | None = None
    notices: tuple["Entry", ...] = ()
    elsewhere: tuple[Roster, ...] = ()


class Entry(Record, frozen=True, kw_only=True, gc=False):
    """One committed change of a log, as stored. ``target`` is the message that it concerns, if any.

    ``erased``: its content was deleted, by somebody who might, and ``sealed`` is empty.
    """

    conversation: str
    seq: int
    time: datetime
    author: str
    client_id: str
    kind: str
    sealed: bytes
    target: int | None = None
    erased: bool = False


class KeptMessage(Record, frozen=True, kw_only=True, gc=False):
    """A message as it is now: how it was sent, what has become of it, and its latest edit."""

    entry: Entry
    state: MessageState
    edit: Entry | None = None


class Publication(Record, frozen=True, kw_only=True, gc=False):
    """A committed change on its way to whoever may see it. ``content`` is there where it was made in this process.

    ``doubtful``: the log may hold changes before this one that were never published, since the reply to their commit
    was lost; or this one may have been published long ago.
    """

    entry: Entry
    audience: Collection[str]
    content: msgspec.Struct | None = None
    doubtful: bool = False


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="signal"):
    """Base of what workers tell each other in passing. It may be lost: whoever acts on it also finds out otherwise."""


class Cursor(Record, frozen=True, kw_only=True, gc=False):
    """How far a reader has come in one log: it has everything up to and including ``seq``."""

    conversation: str
    seq: int


class Page(Record, frozen=True, kw_only=True, gc=False):
    """Which messages of a conversation to read: at most ``limit`` with ``low < seq < high``, the newest or the oldest.

    Of those that ``reader`` may see, that is; with ``thread``, only the replies that belong to it, and with
    ``pinned`` only what is pinned.
    """

    conversation: str
    reader: str
    low: int
    high: int
    limit: int
    newest: bool
    thread: int | None = None
    pinned: bool = False


class Position(Record, frozen=True, kw_only=True, gc=False):
    """Where a log stands for its reader and how far one device has acknowledged it (None: never).

    The log begins behind ``since`` for this reader and ends at ``last_seq``, which for a former member is where they
    left.

    ``recent`` is whether the log changed within the last minute, that is, whether a change of it may still be on its
    way through this process.
    """

    conversation: str
    last_seq: int
    acknowledged: int | None
    recent: bool
    since: int = 0


class Listed(Record, frozen=True, kw_only=True, gc=False):
    """A conversation in a person's list. ``delivered`` is how far it reached any device of theirs."""

    conversation: Conversation
    delivered: int


class Delivered(Record, frozen=True, kw_only=True, gc=False):
    """Who has been reached how far: the members' marks of one conversation."""

    user: str
    seq: int


class Ack(Record, frozen=True, kw_only=True, gc=False):
    """A device has everything of a log up to and including ``seq``."""

    user: str
    device: str
    conversation: str
    seq: int


class WrappedKey(Record, frozen=True, kw_only=True, gc=False):
    """A person's data key, wrapped by the master key of that version."""

    user: str
    master: str
    wrapped: bytes

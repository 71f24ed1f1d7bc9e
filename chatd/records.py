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

    ``name`` and ``picture`` are of OpenID Connect Core 1.0, section 5.1, where they are fit for a profile.
    ``scopes`` are those that chatd knows. ``shown`` is there where the auth service has to be asked again.
    """

    user: str
    issuer: str
    expires_at: float
    token_id: str | None = None
    issued_at: float | None = None
    name: str | None = None
    picture: str | None = None
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


class Tie(Record, frozen=True, kw_only=True, gc=False):
    """How one person stands to another, and the other to them."""

    follows: bool = False
    followed: bool = False
    blocks: bool = False
    blocked: bool = False


STRANGERS: Final = Tie()

Relate = Callable[[Tie], Tie]
"""What becomes of how two people stand to each other; raises like :data:`Decide`."""


class Relating(Record, frozen=True, kw_only=True, gc=False):
    """A change, in its author's event queue, of how they and ``other`` stand to each other.

    The event queues of both are locked meanwhile, whatever the change says in them: so nobody else can change anything
    between the two.
    """

    other: str
    relate: Relate


class Related(Effect, frozen=True, kw_only=True, gc=False):
    """How ``user`` and ``other`` stand to each other from now on: what a :class:`Relating` has led to."""

    user: str
    other: str
    tie: Tie


class ProfileGiven(Effect, frozen=True, kw_only=True, gc=False):
    """The entry is its author's profile from now on. It stands in their event queue, whose lock guards it."""


class Draft(Record, frozen=True, kw_only=True, gc=False):
    """A change on its way into a log: sealed, not yet numbered, and allowed as far as ``roster`` tells.

    ``digest`` stands for the content in the comparison of repeats; it is keyed, so it tells nothing by itself.
    ``content`` is the open form, for delivery in this process: it is neither stored nor sent anywhere.

    ``decide`` is asked again, in the transaction, where ``roster`` is no longer the latest. ``begins``: the
    conversation begins with ``roster`` if it is not there. ``notices`` go into event queues along with this change
    and are drafts like it, but without receipts. ``relating``: how its author and another stand to each other changes
    with it. ``reply_to`` and ``mentions`` are a message's; ``tokens`` are the different keyed hashes that its text is
    found by.
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
    relating: Relating | None = None
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    tokens: tuple[int, ...] = ()

    @property
    def audience(self) -> Collection[str]:
        """Who sees it, as far as ``roster`` tells."""
        return self.roster.members


class Appended(Record, frozen=True, kw_only=True, gc=False):
    """Where a committed change stands.

    ``roster`` is what the change left of the conversation's, where that was looked at; ``audience`` who sees the
    change, where that is not as in its draft; ``notices`` are the entries made of the draft's. ``changed`` are those
    whose standing it changed.
    """

    conversation: str
    seq: int
    time: datetime
    roster: Roster | None = None
    audience: Collection[str] | None = None
    notices: tuple["Entry", ...] = ()
    elsewhere: tuple[Roster, ...] = ()
    changed: Collection[str] = ()


class Entry(Record, frozen=True, kw_only=True, gc=False):
    """One committed change of a log, as stored. ``target`` is the message that it concerns, if any.

    ``erased``: its content was deleted, by somebody who might, and ``sealed`` is empty. ``hidden``: the same, but for
    the one who reads, who deleted it for themselves.
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
    hidden: bool = False

    @property
    def withheld(self) -> bool:
        """Whether it says nothing on purpose."""
        return self.erased or self.hidden


class KeptMessage(Record, frozen=True, kw_only=True, gc=False):
    """A message as it is now: how it was sent, what has become of it, and its latest edit."""

    entry: Entry
    state: MessageState
    edit: Entry | None = None


class Publication(Record, frozen=True, kw_only=True, gc=False):
    """A committed change on its way to whoever may see it. ``content`` is there where it was made in this process.

    ``doubtful``: the log may hold changes before this one that were never published, since the reply to their commit
    was lost; or this one may have been published long ago.

    ``access`` is the roster's number after it; by it ``came`` became members, who are in the audience from here on,
    and ``gone`` are in it for the last time.
    """

    entry: Entry
    audience: Collection[str]
    content: msgspec.Struct | None = None
    doubtful: bool = False
    access: int = 0
    came: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class News(Record, frozen=True, kw_only=True, gc=False):
    """What a worker hears of a committed change, of its own or from the bus, whose word is no more than a hint.

    Without ``entry`` the log has to be read. ``content`` is there where it is open already. ``audience`` is None where
    it is the roster's of that ``access``, and whoever has ``gone``.
    """

    conversation: str
    seq: int
    entry: Entry | None = None
    content: msgspec.Struct | None = None
    audience: Collection[str] | None = None
    access: int = 0
    came: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class Tail(Record, frozen=True, kw_only=True, gc=False):
    """What stands behind a cursor, for whoever may see it: at most so many ``entries``, by ``seq``.

    The log ends at ``last_seq``; ``access`` is its roster's number, no older than the entries.
    """

    conversation: str
    last_seq: int
    access: int
    entries: tuple[Entry, ...] = ()


class Reach(Record, frozen=True, kw_only=True, gc=False):
    """How far a log has come that ``user`` may see behind ``since``; as a member, or up to where they left."""

    user: str
    conversation: str
    last_seq: int
    since: int
    present: bool = True


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="signal"):
    """Base of what workers tell each other in passing. It may be lost: whoever acts on it also finds out otherwise."""


Side = Literal["follows", "followers", "blocks"]
"""Whom somebody follows, who follows them, or whom they block."""


class Blocks(Record, frozen=True, kw_only=True, gc=False):
    """Whom somebody blocks, and by whom they are blocked."""

    blocked: frozenset[str] = frozenset()
    blockers: frozenset[str] = frozenset()


class Acquaintance(Record, frozen=True, kw_only=True, gc=False):
    """Somebody on one side of a person's, and since when."""

    user: str
    since: datetime


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
    way through this process. ``present``: the reader is a member now.
    """

    conversation: str
    last_seq: int
    acknowledged: int | None
    recent: bool
    since: int = 0
    present: bool = True


MAX_UNREAD: Final = 1_000
"""How far unread messages and mentions are counted."""


class Count(Record, frozen=True, kw_only=True, gc=False):
    """How many there are, and whether there may be ``more``, since counting ended there."""

    number: int
    more: bool


class Listed(Record, frozen=True, kw_only=True, gc=False):
    """A conversation as one of its members has it.

    ``delivered`` is how far it reached any device of theirs, ``read`` how far they have read, told or not; ``unread``
    counts the messages of others behind that, ``mentions`` those among them that name this person. ``last`` is the
    latest message that they may see. The rest are settings of their own; without ``muted_until`` a mute is for ever.
    """

    conversation: Conversation
    delivered: int
    read: int
    unread: Count
    mentions: Count
    last: KeptMessage | None
    muted: bool
    muted_until: datetime | None
    archived: bool
    private_reading: bool


class Mark(Record, frozen=True, kw_only=True, gc=False):
    """How far a member has been reached and, as far as the others are to know, has read.

    Their log begins behind ``since``.
    """

    user: str
    delivered: int
    read: int
    since: int


class Receipts(Record, frozen=True, kw_only=True, gc=False):
    """How many members a message was for, how many of them it has reached, and how many have read it."""

    recipients: int
    delivered: int
    read: int


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


CheckReaction = Callable[[Collection[bytes], Collection[bytes]], None]
"""``(own, all)`` -> None; raises like :data:`Decide` where a reaction may not be added or taken away.

``own`` are the marks that its author has on the message, ``all`` those that anybody has.
"""


class Reaction(Effect, frozen=True, kw_only=True, gc=False):
    """The author of a change reacts to the message at ``target`` of its log or, unless ``added``, no longer does.

    ``mark`` stands for the emoji: it is equal for equal emojis on one message. ``check`` is asked in the transaction.
    The rows are changed under the lock of the change's own log, and go when the message is deleted.
    """

    target: int
    mark: bytes
    added: bool
    check: CheckReaction


class Tally(Record, frozen=True, kw_only=True, gc=False):
    """How many react to the message at ``target`` with one emoji, and whether the reader is among them.

    ``samples`` are the entries of the first few of them, any of which says which emoji that is.
    """

    target: int
    count: int
    mine: bool
    samples: tuple[Entry, ...]


class Hiding(Effect, frozen=True, kw_only=True, gc=False):
    """The author of a change no longer wants to be shown the message at ``seq`` of ``conversation``.

    The rows are changed under the lock of that person's event queue.
    """

    conversation: str
    seq: int


class FoundAt(Record, frozen=True, kw_only=True, gc=False):
    """A place among all messages of all conversations: the newest first, then by conversation and ``seq``."""

    time: datetime
    conversation: str
    seq: int


class Read(Record, frozen=True, kw_only=True, gc=False):
    """A person has read a log up to and including ``seq``; ``private``: without letting the others know."""

    user: str
    conversation: str
    seq: int
    private: bool


class Moved(Record, frozen=True, kw_only=True, gc=False):
    """Which marks of a person moved: how far they have read, how far the others know it, how far they were reached."""

    read: bool
    shown: bool
    delivered: bool


PersonalChange = Literal["mute", "unmute", "archive", "unarchive", "read privately", "read openly"]


class PersonalSetting(Effect, frozen=True, kw_only=True, gc=False):
    """What a person sets for themselves about a conversation. Guarded by the lock of their event queue.

    ``until`` is when a mute ends, None for never.
    """

    user: str
    conversation: str
    change: PersonalChange
    until: datetime | None = None


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


class MustRead(Effect, frozen=True, kw_only=True, gc=False):
    """The message is one that members are asked to confirm. The row is written once, with the message."""


class Confirmation(Record, frozen=True, kw_only=True, gc=False):
    """Somebody has read what must be read."""

    user: str
    at: datetime


PresenceStatus = Literal["online", "away", "invisible"]
"""What a connection says of its person. Of several the first of these counts; ``invisible`` looks like offline."""


class Lease(Record, frozen=True, kw_only=True, gc=False):
    """As what a person counts at one worker; None: not at all, or no longer."""

    user: str
    status: PresenceStatus | None


class Seen(Record, frozen=True, kw_only=True, gc=False):
    """How a person was to be found at all workers together, at ``as_of``, in seconds of the database's time.

    This is the truth, of which others are not shown all. ``last_seen`` is when they last ceased to be visible.
    """

    user: str
    status: PresenceStatus | Literal["offline"]
    last_seen: datetime | None
    as_of: float


class PresenceChanged(Signal, frozen=True, kw_only=True, tag="presence.changed"):
    """These people are to be found otherwise than before. Whoever missed it reads presence again every so often."""

    people: tuple[Seen, ...]


class TypingShown(Signal, frozen=True, kw_only=True, tag="typing.shown"):
    """The members of a large group were told that ``user`` types. Whoever missed it tells them of one more."""

    conversation: str
    user: str


class Search(Record, frozen=True, kw_only=True, gc=False):
    """Which messages to look for, of those that ``reader`` may see.

    ``tokens``: by conversation, what must all be there; as many in each. ``before`` is the place that the search has
    come to; ``after`` a time that messages must be later than. At most ``limit`` messages are found. ``probes``: how
    often the index may be asked, beyond twice for each of the tokens.
    """

    reader: str
    tokens: Mapping[str, tuple[int, ...]]
    limit: int
    probes: int
    before: FoundAt | None = None
    after: datetime | None = None
    sender: str | None = None


class Match(Record, frozen=True, kw_only=True, gc=False):
    """A message that a search came upon, and its latest edit."""

    entry: Entry
    edit: Entry | None = None


class Finding(Record, frozen=True, kw_only=True, gc=False):
    """What a search came upon, the newest first. ``end`` is the place that it came to; None: it has seen all."""

    matches: list[Match]
    end: FoundAt | None

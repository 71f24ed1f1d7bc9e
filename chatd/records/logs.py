"""Changes on their way into a log, as they stand there, and how far somebody has them."""

from collections.abc import Callable, Collection
from datetime import datetime

import msgspec

from chatd.records.base import Effect, Record
from chatd.records.people import Relating
from chatd.records.rosters import Decide, Roster, unrestricted


class MessageState(Record, frozen=True, kw_only=True, gc=False):
    """What has become of a message. ``edited`` is where its latest edit stands, ``pinned`` and ``deleted`` where that
    was done, ``thread`` the message that began its thread."""

    author: str
    time: datetime
    thread: int | None = None
    edited: int | None = None
    pinned: int | None = None
    deleted: int | None = None


Revise = Callable[[MessageState, int], MessageState]
"""``(state, seq)`` -> what becomes of a message by a change that takes ``seq``; raises like :data:`Decide`."""


class Revision(Record, frozen=True, kw_only=True, gc=False):
    """A change concerns the message at ``target`` of its own log. Where there is none it is refused with NotFound."""

    target: int
    revise: Revise


class Elsewhere(Record, frozen=True, kw_only=True, gc=False):
    """A change of rights in another conversation, where it leaves no entry. It begins with ``roster`` if need be."""

    roster: Roster
    decide: Decide


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


class Ack(Record, frozen=True, kw_only=True, gc=False):
    """A device has everything of a log up to and including ``seq``."""

    user: str
    device: str
    conversation: str
    seq: int

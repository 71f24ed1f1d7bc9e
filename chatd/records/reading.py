"""How far people have read, and what they still have to."""

from datetime import datetime
from typing import Final

from chatd.records.base import Effect, Record
from chatd.records.logs import KeptMessage
from chatd.records.rosters import Conversation

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


class MustRead(Effect, frozen=True, kw_only=True, gc=False):
    """The message is one that members are asked to confirm. The row is written once, with the message."""


class Confirmation(Record, frozen=True, kw_only=True, gc=False):
    """Somebody has read what must be read."""

    user: str
    at: datetime

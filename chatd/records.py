"""Frozen rows: what the parts of chatd hand to each other."""

from datetime import datetime
from typing import Literal

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all rows."""


class Claims(Record, frozen=True, kw_only=True, gc=False):
    """What a verified token says. ``user`` is its ``sub``; times are seconds since the epoch (RFC 7519)."""

    user: str
    issuer: str
    expires_at: float
    token_id: str | None = None
    issued_at: float | None = None


ConversationKind = Literal["direct", "queue"]
"""``direct``: two people. ``queue``: one person's event queue, which is a log like any other with one reader."""


class Conversation(Record, frozen=True, kw_only=True, gc=False):
    """One log and the people in it. ``last_seq`` is 0 while the log is empty."""

    conversation: str
    kind: ConversationKind
    members: tuple[str, ...]
    last_seq: int
    created_at: datetime
    last_at: datetime


class Draft(Record, frozen=True, kw_only=True, gc=False):
    """A change on its way into a log: sealed, checked, not yet numbered.

    ``digest`` stands for the content in the comparison of repeats; it is keyed, so it tells nothing by itself.
    ``content`` is the open form, for delivery in this process: it is neither stored nor sent anywhere.
    """

    conversation: str
    author: str
    client_id: str
    digest: bytes
    kind: str
    sealed: bytes
    audience: tuple[str, ...]
    content: msgspec.Struct


class Appended(Record, frozen=True, kw_only=True, gc=False):
    """Where a committed change stands."""

    conversation: str
    seq: int
    time: datetime


class Entry(Record, frozen=True, kw_only=True, gc=False):
    """One committed change of a log, as stored."""

    conversation: str
    seq: int
    time: datetime
    author: str
    client_id: str
    kind: str
    sealed: bytes


class Publication(Record, frozen=True, kw_only=True, gc=False):
    """A committed change on its way to whoever may see it. ``content`` is there where it was made in this process.

    ``doubtful``: the log may hold changes before this one that were never published, since the reply to their commit
    was lost; or this one may have been published long ago.
    """

    entry: Entry
    audience: tuple[str, ...]
    content: msgspec.Struct | None = None
    doubtful: bool = False


class Cursor(Record, frozen=True, kw_only=True, gc=False):
    """How far a reader has come in one log: it has everything up to and including ``seq``."""

    conversation: str
    seq: int


class Position(Record, frozen=True, kw_only=True, gc=False):
    """Where a log stands and how far one device has acknowledged it (None: never).

    ``recent`` is whether the log changed within the last minute, that is, whether a change of it may still be on its
    way through this process.
    """

    conversation: str
    last_seq: int
    acknowledged: int | None
    recent: bool


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

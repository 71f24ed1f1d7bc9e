"""Who is there, and who types."""

from datetime import datetime
from typing import Literal

from chatd.records.base import Record, Signal

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

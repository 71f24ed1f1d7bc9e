"""The newest messages of a conversation, as all see them who see all of its end."""

from datetime import datetime

from chatd.records.base import Record
from chatd.records.logs import Entry, KeptMessage


class End(Record, frozen=True, kw_only=True, gc=False):
    """Where a log ends: the ``seq`` and the time of its last change.

    Whatever is changed about a conversation's messages takes a place in its log, or moves the time alone as a shredding
    does, so between two looks that find the same end nothing has changed. The time also tells ends apart that a
    restored backup has gone back behind.
    """

    seq: int
    at: datetime


class Outlook(Record, frozen=True, kw_only=True, gc=False):
    """What a person sees of a log: the messages behind ``low`` and up to ``high``, as they were when it ended there.

    ``hides`` is whether they have deleted any message of it for themselves.
    """

    end: End
    low: int
    high: int
    hides: bool


class Count(Record, frozen=True, kw_only=True, gc=False):
    """How many react to the message at ``target`` with the emoji of ``mark``; ``samples`` as in a tally."""

    target: int
    mark: bytes
    count: int
    samples: tuple[Entry, ...]


class Recent(Record, frozen=True, kw_only=True, gc=False):
    """The newest messages by ``seq``, and the reactions to them message by message, as they were at ``end``."""

    end: End
    messages: tuple[KeptMessage, ...]
    counts: tuple[Count, ...]

"""Searches and what they find."""

from collections.abc import Mapping
from datetime import datetime

from chatd.records.base import Record
from chatd.records.logs import Entry


class FoundAt(Record, frozen=True, kw_only=True, gc=False):
    """A place among all messages of all conversations: the newest first, then by conversation and ``seq``."""

    time: datetime
    conversation: str
    seq: int


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

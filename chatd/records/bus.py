"""What workers hear of each other's changes."""

from collections.abc import Collection

import msgspec

from chatd.records.base import Record
from chatd.records.logs import Entry, Publication


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


def news_of(publication: Publication) -> News:
    """What is heard of a change by those in its own process."""
    return News(
        conversation=publication.entry.conversation,
        seq=publication.entry.seq,
        entry=None if publication.content is None else publication.entry,
        content=publication.content,
        audience=publication.audience,
        access=publication.access,
        came=publication.came,
        gone=publication.gone,
    )


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

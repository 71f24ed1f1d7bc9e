"""Reactions to messages."""

from collections.abc import Callable, Collection

from chatd.records.base import Effect, Record
from chatd.records.logs import Entry

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

"""How people stand to each other, and what they say of themselves."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

from chatd.records.base import Effect, Record


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

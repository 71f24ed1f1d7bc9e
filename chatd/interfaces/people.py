"""How people stand to each other."""

from collections.abc import Awaitable, Sequence
from typing import Literal

from zope.interface import Interface

from chatd.records.logs import Entry
from chatd.records.people import Acquaintance, Blocks, Side, Tie

Purpose = Literal["direct", "invitation"]
"""What somebody wants of another: to open a direct conversation, or to invite them into a group."""


class IRelations(Interface):
    """How people stand to each other, as far as rules and passing notices depend on it."""

    def apart(user: str) -> Awaitable[frozenset[str]]:
        """Whoever blocks ``user`` or is blocked by them."""

    def blockers(user: str) -> Awaitable[frozenset[str]]:
        """Whoever blocks ``user``."""

    def check_contact(user: str, other: str, purpose: Purpose = "invitation") -> Awaitable[None]:
        """Raise Forbidden unless ``user`` may open a conversation with ``other``, or invite them into a group.

        A block either way and what this product allows decide; whether ``other`` exists does not show.
        """


class IContacts(Interface):
    """The product's own decision on who may contact whom, for those whom no block keeps apart."""

    def allows(user: str, other: str, purpose: Purpose) -> Awaitable[bool]:
        """Whether ``user`` may contact ``other``; raises Unavailable where that cannot be found out."""


class IRelationStore(Interface):
    """Who follows and who blocks whom. It is changed by drafts that relate; see ``Draft.relating``."""

    def tie(user: str, other: str) -> Awaitable[Tie]:
        """How these two stand to each other."""

    def blocks(user: str) -> Awaitable[Blocks]:
        """All blocks that concern a person."""

    def page(side: Side, user: str, after: str, limit: int) -> Awaitable[list[Acquaintance]]:
        """Those on one side of a person's, by the code points of their names, behind the name ``after``."""


class IProfileStore(Interface):
    """People's profiles, each as the entry that gave it.

    What a person gave themselves stands in their event queue too, and was written there; see ``ProfileGiven``. What
    was taken from a token has the ``seq`` 0. The ``time`` of a person's profile grows with each change of it.
    """

    def profiles(users: Sequence[str]) -> Awaitable[list[Entry]]:
        """The profiles that exist among those asked for."""

    def claim(profile: Entry) -> Awaitable[bool]:
        """Keep what a token says, unless the person has given a profile themselves. Whether it was kept."""

"""How people stand to each other."""

from zope.interface import implementer

from chatd.interfaces import IRelations
from chatd.records import Signal


class RelationsChanged(Signal, frozen=True, kw_only=True, tag="relations.changed"):
    """Who is apart from these people has changed."""

    users: tuple[str, ...]


@implementer(IRelations)
class Strangers:
    """People of whom nothing is known: nobody has blocked anybody, and everybody may be written to."""

    async def apart(self, user: str) -> frozenset[str]:
        """See :class:`~chatd.interfaces.IRelations`."""
        return frozenset()

    async def check_contact(self, user: str, other: str) -> None:
        """See :class:`~chatd.interfaces.IRelations`."""

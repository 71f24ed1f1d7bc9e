"""How people stand to each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from zope.interface import implementer

from chatd.errors import Forbidden
from chatd.interfaces.people import IContacts, IRelations, IRelationStore, Purpose
from chatd.records.base import Signal
from chatd.records.people import Blocks, Tie
from chatd.settings.model import ContactPolicy
from chatd.state.exchange import Exchange
from chatd.state.kept import Kept

APART: Final = "You cannot write to each other."
"""Told to whoever blocks and to whoever is blocked, in the same words."""

NO_CONTACT: Final = "You may not contact this person: the contact policy of this server does not allow it."

KEPT_SECONDS = 30.0
"""How long a block may stay unnoticed where the news of it was lost; what is written is checked in any case."""

RULES: Final[Mapping[ContactPolicy, Callable[[Tie], bool]]] = {
    "anyone": lambda tie: True,
    "followers": lambda tie: tie.followed,
    "mutual": lambda tie: tie.followed and tie.follows,
}
"""Whom the policies that ask nobody let contact another, by how they stand to them."""


class RelationsChanged(Signal, frozen=True, kw_only=True, tag="relations.changed"):
    """Who is apart from these people has changed."""

    users: tuple[str, ...]


@implementer(IRelations)
class Relations:
    """What one worker knows of how people stand to each other.

    Blocks are kept for KEPT_SECONDS, or until a worker tells of a change; ``clock`` gives seconds. ``contacts`` is
    asked where ``policy`` is ``ask``. ``capacity`` bounds the people in all that is kept.
    """

    def __init__(
        self,
        store: IRelationStore,
        exchange: Exchange,
        clock: Callable[[], float],
        *,
        policy: ContactPolicy,
        contacts: IContacts,
        capacity: int = 200_000,
    ) -> None:
        self._store = store
        self._policy = policy
        self._contacts = contacts
        self._blocks: Kept[Blocks] = Kept(
            self._read,
            clock=clock,
            seconds=KEPT_SECONDS,
            capacity=capacity,
            size=lambda blocks: 1 + len(blocks.blocked) + len(blocks.blockers),
        )
        exchange.listen(RelationsChanged, lambda changed: self._blocks.forget(changed.users))

    async def _read(self, users: Sequence[str]) -> Mapping[str, Blocks]:
        return {user: await self._store.blocks(user) for user in users}

    async def _blocks_of(self, user: str) -> Blocks:
        return (await self._blocks.get([user]))[user]

    async def apart(self, user: str) -> frozenset[str]:
        """See :class:`~chatd.interfaces.people.IRelations`."""
        blocks = await self._blocks_of(user)
        return blocks.blocked | blocks.blockers

    async def blockers(self, user: str) -> frozenset[str]:
        """See :class:`~chatd.interfaces.people.IRelations`."""
        return (await self._blocks_of(user)).blockers

    async def check_contact(self, user: str, other: str, purpose: Purpose = "invitation") -> None:
        """See :class:`~chatd.interfaces.people.IRelations`. Read anew each time: it is seldom asked."""
        if user == other:
            return
        tie = await self._store.tie(user, other)
        if tie.blocks or tie.blocked:
            raise Forbidden(APART)
        rule = RULES.get(self._policy)
        allowed = rule(tie) if rule is not None else await self._contacts.allows(user, other, purpose)
        if not allowed:
            raise Forbidden(NO_CONTACT)


@implementer(IRelations)
class Strangers:
    """The twin for whatever is about something else: nobody has blocked anybody, and everybody may be written to."""

    async def apart(self, user: str) -> frozenset[str]:
        """See :class:`~chatd.interfaces.people.IRelations`."""
        return frozenset()

    async def blockers(self, user: str) -> frozenset[str]:
        """See :class:`~chatd.interfaces.people.IRelations`."""
        return frozenset()

    async def check_contact(self, user: str, other: str, purpose: Purpose = "invitation") -> None:
        """See :class:`~chatd.interfaces.people.IRelations`."""

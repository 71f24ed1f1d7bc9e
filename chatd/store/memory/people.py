"""Who follows and who blocks whom, and people's profiles, in memory: the twins of PostgreSQL's."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace
from zope.interface import implementer

from chatd.interfaces.people import IProfileStore, IRelationStore
from chatd.records.logs import Entry
from chatd.records.people import Acquaintance, Blocks, Related, Side, Tie
from chatd.store.decisions import Pair, mirrored

Ties = dict[Pair, datetime]
"""Who stands so to whom, and since when."""


class People:
    """What both twins share, and the changes of it."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.follows: Ties = {}
        self.blocks: Ties = {}
        self.profiles: dict[str, Entry] = {}

    def tie(self, user: str, other: str) -> Tie:
        there, back = (user, other), (other, user)
        return Tie(
            follows=there in self.follows,
            followed=back in self.follows,
            blocks=there in self.blocks,
            blocked=back in self.blocks,
        )

    def ties(self, pairs: Iterable[Pair]) -> dict[Pair, Tie]:
        """How these stand to each other, seen from both ends."""
        return {seen: self.tie(*seen) for user, other in pairs for seen in ((user, other), (other, user))}

    def relate(self, related: Related, entry: Entry) -> None:
        """What is there already keeps its time."""
        seen = {(related.user, related.other): related.tie, (related.other, related.user): mirrored(related.tie)}
        for pair, tie in seen.items():
            for ties, wanted in ((self.follows, tie.follows), (self.blocks, tie.blocks)):
                if wanted:
                    ties.setdefault(pair, entry.time)
                else:
                    ties.pop(pair, None)

    def give_profile(self, entry: Entry) -> None:
        """Its time grows with each change."""
        before = self.profiles.get(entry.author)
        earliest = entry.time if before is None else before.time + timedelta(microseconds=1)
        self.profiles[entry.author] = replace(entry, time=max(entry.time, earliest))


@implementer(IRelationStore)
class MemoryRelations:
    """See :class:`~chatd.interfaces.people.IRelationStore`."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def tie(self, user: str, other: str) -> Tie:
        """See :class:`~chatd.interfaces.people.IRelationStore`."""
        return self._people.tie(user, other)

    async def blocks(self, user: str) -> Blocks:
        """See :class:`~chatd.interfaces.people.IRelationStore`."""
        return Blocks(
            blocked=frozenset(blocked for blocker, blocked in self._people.blocks if blocker == user),
            blockers=frozenset(blocker for blocker, blocked in self._people.blocks if blocked == user),
        )

    async def page(self, side: Side, user: str, after: str, limit: int) -> list[Acquaintance]:
        """See :class:`~chatd.interfaces.people.IRelationStore`."""
        ties = self._people.blocks if side == "blocks" else self._people.follows
        ends = [(tie[::-1] if side == "followers" else tie, since) for tie, since in ties.items()]
        found = [Acquaintance(user=other, since=since) for (own, other), since in ends if own == user and other > after]
        return sorted(found, key=lambda one: one.user)[:limit]


@implementer(IProfileStore)
class MemoryProfiles:
    """See :class:`~chatd.interfaces.people.IProfileStore`."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def profiles(self, users: Sequence[str]) -> list[Entry]:
        """See :class:`~chatd.interfaces.people.IProfileStore`."""
        return [self._people.profiles[user] for user in set(users) if user in self._people.profiles]

    async def claim(self, profile: Entry) -> bool:
        """See :class:`~chatd.interfaces.people.IProfileStore`."""
        kept = self._people.profiles.get(profile.author)
        if kept is not None and kept.seq:
            return False
        self._people.give_profile(replace(profile, time=self._people.now()))
        return True

"""People's profiles, from the cache."""

from collections.abc import Awaitable, Sequence

from zope.interface import implementer

from chatd.interfaces.people import IProfileStore
from chatd.records.logs import Entry
from chatd.state.shelf import Shelf


@implementer(IProfileStore)
class KeptProfiles:
    """``store``, read by way of ``shelf``, where None stands for somebody who has no profile.

    ``forget`` is to be called on every worker that hears of a change.
    """

    def __init__(self, store: IProfileStore, shelf: Shelf[Entry | None]) -> None:
        self._store = store
        self._shelf = shelf

    async def profiles(self, users: Sequence[str]) -> list[Entry]:
        """See :class:`~chatd.interfaces.people.IProfileStore`."""
        as_of, asked = self._shelf.now(), [*dict.fromkeys(users)]
        found = {user: kept.value for user, kept in (await self._shelf.get(asked)).items()}
        missing = [user for user in asked if user not in found]
        if missing:
            read: dict[str, Entry | None] = dict.fromkeys(missing)
            read |= {entry.author: entry for entry in await self._store.profiles(missing)}
            self._shelf.put(read, as_of)
            found |= read
        return [entry for entry in found.values() if entry is not None]

    def claim(self, profile: Entry) -> Awaitable[bool]:
        """See :class:`~chatd.interfaces.people.IProfileStore`."""
        return self._store.claim(profile)

    def forget(self, users: Sequence[str]) -> None:
        """These people's profiles have changed."""
        self._shelf.forget(users)

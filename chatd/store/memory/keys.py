"""Wrapped keys in memory."""

from collections.abc import Sequence

from zope.interface import implementer

from chatd.interfaces.keys import IKeyStore
from chatd.records.keys import WrappedKey
from chatd.store.memory.database import MemoryDatabase


@implementer(IKeyStore)
class MemoryKeys:
    """See :class:`~chatd.interfaces.keys.IKeyStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def keys(self, users: Sequence[str]) -> list[WrappedKey]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return [self._database.keys[user] for user in dict.fromkeys(users) if user in self._database.keys]

    async def add(self, key: WrappedKey) -> WrappedKey:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return self._database.keys.setdefault(key.user, key)

"""Wrapped keys in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from zope.interface import implementer

from chatd.interfaces.keys import IKeyCare, IKeyStore
from chatd.records.keys import Rewrapped, WrappedKey
from chatd.store.memory.database import MemoryDatabase


@implementer(IKeyStore, IKeyCare)
class MemoryKeys:
    """See :class:`~chatd.interfaces.keys.IKeyStore` and :class:`~chatd.interfaces.keys.IKeyCare`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def keys(self, users: Sequence[str]) -> list[WrappedKey]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return [self._database.keys[user] for user in dict.fromkeys(users) if user in self._database.keys]

    async def add(self, key: WrappedKey) -> WrappedKey:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return self._database.keys.setdefault(key.user, key)

    async def destructions(self, users: Sequence[str]) -> Mapping[str, datetime]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return {user: at for user, at in self._database.keys_destroyed.items() if user in users}

    async def destroyed_within(self, seconds: float) -> Mapping[str, datetime]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        since = self._database.now() - timedelta(seconds=seconds)
        return {user: at for user, at in self._database.keys_destroyed.items() if at > since}

    async def masters(self) -> list[str]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return sorted({key.master for key in self._database.keys.values()})

    async def counts(self) -> Mapping[str, int]:
        """See :class:`~chatd.interfaces.keys.IKeyCare`."""
        return Counter(key.master for key in self._database.keys.values())

    async def page(self, master: str | None, after: str | None, limit: int) -> list[WrappedKey]:
        """See :class:`~chatd.interfaces.keys.IKeyCare`."""
        found = sorted(self._database.keys.values(), key=lambda key: key.user)
        wanted = (key for key in found if master in (None, key.master) and (after is None or key.user > after))
        return [key for _, key in zip(range(limit), wanted, strict=False)]

    async def rewrap(self, keys: Sequence[Rewrapped]) -> int:
        """See :class:`~chatd.interfaces.keys.IKeyCare`."""
        standing = [one for one in keys if self._database.keys.get(one.before.user) == one.before]
        self._database.keys.update({one.after.user: one.after for one in standing})
        return len(standing)

    async def destroy(self, user: str) -> datetime | None:
        """See :class:`~chatd.interfaces.keys.IKeyCare`."""
        if self._database.keys.pop(user, None) is not None:
            self._database.keys_destroyed[user] = self._database.now()
        return self._database.keys_destroyed.get(user)

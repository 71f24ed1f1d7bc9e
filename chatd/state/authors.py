"""The data keys that this worker has seen of late."""

from collections import OrderedDict
from collections.abc import Sequence, Set
from datetime import timedelta
from typing import Final

from chatd.interfaces.keys import IKeyStore
from chatd.records.keys import WrappedKey
from chatd.records.logs import Entry
from chatd.security.keyring import Keyring
from chatd.security.sealing import AuthorKey, Unreadable

SERVER: Final = ""
"""Whose key makes digests that have to be equal whoever writes. No token's ``sub`` is empty, so it is nobody's name.

A key like any other: made on first use, wrapped by the master key and rewrapped with all others.
"""


UNDER_WAY: Final = timedelta(seconds=60)
"""How long after a key was destroyed what had been sealed under it may still be committed."""


class Authors:
    """Opened data keys by user, the least recently used going first.

    ``capacity`` bounds them; each takes about 3.4 KB, most of it OpenSSL's.
    """

    def __init__(self, store: IKeyStore, keyring: Keyring, *, capacity: int = 10_000) -> None:
        self._store = store
        self._keyring = keyring
        self._capacity = capacity
        self._keys: OrderedDict[str, AuthorKey] = OrderedDict()

    def known(self, user: str) -> AuthorKey | None:
        """The key, if it is at hand."""
        key = self._keys.get(user)
        if key is not None:
            self._keys.move_to_end(user)
        return key

    async def writing(self, user: str) -> AuthorKey:
        """The key that ``user`` writes with, made on first use.

        Raises ``Unreadable`` if it cannot be opened, or if none is made since the server's own cannot.
        """
        key = self.known(user)
        if key is None:
            found = await self._store.keys([user])
            wrapped = found[0] if found else await self._make(user)
            key = self._keep(user, self._keyring.open(wrapped))
        return key

    async def _make(self, user: str) -> WrappedKey:
        """A new key for ``user``. Under wrong master keys it would be lost as soon as they are put right."""
        if user != SERVER:
            await self.writing(SERVER)
        return await self._store.add(self._keyring.create(user))

    async def reading(self, users: Set[str]) -> dict[str, AuthorKey | Unreadable]:
        """The keys to read what these have written; why not, for one that cannot be opened; nothing where none is."""
        found: dict[str, AuthorKey | Unreadable] = {}
        for user in users:
            if (key := self.known(user)) is not None:
                found[user] = key
        if missing := users - found.keys():
            for wrapped in await self._store.keys(sorted(missing)):
                try:
                    found[wrapped.user] = self._keep(wrapped.user, self._keyring.open(wrapped))
                except Unreadable as unreadable:
                    found[wrapped.user] = unreadable
        return found

    async def erased(self, entries: Sequence[Entry]) -> list[bool]:
        """Of each of these, which do not open, whether that is because its author's key was destroyed after it."""
        destroyed = await self._store.destructions(sorted({entry.author for entry in entries}))
        return [entry.author in destroyed and entry.time <= destroyed[entry.author] + UNDER_WAY for entry in entries]

    def forget(self, user: str) -> bool:
        """Let go of a key that was destroyed; whether it was there.

        If another has been made since, it is read again when it is needed.
        """
        return self._keys.pop(user, None) is not None

    def _keep(self, user: str, key: AuthorKey) -> AuthorKey:
        self._keys[user] = key
        if len(self._keys) > self._capacity:
            self._keys.popitem(last=False)
        return key

"""People's wrapped data keys in PostgreSQL."""

from collections.abc import Sequence

from zope.interface import implementer

from chatd.interfaces.keys import IKeyStore
from chatd.records.keys import WrappedKey
from chatd.store.arrays import text_array
from chatd.store.pool import Pool

KEYS = "SELECT user_id, master, wrapped FROM chatd.data_keys WHERE user_id = ANY (%s::text[])"
ADD = "INSERT INTO chatd.data_keys (user_id, master, wrapped) VALUES (%s, %s, %s) ON CONFLICT (user_id) DO NOTHING"


@implementer(IKeyStore)
class PostgresKeys:
    """See :class:`~chatd.interfaces.keys.IKeyStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keys(self, users: Sequence[str]) -> list[WrappedKey]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        rows = await self._pool.query(KEYS, (text_array(users),))
        return [WrappedKey(user=user, master=master, wrapped=bytes(wrapped)) for user, master, wrapped in rows]

    async def add(self, key: WrappedKey) -> WrappedKey:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        await self._pool.query(ADD, (key.user, key.master, key.wrapped), writes=True)
        (kept,) = await self.keys([key.user])
        return kept

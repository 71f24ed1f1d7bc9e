"""People's wrapped data keys in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from zope.interface import implementer

from chatd.interfaces.keys import IKeyCare, IKeyStore
from chatd.records.keys import Rewrapped, WrappedKey
from chatd.store.arrays import bytea_array, text_array
from chatd.store.pool import Pool

KEYS = """
SELECT user_id, master, wrapped FROM chatd.data_keys WHERE user_id = ANY (%s::text[]) AND wrapped IS NOT NULL
"""
# One statement, so that a key that is destroyed meanwhile is either there or replaced.
ADD = """
INSERT INTO chatd.data_keys AS k (user_id, master, wrapped) VALUES (%s, %s, %s)
ON CONFLICT (user_id) DO UPDATE
SET master = coalesce(k.master, excluded.master), wrapped = coalesce(k.wrapped, excluded.wrapped),
    created_at = CASE WHEN k.wrapped IS NULL THEN now() ELSE k.created_at END
RETURNING user_id, master, wrapped
"""
DESTRUCTIONS = """
SELECT user_id, destroyed_at FROM chatd.data_keys WHERE user_id = ANY (%s::text[]) AND destroyed_at IS NOT NULL
"""
DESTROYED = "SELECT user_id, destroyed_at FROM chatd.data_keys WHERE destroyed_at > now() - %s * interval '1 s'"
# Each step finds the next version in the index, however many keys have it.
MASTERS = """
WITH RECURSIVE version AS (
    (SELECT master FROM chatd.data_keys WHERE wrapped IS NOT NULL ORDER BY master LIMIT 1)
    UNION ALL
    SELECT (
        SELECT k.master FROM chatd.data_keys AS k WHERE k.wrapped IS NOT NULL AND k.master > version.master
        ORDER BY k.master LIMIT 1
    ) FROM version WHERE version.master IS NOT NULL
)
SELECT master FROM version WHERE master IS NOT NULL
"""
COUNTS = "SELECT master, count(*) FROM chatd.data_keys WHERE wrapped IS NOT NULL GROUP BY master ORDER BY master"
PAGE = """
SELECT user_id, master, wrapped FROM chatd.data_keys
WHERE wrapped IS NOT NULL AND (%(master)s::text IS NULL OR master = %(master)s)
  AND (%(after)s::text IS NULL OR user_id > %(after)s)
ORDER BY user_id LIMIT %(limit)s
"""
# Locked in one order: two rotations wait for each other.
REWRAP = """
WITH rewrapped AS (
    SELECT user_id COLLATE "C" AS user_id, before, master, wrapped
    FROM unnest(%s::text[], %s::bytea[], %s::text[], %s::bytea[]) AS r (user_id, before, master, wrapped)
), standing AS MATERIALIZED (
    SELECT k.user_id, r.master, r.wrapped
    FROM chatd.data_keys AS k JOIN rewrapped AS r ON r.user_id = k.user_id AND r.before = k.wrapped
    ORDER BY k.user_id FOR UPDATE OF k
)
UPDATE chatd.data_keys AS k SET master = s.master, wrapped = s.wrapped
FROM standing AS s WHERE k.user_id = s.user_id
RETURNING k.user_id
"""
DESTROY = """
WITH destroyed AS (
    UPDATE chatd.data_keys SET master = NULL, wrapped = NULL, destroyed_at = now()
    WHERE user_id = %(user)s AND wrapped IS NOT NULL RETURNING destroyed_at
)
SELECT coalesce((SELECT destroyed_at FROM destroyed), k.destroyed_at)
FROM chatd.data_keys AS k WHERE k.user_id = %(user)s
"""


@implementer(IKeyStore, IKeyCare)
class PostgresKeys:
    """See :class:`~chatd.interfaces.keys.IKeyStore` and :class:`~chatd.interfaces.keys.IKeyCare`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keys(self, users: Sequence[str]) -> list[WrappedKey]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return [_key(row) for row in await self._pool.query(KEYS, (text_array(users),))]

    async def add(self, key: WrappedKey) -> WrappedKey:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        [row] = await self._pool.query(ADD, (key.user, key.master, key.wrapped), writes=True)
        return _key(row)

    async def destructions(self, users: Sequence[str]) -> Mapping[str, datetime]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return dict(await self._pool.query(DESTRUCTIONS, (text_array(users),)))

    async def destroyed_within(self, seconds: float) -> Mapping[str, datetime]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return dict(await self._pool.query(DESTROYED, (seconds,)))

    async def masters(self) -> list[str]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return [master for (master,) in await self._pool.query(MASTERS)]

    async def counts(self) -> Mapping[str, int]:
        """See :class:`~chatd.interfaces.keys.IKeyCare`."""
        return dict(await self._pool.query(COUNTS))

    async def page(self, master: str | None, after: str | None, limit: int) -> list[WrappedKey]:
        """See :class:`~chatd.interfaces.keys.IKeyCare`."""
        rows = await self._pool.query(PAGE, {"master": master, "after": after, "limit": limit})
        return [_key(row) for row in rows]

    async def rewrap(self, keys: Sequence[Rewrapped]) -> int:
        """See :class:`~chatd.interfaces.keys.IKeyCare`."""
        columns = (
            text_array(one.before.user for one in keys),
            bytea_array(one.before.wrapped for one in keys),
            text_array(one.after.master for one in keys),
            bytea_array(one.after.wrapped for one in keys),
        )
        return len(await self._pool.query(REWRAP, columns, writes=True, retry=True))

    async def destroy(self, user: str) -> datetime | None:
        """See :class:`~chatd.interfaces.keys.IKeyCare`."""
        rows = await self._pool.query(DESTROY, {"user": user}, writes=True)
        return rows[0][0] if rows else None


def _key(row: tuple[Any, ...]) -> WrappedKey:
    user, master, wrapped = row
    return WrappedKey(user=user, master=master, wrapped=bytes(wrapped))

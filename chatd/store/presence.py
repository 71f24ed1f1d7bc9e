"""Who is online, in PostgreSQL."""

from collections.abc import Sequence

from zope.interface import implementer

from chatd.interfaces.presence import IPresenceStore
from chatd.records.presence import Lease, Seen
from chatd.store.arrays import nullable_array, text_array
from chatd.store.pool import Pool
from chatd.store.transaction import Cursor

BEGIN = """
INSERT INTO chatd.workers (worker_id, renewed_at, expires_at) VALUES (%s, now(), now() + %s * interval '1 second')
"""

RENEW = """
UPDATE chatd.workers SET renewed_at = now(), expires_at = now() + %(seconds)s * interval '1 second'
WHERE worker_id = %(worker)s AND expires_at > now() RETURNING true
"""

# The worker's row is held meanwhile, so that nothing is written behind the back of whoever sweeps it away. Rows are
# touched in one order, as everywhere.
WRITE = """
WITH living AS MATERIALIZED (
    SELECT worker_id FROM chatd.workers WHERE worker_id = %(worker)s AND expires_at > now() FOR KEY SHARE
), wanted AS MATERIALIZED (
    SELECT w.user_id, w.status, living.worker_id, p.status AS former
    FROM unnest(%(users)s::text[], %(statuses)s::text[]) AS w (user_id, status) CROSS JOIN living
    LEFT JOIN chatd.presence AS p ON p.user_id = w.user_id AND p.worker_id = living.worker_id
), put AS (
    INSERT INTO chatd.presence (user_id, worker_id, status)
    SELECT user_id, worker_id, status FROM wanted WHERE status IS NOT NULL ORDER BY user_id COLLATE "C"
    ON CONFLICT (user_id, worker_id) DO UPDATE SET status = excluded.status
), removed AS (
    DELETE FROM chatd.presence AS p USING wanted AS w
    WHERE p.user_id = w.user_id AND p.worker_id = w.worker_id AND w.status IS NULL
), seen AS (
    INSERT INTO chatd.last_seen AS s (user_id, at)
    SELECT user_id, date_trunc('second', now()) FROM wanted
    WHERE former <> 'invisible' AND coalesce(status, 'invisible') = 'invisible' ORDER BY user_id COLLATE "C"
    ON CONFLICT (user_id) DO UPDATE SET at = excluded.at WHERE s.at < excluded.at
)
SELECT true FROM living
"""

EXPIRED = """
SELECT worker_id, renewed_at FROM chatd.workers WHERE expires_at <= now()
ORDER BY expires_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""

SWEEP = """
WITH removed AS (
    DELETE FROM chatd.presence WHERE (user_id, worker_id) IN (
        SELECT user_id, worker_id FROM chatd.presence WHERE worker_id = %(worker)s LIMIT %(limit)s
    ) RETURNING user_id, status
), seen AS (
    INSERT INTO chatd.last_seen AS s (user_id, at)
    SELECT user_id, date_trunc('second', %(at)s::timestamptz) FROM removed
    WHERE status <> 'invisible' ORDER BY user_id COLLATE "C"
    ON CONFLICT (user_id) DO UPDATE SET at = excluded.at WHERE s.at < excluded.at
)
SELECT user_id FROM removed
"""

FORGET = "DELETE FROM chatd.workers WHERE worker_id = %s"

# Whoever is left of a dead worker was last seen as the sweep will say.
READ = """
SELECT u.user_id, p.status, greatest(s.at, d.at), extract(epoch FROM now())::double precision
FROM (SELECT DISTINCT user_id COLLATE "C" AS user_id FROM unnest(%s::text[]) AS u (user_id)) AS u
LEFT JOIN LATERAL (
    SELECT p.status FROM chatd.presence AS p JOIN chatd.workers AS w USING (worker_id)
    WHERE p.user_id = u.user_id AND w.expires_at > now()
    ORDER BY array_position('{online,away,invisible}', p.status) LIMIT 1
) AS p ON true
LEFT JOIN LATERAL (
    SELECT date_trunc('second', max(w.renewed_at)) AS at
    FROM chatd.presence AS p JOIN chatd.workers AS w USING (worker_id)
    WHERE p.user_id = u.user_id AND p.status <> 'invisible' AND w.expires_at <= now()
) AS d ON true
LEFT JOIN chatd.last_seen AS s ON s.user_id = u.user_id
"""

# LIMIT has each pair looked up by itself, along the conversations of one of the two, up to the first that they share.
ACQUAINTED = """
SELECT pair.viewer, pair.user_id FROM unnest(%s::text[], %s::text[]) AS pair (viewer, user_id)
CROSS JOIN LATERAL (
    (SELECT 1 FROM chatd.members AS theirs
    JOIN chatd.members AS own ON own.conversation_id = theirs.conversation_id AND own.user_id = pair.viewer
    JOIN chatd.conversations AS c ON c.conversation_id = theirs.conversation_id
    WHERE theirs.user_id = pair.user_id AND theirs.standing = 'member' AND own.standing = 'member'
      AND c.opened AND NOT c.closed LIMIT 1)
    UNION ALL
    (SELECT 1 FROM chatd.follows AS f JOIN chatd.followers AS b ON b.user_id = f.user_id AND b.other_id = f.other_id
     WHERE f.user_id = pair.viewer AND f.other_id = pair.user_id LIMIT 1)
    LIMIT 1
) AS known
"""


@implementer(IPresenceStore)
class PostgresPresence:
    """See :class:`~chatd.interfaces.presence.IPresenceStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, worker: str, seconds: float) -> None:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        await self._pool.query(BEGIN, (worker, seconds), writes=True)

    async def renew(self, worker: str, seconds: float) -> bool:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        return bool(await self._pool.query(RENEW, {"worker": worker, "seconds": seconds}, writes=True))

    async def write(self, worker: str, leases: Sequence[Lease]) -> bool:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        rows = await self._pool.query(
            WRITE,
            {
                "worker": worker,
                "users": text_array(lease.user for lease in leases),
                "statuses": nullable_array(lease.status for lease in leases),
            },
            writes=True,
            retry=True,
        )
        return bool(rows)

    async def sweep(self, limit: int) -> list[str]:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        return await self._pool.interact(_sweep, limit)

    async def read(self, users: Sequence[str]) -> list[Seen]:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        if not users:
            return []
        rows = await self._pool.query(READ, (text_array(users),))
        return [
            Seen(user=user, status=status or "offline", last_seen=last_seen, as_of=as_of)
            for user, status, last_seen, as_of in rows
        ]

    async def acquainted(self, pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """See :class:`~chatd.interfaces.presence.IPresenceStore`."""
        if not pairs:
            return set()
        viewers, users = zip(*pairs, strict=True)
        rows = await self._pool.query(ACQUAINTED, (text_array(viewers), text_array(users)))
        return {(viewer, user) for viewer, user in rows}


async def _sweep(cursor: Cursor, limit: int) -> list[str]:
    """One dead worker, whose row is locked first: then the next statement sees all that was ever written for it."""
    expired = await cursor.query(EXPIRED)
    if not expired:
        return []
    [(worker, renewed_at)] = expired
    removed = await cursor.query(SWEEP, {"worker": worker, "limit": limit, "at": renewed_at})
    if len(removed) < limit:
        await cursor.execute(FORGET, (worker,))
    return [user for (user,) in removed]

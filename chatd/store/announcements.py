"""What must be read, and who has read it, in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from chatd.errors import NotFound
from chatd.interfaces.conversations import IAnnouncementStore
from chatd.records.logs import Entry
from chatd.records.reading import Confirmation
from chatd.store.arrays import plain_array
from chatd.store.pool import Pool
from chatd.store.transaction import Cursor

MUST_READS = """
INSERT INTO chatd.must_reads (conversation_id, seq) SELECT * FROM unnest(%s::uuid[], %s::bigint[])
"""

# Whether there is something to confirm, and whether it was confirmed just now for the first time.
CONFIRM = """
WITH due AS MATERIALIZED (
    SELECT r.conversation_id, r.seq
    FROM chatd.must_reads AS r
    JOIN chatd.messages AS s ON s.conversation_id = r.conversation_id AND s.seq = r.seq
    JOIN chatd.conversations AS c ON c.conversation_id = r.conversation_id
    JOIN chatd.members AS m ON m.conversation_id = r.conversation_id AND m.user_id = %(user)s
    WHERE r.conversation_id = %(conversation)s AND r.seq = %(seq)s AND s.deleted_seq IS NULL
      AND m.standing = 'member' AND (m.since_seq < r.seq OR c.history = 'all')
), confirmed AS (
    INSERT INTO chatd.confirmations (conversation_id, seq, user_id)
    SELECT conversation_id, seq, %(user)s FROM due ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM confirmed)
"""

CONFIRMED = """
SELECT (SELECT count(*) FROM chatd.confirmations AS c WHERE c.conversation_id = r.conversation_id AND c.seq = r.seq)
FROM chatd.must_reads AS r WHERE r.conversation_id = %s AND r.seq = %s
"""

CONFIRMATIONS = """
SELECT user_id, at FROM chatd.confirmations
WHERE conversation_id = %s AND seq = %s AND user_id > %s ORDER BY user_id COLLATE "C" LIMIT %s
"""


async def write_must_reads(cursor: Cursor, effects: Sequence[tuple[Any, Entry]]) -> None:
    """Note which messages must be read."""
    entries = [entry for _, entry in effects]
    await cursor.execute(
        MUST_READS, (plain_array(entry.conversation for entry in entries), plain_array(entry.seq for entry in entries))
    )


@implementer(IAnnouncementStore)
class PostgresAnnouncements:
    """See :class:`~chatd.interfaces.conversations.IAnnouncementStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def confirm(self, conversation: str, seq: int, user: str) -> bool:
        """See :class:`~chatd.interfaces.conversations.IAnnouncementStore`."""
        parameters = {"conversation": conversation, "seq": seq, "user": user}
        [[due, confirmed]] = await self._pool.query(CONFIRM, parameters, writes=True, retry=True)
        if not due:
            raise NotFound
        return bool(confirmed)

    async def confirmed(self, conversation: str, seq: int) -> int | None:
        """See :class:`~chatd.interfaces.conversations.IAnnouncementStore`."""
        rows = await self._pool.query(CONFIRMED, (conversation, seq))
        return rows[0][0] if rows else None

    async def confirmations(self, conversation: str, seq: int, after: str, limit: int) -> list[Confirmation]:
        """See :class:`~chatd.interfaces.conversations.IAnnouncementStore`."""
        rows = await self._pool.query(CONFIRMATIONS, (conversation, seq, after, limit))
        return [Confirmation(user=user, at=at) for user, at in rows]

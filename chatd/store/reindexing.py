"""Messages that were written while search was off, and how they get the tokens that they are found by."""

from collections.abc import Sequence
from datetime import datetime

from chatd.records.base import Record
from chatd.records.search import Match
from chatd.store.arrays import nullable_array, plain_array
from chatd.store.outcomes import TOKENS
from chatd.store.pool import Pool
from chatd.store.search import read_match
from chatd.store.transaction import Cursor

CONVERSATIONS = """
SELECT conversation_id, last_seq FROM chatd.conversations
WHERE conversation_id > %s::uuid AND kind <> 'queue' ORDER BY conversation_id LIMIT %s
"""
TOTAL = """
SELECT coalesce(sum(last_seq), 0)::bigint FROM chatd.conversations WHERE conversation_id > %s::uuid AND kind <> 'queue'
"""
UNINDEXED = """
SELECT m.conversation_id, m.seq, m.at, m.author, m.client_id, m.sealed,
       e.seq, e.at, e.author, e.client_id, e.sealed, e.target_seq
FROM chatd.messages AS m
LEFT JOIN chatd.changes AS e ON e.conversation_id = m.conversation_id AND e.seq = m.edited_seq
WHERE m.conversation_id = %s AND m.seq > %s AND m.seq <= %s AND m.deleted_seq IS NULL
  AND NOT EXISTS (SELECT FROM chatd.search_tokens AS t WHERE t.conversation_id = m.conversation_id AND t.seq = m.seq)
ORDER BY m.seq
"""
LOCK = "SELECT FROM chatd.conversations WHERE conversation_id = %s FOR UPDATE"
STANDING = """
SELECT m.seq FROM unnest(%s::bigint[], %s::bigint[]) AS r (seq, edited_seq)
JOIN chatd.messages AS m ON m.conversation_id = %s AND m.seq = r.seq
WHERE m.deleted_seq IS NULL AND m.edited_seq IS NOT DISTINCT FROM r.edited_seq
  AND NOT EXISTS (SELECT FROM chatd.search_tokens AS t WHERE t.conversation_id = m.conversation_id AND t.seq = m.seq)
"""


class Indexed(Record, frozen=True, kw_only=True, gc=False):
    """The tokens of a message that was sent ``at`` that time, as it was after its edit at ``edited``, if it had one."""

    seq: int
    at: datetime
    edited: int | None
    tokens: tuple[int, ...]


class PostgresReindexing:
    """Reads and writes in small steps. What is written goes by what stands there then, so edits may race it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def conversations(self, after: str, limit: int) -> list[tuple[str, int]]:
        """At most so many conversations behind ``after``, by their ids, and where each ends."""
        return [(conversation, last) for conversation, last in await self._pool.query(CONVERSATIONS, (after, limit))]

    async def total(self, after: str) -> int:
        """How many places there are in all conversations behind ``after``."""
        [[total]] = await self._pool.query(TOTAL, (after,))
        return int(total)

    async def unindexed(self, conversation: str, low: int, high: int) -> list[Match]:
        """The messages behind ``low`` and up to ``high`` that have no tokens and are not deleted."""
        return [read_match(row) for row in await self._pool.query(UNINDEXED, (conversation, low, high))]

    async def index(self, conversation: str, messages: Sequence[Indexed]) -> int:
        """Give messages their tokens, unless they were edited, deleted or indexed meanwhile; how many got any."""
        return await self._pool.interact(_index, conversation, messages)


async def _index(cursor: Cursor, conversation: str, messages: Sequence[Indexed]) -> int:
    # Whoever edits or deletes holds this too.
    await cursor.execute(LOCK, (conversation,))
    columns = plain_array(one.seq for one in messages), nullable_array(one.edited for one in messages)
    standing = {seq for (seq,) in await cursor.query(STANDING, (*columns, conversation))}
    rows = [(one, token) for one in messages if one.seq in standing for token in one.tokens]
    if rows:
        await cursor.execute(
            TOKENS,
            (
                plain_array([conversation] * len(rows)),
                plain_array(token for _, token in rows),
                nullable_array(one.at for one, _ in rows),
                plain_array(one.seq for one, _ in rows),
            ),
        )
    return len({one.seq for one, _ in rows})

"""The log in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

import psycopg2
from zope.interface import implementer

from chatd.errors import ChatdError, Conflict, NotFound
from chatd.interfaces import ILogStore
from chatd.records import Appended, Cursor, Draft, Entry
from chatd.store.arrays import bytea_array, plain_array, text_array
from chatd.store.pool import Pool
from chatd.store.prepared import execute
from chatd.store.refusals import Refused, Repeated

# One round trip and one commit for the whole batch. The counters are locked in the order of their ids, whatever the
# order of the drafts, so that two workers with overlapping batches wait for each other instead of deadlocking; the
# update then sees the latest committed counter even where it had to wait (READ COMMITTED looks again). A
# conversation that is not there numbers nothing, so its drafts come back without a row. Receipts are inserted in one
# order too: two batches with the same client_ids, in different conversations, meet nowhere else.
APPEND = """
PREPARE chatd_append (uuid[], text[], text[], bytea[], bytea[]) AS
WITH draft AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY
        AS d (conversation_id, author, client_id, digest, sealed, n)
), locked AS MATERIALIZED (
    SELECT conversation_id FROM chatd.conversations
    WHERE conversation_id = ANY ($1) ORDER BY conversation_id FOR UPDATE
), counted AS (
    SELECT conversation_id, count(*) AS drafts FROM draft GROUP BY conversation_id
), advanced AS (
    UPDATE chatd.conversations AS c SET last_seq = c.last_seq + counted.drafts, last_at = now()
    FROM locked JOIN counted USING (conversation_id)
    WHERE c.conversation_id = locked.conversation_id
    RETURNING c.conversation_id, c.last_seq - counted.drafts AS base
), numbered AS (
    SELECT draft.*, base + row_number() OVER (PARTITION BY conversation_id ORDER BY n) AS seq
    FROM draft JOIN advanced USING (conversation_id)
), stored AS (
    INSERT INTO chatd.messages (conversation_id, seq, at, author, client_id, sealed)
    SELECT conversation_id, seq, now(), author, client_id, sealed FROM numbered
), receipted AS (
    INSERT INTO chatd.receipts (user_id, client_id, conversation_id, seq, at, digest)
    SELECT author, client_id, conversation_id, seq, now(), digest FROM numbered
    ORDER BY author COLLATE "C", client_id COLLATE "C"
)
SELECT n, seq, now() FROM numbered
"""

REPEATS = """
SELECT d.n, r.conversation_id, r.seq, r.at, r.digest
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS d (author, client_id, n)
JOIN chatd.receipts AS r ON r.user_id = d.author AND r.client_id = d.client_id
"""

# Both bodies of a log are read from their index and merged by seq. Logs have no holes, so the counters tell without
# reading how much stands behind each cursor, and which cursors are beyond the limit: they are not looked at.
ENTRIES = """
WITH wanted AS (
    SELECT w.conversation_id, w.seq, w.n,
           sum(c.last_seq - w.seq) OVER (ORDER BY w.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM unnest(%(conversations)s::uuid[], %(after)s::bigint[]) WITH ORDINALITY AS w (conversation_id, seq, n)
    JOIN chatd.conversations AS c ON c.conversation_id = w.conversation_id AND c.last_seq > w.seq
)
SELECT e.* FROM wanted AS w
CROSS JOIN LATERAL (
    (SELECT m.conversation_id, m.seq, m.at, m.author, m.client_id, 'message.created' AS kind, m.sealed
     FROM chatd.messages AS m
     WHERE m.conversation_id = w.conversation_id AND m.seq > w.seq ORDER BY m.seq LIMIT %(limit)s)
    UNION ALL
    (SELECT c.conversation_id, c.seq, c.at, c.author, c.client_id, c.kind, c.sealed
     FROM chatd.changes AS c
     WHERE c.conversation_id = w.conversation_id AND c.seq > w.seq ORDER BY c.seq LIMIT %(limit)s)
    ORDER BY seq LIMIT %(limit)s
) AS e
WHERE coalesce(w.before, 0) < %(limit)s
ORDER BY w.n, e.seq LIMIT %(limit)s
"""

MESSAGES = """
SELECT conversation_id, seq, at, author, client_id, 'message.created', sealed FROM chatd.messages
WHERE conversation_id = %s AND seq > %s AND seq < %s ORDER BY seq {direction} LIMIT %s
"""
OLDEST_MESSAGES = MESSAGES.format(direction="ASC")
NEWEST_MESSAGES = MESSAGES.format(direction="DESC")

# Every statement finds its rows by an index, and pages are read in its order. The planner sees it otherwise where its
# statistics are old: it reads a table that it takes for small, or all of a log that it takes for short, to sort it.
BY_INDEX = "SET enable_seqscan = off; SET enable_bitmapscan = off"

PREPARED = (BY_INDEX, APPEND)


@implementer(ILogStore)
class PostgresLog:
    """See :class:`~chatd.interfaces.ILogStore`. Its statements are prepared on each connection of the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError]:
        """See :class:`~chatd.interfaces.ILogStore`."""
        try:
            rows = await execute(
                self._pool,
                "chatd_append",
                plain_array(draft.conversation for draft in drafts),
                text_array(draft.author for draft in drafts),
                text_array(draft.client_id for draft in drafts),
                bytea_array(draft.digest for draft in drafts),
                bytea_array(draft.sealed for draft in drafts),
            )
        except Refused as refused:
            if _is_repeat(refused.__cause__):
                raise Repeated from refused
            raise
        verdicts: list[Appended | ChatdError | None] = [None] * len(drafts)
        for n, seq, at in rows:
            verdicts[n - 1] = Appended(conversation=drafts[n - 1].conversation, seq=seq, time=at)
        return [NotFound() if verdict is None else verdict for verdict in verdicts]

    async def repeats(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError | None]:
        """See :class:`~chatd.interfaces.ILogStore`."""
        rows = await self._pool.query(
            REPEATS,
            (text_array(draft.author for draft in drafts), text_array(draft.client_id for draft in drafts)),
        )
        found: list[Appended | ChatdError | None] = [None] * len(drafts)
        for n, conversation, seq, at, digest in rows:
            same = bytes(digest) == drafts[n - 1].digest
            found[n - 1] = Appended(conversation=conversation, seq=seq, time=at) if same else Conflict()
        return found

    async def entries(self, cursors: Sequence[Cursor], limit: int) -> list[Entry]:
        """See :class:`~chatd.interfaces.ILogStore`."""
        rows = await self._pool.query(
            ENTRIES,
            {
                "conversations": plain_array(cursor.conversation for cursor in cursors),
                "after": plain_array(cursor.seq for cursor in cursors),
                "limit": limit,
            },
        )
        return [_entry(row) for row in rows]

    async def messages(self, conversation: str, low: int, high: int, limit: int, newest: bool) -> list[Entry]:
        """See :class:`~chatd.interfaces.ILogStore`."""
        statement = NEWEST_MESSAGES if newest else OLDEST_MESSAGES
        rows = await self._pool.query(statement, (conversation, low, high, limit))
        entries = [_entry(row) for row in rows]
        return entries[::-1] if newest else entries


def _is_repeat(cause: BaseException | None) -> bool:
    return isinstance(cause, psycopg2.errors.UniqueViolation) and cause.diag.constraint_name == "receipts_pkey"


def _entry(row: tuple[Any, ...]) -> Entry:
    conversation, seq, at, author, client_id, kind, sealed = row
    return Entry(
        conversation=conversation,
        seq=seq,
        time=at,
        author=author,
        client_id=client_id,
        kind=kind,
        sealed=bytes(sealed),
    )

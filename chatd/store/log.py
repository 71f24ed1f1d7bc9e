"""The log in PostgreSQL."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from chatd.errors import ChatdError
from chatd.interfaces.log import ILogStore
from chatd.records.bus import Tail
from chatd.records.logs import Appended, Cursor, Draft, Entry, KeptMessage, Page
from chatd.store.arrays import bytea_array, nullable_array, plain_array, text_array
from chatd.store.changes import REPEATS, change, is_repeat, names, verdicts
from chatd.store.pages import EDITS, read_entry, read_messages
from chatd.store.pool import Pool
from chatd.store.prepared import execute
from chatd.store.refusals import Refused, Repeated

# One round trip and one commit for the whole batch. The counters are locked in the order of their ids, whatever the
# order of the drafts, so that two workers with overlapping batches wait for each other instead of deadlocking; the
# update then sees the latest committed counter even where it had to wait (READ COMMITTED looks again), and the rights
# as well. Receipts are inserted in one order too: two batches with the same client_ids, in different conversations,
# meet nowhere else.
#
# A draft is placed while the rights under which it was allowed stand, and where what it replies to is there; for any
# other there is no row, and :mod:`~chatd.store.changes` has to look.
APPEND = """
PREPARE chatd_append (uuid[], text[], text[], bytea[], bytea[], bigint[], bigint[], int[], text[], int[], bigint[]) AS
WITH draft AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) WITH ORDINALITY
        AS d (conversation_id, author, client_id, digest, sealed, access, reply_to, n)
), locked AS MATERIALIZED (
    SELECT conversation_id, access FROM chatd.conversations
    WHERE conversation_id = ANY ($1) ORDER BY conversation_id FOR UPDATE
), fit AS MATERIALIZED (
    SELECT draft.*, coalesce(r.thread_seq, r.seq) AS thread_seq
    FROM draft JOIN locked USING (conversation_id, access)
    LEFT JOIN chatd.messages AS r ON r.conversation_id = draft.conversation_id AND r.seq = draft.reply_to
    WHERE draft.reply_to IS NULL OR r.seq IS NOT NULL
), counted AS (
    SELECT conversation_id, count(*) AS drafts FROM fit GROUP BY conversation_id
), advanced AS (
    UPDATE chatd.conversations AS c SET last_seq = c.last_seq + counted.drafts, last_at = now()
    FROM locked JOIN counted USING (conversation_id)
    WHERE c.conversation_id = locked.conversation_id
    RETURNING c.conversation_id, c.last_seq - counted.drafts AS base
), numbered AS (
    SELECT fit.*, base + row_number() OVER (PARTITION BY conversation_id ORDER BY n) AS seq
    FROM fit JOIN advanced USING (conversation_id)
), stored AS (
    INSERT INTO chatd.messages (conversation_id, seq, at, author, client_id, sealed, thread_seq)
    SELECT conversation_id, seq, now(), author, client_id, sealed, thread_seq FROM numbered
), receipted AS (
    INSERT INTO chatd.receipts (user_id, client_id, conversation_id, seq, at, digest)
    SELECT author, client_id, conversation_id, seq, now(), digest FROM numbered
    ORDER BY author COLLATE "C", client_id COLLATE "C"
), mentioned AS (
    INSERT INTO chatd.mentions (conversation_id, user_id, seq)
    SELECT DISTINCT conversation_id, user_id, seq FROM unnest($8, $9) AS m (n, user_id) JOIN numbered USING (n)
), indexed AS (
    INSERT INTO chatd.search_tokens (conversation_id, token, at, seq)
    SELECT conversation_id, token, now(), seq FROM unnest($10, $11) AS t (n, token) JOIN numbered USING (n)
)
SELECT n, seq, now() FROM numbered
"""

# Both bodies of a log are read from their index and merged by seq. Logs have no holes, so the counters tell without
# reading how much stands behind each cursor, and which cursors are beyond the limit: they are not looked at. What
# the reader may see of a log is looked up here and now, since nothing that was found out earlier need still hold.
# Which messages the reader has deleted for themselves is asked one by one, and only where there are any.
ENTRIES = """
PREPARE chatd_entries (uuid[], bigint[], text, int) AS
WITH visible AS (
    SELECT w.conversation_id, w.n, greatest(w.seq, m.since_seq) AS low, least(c.last_seq, m.until_seq) AS high
    FROM unnest($1, $2) WITH ORDINALITY AS w (conversation_id, seq, n)
    JOIN chatd.members AS m ON m.conversation_id = w.conversation_id AND m.user_id = $3
    JOIN chatd.conversations AS c ON c.conversation_id = w.conversation_id
), wanted AS (
    SELECT visible.*, sum(high - low) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM visible WHERE high > low
), needed AS MATERIALIZED (
    SELECT wanted.*, EXISTS (SELECT FROM chatd.hidden AS h
                             WHERE h.conversation_id = wanted.conversation_id AND h.user_id = $3) AS hides
    FROM wanted WHERE coalesce(before, 0) < $4
)
SELECT e.* FROM needed AS w
CROSS JOIN LATERAL (
    (SELECT m.conversation_id, m.seq, m.at, m.author, m.client_id, 'message.created' AS kind, m.sealed,
            NULL::bigint AS target_seq, m.deleted_seq IS NOT NULL AS erased,
            CASE WHEN w.hides THEN (SELECT count(*) > 0 FROM chatd.hidden AS h
                                    WHERE h.conversation_id = m.conversation_id AND h.user_id = $3
                                      AND h.seq = m.seq) ELSE false END AS hidden
     FROM chatd.messages AS m
     WHERE m.conversation_id = w.conversation_id AND m.seq > w.low AND m.seq <= w.high
     ORDER BY m.seq LIMIT $4)
    UNION ALL
    (SELECT c.conversation_id, c.seq, c.at, c.author, c.client_id, c.kind, c.sealed, c.target_seq, c.erased,
            CASE WHEN w.hides AND c.kind = 'message.edited'
                 THEN (SELECT count(*) > 0 FROM chatd.hidden AS h
                       WHERE h.conversation_id = c.conversation_id AND h.user_id = $3
                         AND h.seq = c.target_seq) ELSE false END AS hidden
     FROM chatd.changes AS c
     WHERE c.conversation_id = w.conversation_id AND c.seq > w.low AND c.seq <= w.high
     ORDER BY c.seq LIMIT $4)
    ORDER BY seq LIMIT $4
) AS e
ORDER BY w.n, e.seq LIMIT $4
"""

# The same for the worker itself, and with each log its end and the number of its rights as of the same moment.
TAILS = """
WITH wanted AS (
    SELECT w.conversation_id, w.n, w.seq AS low, c.last_seq, c.access,
           sum(greatest(c.last_seq - w.seq, 0))
               OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM unnest(%(conversations)s::uuid[], %(after)s::bigint[]) WITH ORDINALITY AS w (conversation_id, seq, n)
    JOIN chatd.conversations AS c ON c.conversation_id = w.conversation_id
)
SELECT w.conversation_id, w.last_seq, w.access, e.* FROM wanted AS w
LEFT JOIN LATERAL (
    (SELECT m.conversation_id, m.seq, m.at, m.author, m.client_id, 'message.created' AS kind, m.sealed,
            NULL::bigint AS target_seq, m.deleted_seq IS NOT NULL AS erased
     FROM chatd.messages AS m
     WHERE m.conversation_id = w.conversation_id AND m.seq > w.low AND m.seq <= w.last_seq
     ORDER BY m.seq LIMIT %(limit)s)
    UNION ALL
    (SELECT c.conversation_id, c.seq, c.at, c.author, c.client_id, c.kind, c.sealed, c.target_seq, c.erased
     FROM chatd.changes AS c
     WHERE c.conversation_id = w.conversation_id AND c.seq > w.low AND c.seq <= w.last_seq
     ORDER BY c.seq LIMIT %(limit)s)
    ORDER BY seq LIMIT greatest(%(limit)s - coalesce(w.before, 0), 0)
) AS e ON true
ORDER BY w.n, e.seq
"""

# Most places that are asked for are those of changes, and each is in one of the two.
AT = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(%s::uuid[], %s::bigint[]) AS w (conversation_id, seq)
)
SELECT c.conversation_id, c.seq, c.at, c.author, c.client_id, c.kind, c.sealed, c.target_seq, c.erased
FROM wanted AS w JOIN chatd.changes AS c ON c.conversation_id = w.conversation_id AND c.seq = w.seq
UNION ALL
SELECT m.conversation_id, m.seq, m.at, m.author, m.client_id, 'message.created', m.sealed, NULL,
       m.deleted_seq IS NOT NULL
FROM wanted AS w JOIN chatd.messages AS m ON m.conversation_id = w.conversation_id AND m.seq = w.seq
"""

# Every statement finds its rows by an index, and pages are read in its order. The planner sees it otherwise where its
# statistics are old: it reads a table that it takes for small, or all of a log that it takes for short, to sort it.
BY_INDEX = "SET enable_seqscan = off; SET enable_bitmapscan = off"

PREPARED = (BY_INDEX, APPEND, ENTRIES)


@implementer(ILogStore)
class PostgresLog:
    """See :class:`~chatd.interfaces.log.ILogStore`. Its statements are prepared on each connection of the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Appended | None]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        mentions = [(n, user) for n, draft in enumerate(drafts, start=1) for user in draft.mentions]
        tokens = [(n, token) for n, draft in enumerate(drafts, start=1) for token in draft.tokens]
        try:
            rows = await execute(
                self._pool,
                "chatd_append",
                plain_array(draft.conversation for draft in drafts),
                text_array(draft.author for draft in drafts),
                text_array(draft.client_id for draft in drafts),
                bytea_array(draft.digest for draft in drafts),
                bytea_array(draft.sealed for draft in drafts),
                plain_array(draft.roster.access for draft in drafts),
                nullable_array(draft.reply_to for draft in drafts),
                plain_array(n for n, _ in mentions),
                text_array(user for _, user in mentions),
                plain_array(n for n, _ in tokens),
                plain_array(token for _, token in tokens),
            )
        except Refused as refused:
            if is_repeat(refused.__cause__):
                raise Repeated from refused
            raise
        placed: list[Appended | None] = [None] * len(drafts)
        for n, seq, at in rows:
            placed[n - 1] = Appended(conversation=drafts[n - 1].conversation, seq=seq, time=at)
        return placed

    async def change(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        return await change(self._pool, drafts)

    async def repeats(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError | None]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        return verdicts(await self._pool.query(REPEATS, names(drafts)), drafts)

    def entries(self, reader: str, cursors: Sequence[Cursor], limit: int) -> Deferred[list[Entry]]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        return Deferred.fromCoroutine(self._entries(reader, cursors, limit))

    async def _entries(self, reader: str, cursors: Sequence[Cursor], limit: int) -> list[Entry]:
        conversations, after = plain_array(one.conversation for one in cursors), plain_array(one.seq for one in cursors)
        rows = await self._pool.query("EXECUTE chatd_entries (%s, %s, %s, %s)", (conversations, after, reader, limit))
        return [read_entry(row) for row in rows]

    async def tails(self, cursors: Sequence[Cursor], limit: int) -> list[Tail]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        rows = await self._pool.query(
            TAILS,
            {
                "conversations": plain_array(cursor.conversation for cursor in cursors),
                "after": plain_array(cursor.seq for cursor in cursors),
                "limit": limit,
            },
        )
        return [_tail(list(log)) for _, log in groupby(rows, key=itemgetter(0))]

    async def messages(self, page: Page) -> list[KeptMessage]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        return await read_messages(self._pool, page)

    async def edits(self, conversation: str, seq: int) -> list[Entry]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        return [read_entry(row) for row in await self._pool.query(EDITS, (conversation, seq))]

    async def at(self, places: Sequence[tuple[str, int]]) -> list[Entry]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        if not places:
            return []
        conversations = plain_array(conversation for conversation, _ in places)
        rows = await self._pool.query(AT, (conversations, plain_array(seq for _, seq in places)))
        return [read_entry(row) for row in rows]


def _tail(rows: list[tuple[Any, ...]]) -> Tail:
    """The rows of one log: its end and rights in each, and an entry where there is one."""
    conversation, last_seq, access = rows[0][:3]
    entries = tuple(read_entry(row[3:]) for row in rows if row[3] is not None)
    return Tail(conversation=conversation, last_seq=last_seq, access=access, entries=entries)

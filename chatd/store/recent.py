"""The newest messages of conversations in PostgreSQL."""

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

from zope.interface import implementer

from chatd.interfaces.recent import IRecentStore
from chatd.records.recent import Count, End, Outlook, Recent
from chatd.store.arrays import plain_array
from chatd.store.pages import read_entry, read_kept
from chatd.store.pool import Pool
from chatd.store.tallies import TALLIES, grouped
from chatd.store.transaction import Cursor

# What is visible is decided as in a page. The two rows are of one moment.
OUTLOOK = """
PREPARE chatd_outlook (uuid, text) AS
SELECT c.last_seq, c.last_at,
       CASE WHEN c.history = 'all' AND m.standing = 'member' THEN 0 ELSE m.since_seq END,
       least(c.last_seq, m.until_seq),
       EXISTS (SELECT FROM chatd.hidden AS h WHERE h.conversation_id = $1 AND h.user_id = $2)
FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
WHERE m.conversation_id = $1 AND m.user_id = $2
"""
# Both statements tell where the log ends, so that they are known to tell of one moment.
NEWEST = """
SELECT c.last_seq, c.last_at, n.*
FROM chatd.conversations AS c LEFT JOIN LATERAL (
    SELECT m.conversation_id, m.seq AS at_seq, m.at, m.author, m.client_id, 'message.created' AS kind, m.sealed,
           NULL AS target, m.deleted_seq IS NOT NULL AS erased, false AS hidden,
           m.thread_seq, e.seq AS edited_seq, m.pinned_seq, m.deleted_seq,
           e.seq AS edit_seq, e.at AS edit_at, e.author AS edit_author, e.client_id AS edit_client_id,
           e.kind AS edit_kind, e.sealed AS edit_sealed, e.target_seq AS edit_target, e.erased AS edit_erased
    FROM chatd.messages AS m
    LEFT JOIN chatd.changes AS e ON e.conversation_id = m.conversation_id AND e.seq = m.edited_seq
    WHERE m.conversation_id = %(conversation)s ORDER BY m.seq DESC LIMIT %(limit)s
) AS n ON true
WHERE c.conversation_id = %(conversation)s
"""
COUNTS = f"""
SELECT c.last_seq, c.last_at, t.*
FROM chatd.conversations AS c LEFT JOIN LATERAL ({TALLIES}) AS t ON true
WHERE c.conversation_id = %(conversation)s
"""
OWN = """
SELECT target_seq, mark FROM chatd.reactions
WHERE conversation_id = %s AND target_seq = ANY (%s::bigint[]) AND user_id = %s
"""

NOBODY: Final = ""
"""No token's ``sub`` is empty."""

IN_ORDER: Final = (0, 5)
"""Where a row of ``TALLIES`` says of which message it is, and where its sample stands."""

PREPARED = (OUTLOOK,)


@implementer(IRecentStore)
class PostgresRecent:
    """See :class:`~chatd.interfaces.recent.IRecentStore`. ``PREPARED`` is prepared on the pool's connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def outlook(self, conversation: str, reader: str) -> Outlook | None:
        """See :class:`~chatd.interfaces.recent.IRecentStore`."""
        rows = await self._pool.query("EXECUTE chatd_outlook (%s, %s)", (conversation, reader))
        if not rows:
            return None
        [[seq, at, low, high, hides]] = rows
        return Outlook(end=End(seq=seq, at=at), low=low, high=high, hides=hides)

    async def recent(self, conversation: str, limit: int) -> Recent | None:
        """See :class:`~chatd.interfaces.recent.IRecentStore`."""
        return await self._pool.several(read_recent, conversation, limit)

    async def own(self, conversation: str, reader: str, seqs: Sequence[int]) -> set[tuple[int, bytes]]:
        """See :class:`~chatd.interfaces.recent.IRecentStore`."""
        rows = await self._pool.query(OWN, (conversation, plain_array(seqs), reader))
        return {(target, bytes(mark)) for target, mark in rows}


async def read_recent(cursor: Cursor, conversation: str, limit: int) -> Recent | None:
    """In two statements, which have to find the same end."""
    rows = await cursor.query(NEWEST, {"conversation": conversation, "limit": limit})
    if not rows:
        return None
    seq, at = rows[0][:2]
    messages = tuple(read_kept(row[2:]) for row in reversed(rows) if row[2] is not None)
    shown = [one.entry.seq for one in messages if not one.entry.withheld]
    if not shown:
        return Recent(end=End(seq=seq, at=at), messages=messages, counts=())
    asked = {"conversation": conversation, "reader": NOBODY, "seqs": plain_array(shown)}
    rows = await cursor.query(COUNTS, asked)
    if not rows or rows[0][:2] != (seq, at):
        return None
    found = sorted((row[2:] for row in rows if row[2] is not None), key=itemgetter(*IN_ORDER))
    return Recent(end=End(seq=seq, at=at), messages=messages, counts=tuple(_counts(found)))


def _counts(rows: Iterable[tuple[Any, ...]]) -> Iterator[Count]:
    for (target, mark), of_mark in grouped(rows).items():
        samples = tuple(read_entry(row[4:]) for row in of_mark)
        yield Count(target=target, mark=mark, count=of_mark[0][2], samples=samples)

"""How people's read marks are committed: many in one statement, like acknowledgements."""

from collections.abc import Sequence

from chatd.errors import ChatdError, Invalid, NotFound
from chatd.records.reading import Moved, Read
from chatd.store.arrays import plain_array, text_array
from chatd.store.batcher import Waiting
from chatd.store.pool import Pool
from chatd.store.prepared import execute

# Rows are touched in the order in which acknowledgements touch them. Of a conversation that nobody was told of, since
# it began with a block, nobody has marks: or whoever is blocked could find that out. What a read may not say moves
# nothing. "was" is how far the others before it in the batch bring the person, as if one had been committed after the
# other.
READ = """
PREPARE chatd_read (text[], uuid[], bigint[], boolean[]) AS
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS a (user_id, conversation_id, seq, private, n)
), member AS MATERIALIZED (
    SELECT m.conversation_id, m.user_id, m.delivered_seq, m.read_seq, m.shown_seq FROM chatd.members AS m
    WHERE (m.conversation_id, m.user_id) IN (SELECT conversation_id, user_id FROM asked) AND m.standing = 'member'
      AND EXISTS (SELECT FROM chatd.conversations AS c WHERE c.conversation_id = m.conversation_id AND c.opened)
    ORDER BY m.conversation_id, m.user_id FOR UPDATE
), read AS (
    SELECT asked.n, asked.conversation_id, asked.user_id, asked.seq, delivered_seq, read_seq, shown_seq,
           CASE WHEN NOT (asked.private OR coalesce(p.private_reading, false)) THEN asked.seq END AS shown
    FROM asked JOIN member USING (conversation_id, user_id)
    JOIN chatd.conversations AS c USING (conversation_id)
    LEFT JOIN chatd.personal AS p ON p.user_id = asked.user_id AND p.conversation_id = asked.conversation_id
    WHERE asked.seq <= c.last_seq
), sound AS MATERIALIZED (
    SELECT *, greatest(delivered_seq, max(seq) OVER earlier) AS was_delivered,
           greatest(read_seq, max(seq) OVER earlier) AS was_read,
           greatest(shown_seq, max(shown) OVER earlier) AS was_shown
    FROM read WINDOW earlier AS (
        PARTITION BY conversation_id, user_id ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
), marked AS (
    UPDATE chatd.members AS m
    SET read_seq = greatest(m.read_seq, furthest.seq), shown_seq = greatest(m.shown_seq, furthest.shown),
        delivered_seq = greatest(m.delivered_seq, furthest.seq)
    FROM (
        SELECT conversation_id, user_id, max(seq) AS seq, max(shown) AS shown
        FROM sound GROUP BY conversation_id, user_id
    ) AS furthest
    WHERE m.conversation_id = furthest.conversation_id AND m.user_id = furthest.user_id
      AND (m.read_seq < furthest.seq OR m.shown_seq < furthest.shown OR m.delivered_seq < furthest.seq)
)
SELECT asked.n, member.user_id IS NOT NULL, sound.n IS NOT NULL,
       sound.seq > was_read, coalesce(sound.shown > was_shown, false), sound.seq > was_delivered
FROM asked LEFT JOIN member USING (conversation_id, user_id) LEFT JOIN sound ON sound.n = asked.n
"""


async def commit_reads(pool: Pool, batch: Sequence[Waiting[Read, Moved]]) -> None:
    """Move marks, and tell each read its verdict."""
    reads = [waiting.item for waiting in batch]
    rows = await execute(
        pool,
        "chatd_read",
        text_array(read.user for read in reads),
        plain_array(read.conversation for read in reads),
        plain_array(read.seq for read in reads),
        plain_array(read.private for read in reads),
    )
    for n, is_member, is_sound, *moved in sorted(rows):
        batch[n - 1].settle(_verdict(is_member, is_sound, moved))


def _verdict(is_member: bool, is_sound: bool, moved: Sequence[bool]) -> Moved | ChatdError:
    if not is_member:
        return NotFound()
    if not is_sound:
        return Invalid("`seq` is beyond the end of the log.")
    read, shown, delivered = moved
    return Moved(read=read, shown=shown, delivered=delivered)

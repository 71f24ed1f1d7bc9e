"""How acknowledgements are committed: many devices' in one statement."""

from collections.abc import Sequence

from chatd.errors import ChatdError, Invalid, NotFound
from chatd.records.logs import Ack
from chatd.store.arrays import plain_array, text_array
from chatd.store.batcher import Waiting
from chatd.store.pool import Pool
from chatd.store.prepared import execute

# Rows are touched in one order, as everywhere. What an ack may not say moves nothing. "reached" is how far the others
# before it in the batch bring the person, so that the verdicts are as if one ack had been committed after the other.
ACKNOWLEDGE = """
PREPARE chatd_acknowledge (text[], text[], uuid[], bigint[]) AS
WITH ack AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS a (user_id, device_id, conversation_id, seq, n)
), member AS MATERIALIZED (
    SELECT m.conversation_id, m.user_id, m.delivered_seq, m.until_seq FROM chatd.members AS m
    WHERE (m.conversation_id, m.user_id) IN (SELECT conversation_id, user_id FROM ack)
    ORDER BY m.conversation_id, m.user_id FOR UPDATE
), sound AS MATERIALIZED (
    SELECT ack.*, greatest(member.delivered_seq, max(ack.seq) OVER earlier) AS reached
    FROM ack JOIN member USING (conversation_id, user_id)
    JOIN chatd.conversations AS c USING (conversation_id) WHERE ack.seq <= least(c.last_seq, member.until_seq)
    WINDOW earlier AS (
        PARTITION BY conversation_id, user_id ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
), moved AS (
    INSERT INTO chatd.device_cursors AS d (user_id, device_id, conversation_id, seq)
    SELECT user_id, device_id, conversation_id, max(seq) FROM sound
    GROUP BY user_id, device_id, conversation_id ORDER BY user_id, device_id, conversation_id
    ON CONFLICT (user_id, device_id, conversation_id) DO UPDATE SET seq = excluded.seq WHERE d.seq < excluded.seq
), marked AS (
    UPDATE chatd.members AS m SET delivered_seq = furthest.seq
    FROM (SELECT conversation_id, user_id, max(seq) AS seq FROM sound GROUP BY conversation_id, user_id) AS furthest
    WHERE m.conversation_id = furthest.conversation_id AND m.user_id = furthest.user_id
      AND m.delivered_seq < furthest.seq
)
SELECT ack.n, member.user_id IS NOT NULL, sound.seq > sound.reached
FROM ack LEFT JOIN member USING (conversation_id, user_id) LEFT JOIN sound ON sound.n = ack.n
"""


async def acknowledge(pool: Pool, batch: Sequence[Waiting[Ack, bool]]) -> None:
    """Move cursors and marks, and tell each ack its verdict: whether it moved its person's mark."""
    acks = [waiting.item for waiting in batch]
    rows = await execute(
        pool,
        "chatd_acknowledge",
        text_array(ack.user for ack in acks),
        text_array(ack.device for ack in acks),
        plain_array(ack.conversation for ack in acks),
        plain_array(ack.seq for ack in acks),
    )
    for n, is_member, moved in sorted(rows):
        batch[n - 1].settle(_verdict(is_member, moved))


def _verdict(is_member: bool, moved: bool | None) -> bool | ChatdError:
    if not is_member:
        return NotFound()
    if moved is None:
        return Invalid("`seq` is beyond the end of the log.")
    return moved

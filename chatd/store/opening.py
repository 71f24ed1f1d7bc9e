"""How conversations come into being: several in one statement, with what their members are told."""

from collections.abc import Sequence

from chatd.records.base import Record
from chatd.records.logs import Draft, Entry
from chatd.records.rosters import ConversationKind
from chatd.store.arrays import bytea_array, plain_array, text_array
from chatd.store.batcher import Waiting
from chatd.store.entries import placed
from chatd.store.pool import Pool
from chatd.store.prepared import execute


class Opening(Record, frozen=True, kw_only=True, gc=False):
    """A conversation that is to be created, and what goes into event queues if it is."""

    conversation: str
    kind: ConversationKind
    members: tuple[str, ...]
    notices: tuple[Draft, ...]


# Only what was created has members and notices, or what was there without its people having been told, unless one of
# them blocks the other. That stands in its own row, since of a row that had to be waited for this sees the latest, and
# of its members only what was there before. A person's event queue comes into being with the first notice in it. Rows
# of conversations are touched in the order of their ids, first the new ones, then the queues: whoever has come to the
# queues waits for nobody who has not.
OPEN = """
PREPARE chatd_open (uuid[], text[], uuid[], text[], uuid[], uuid[], text[], text[], text[], text[], bytea[]) AS
WITH created AS (
    INSERT INTO chatd.conversations AS c (conversation_id, kind)
    SELECT * FROM unnest($1, $2) AS o (conversation_id, kind) ORDER BY conversation_id
    ON CONFLICT (conversation_id) DO UPDATE SET opened = true, access = c.access + 1
    WHERE NOT c.opened AND NOT c.blocked
    RETURNING conversation_id
), joined AS (
    INSERT INTO chatd.members (conversation_id, user_id)
    SELECT conversation_id, user_id FROM unnest($3, $4) AS m (conversation_id, user_id)
    JOIN created USING (conversation_id) ON CONFLICT (conversation_id, user_id) DO NOTHING
), notice AS MATERIALIZED (
    SELECT d.* FROM unnest($5, $6, $7, $8, $9, $10, $11) WITH ORDINALITY
        AS d (conversation_id, queue_id, reader, kind, author, client_id, sealed, n)
    JOIN created USING (conversation_id)
), counted AS (
    SELECT queue_id, count(*) AS notices FROM notice GROUP BY queue_id
), advanced AS (
    INSERT INTO chatd.conversations AS c (conversation_id, kind, last_seq)
    SELECT queue_id, 'queue', notices FROM counted ORDER BY queue_id
    ON CONFLICT (conversation_id) DO UPDATE SET last_seq = c.last_seq + excluded.last_seq, last_at = now()
    RETURNING conversation_id AS queue_id, last_seq
), reading AS (
    INSERT INTO chatd.members (conversation_id, user_id)
    SELECT DISTINCT queue_id, reader FROM notice ON CONFLICT (conversation_id, user_id) DO NOTHING
), numbered AS (
    SELECT notice.*, last_seq - notices + row_number() OVER (PARTITION BY queue_id ORDER BY n) AS seq
    FROM notice JOIN counted USING (queue_id) JOIN advanced USING (queue_id)
), stored AS (
    INSERT INTO chatd.changes (conversation_id, seq, at, kind, author, client_id, sealed)
    SELECT queue_id, seq, now(), kind, author, client_id, sealed FROM numbered
)
SELECT n, seq, now() FROM numbered ORDER BY n
"""


async def open_conversations(pool: Pool, batch: Sequence[Waiting[Opening, list[Entry]]]) -> None:
    """Create what is not there, and tell each opening what became of its notices.

    Of two openings of one conversation the first counts.
    """
    firsts: dict[str, Waiting[Opening, list[Entry]]] = {}
    for waiting in batch:
        firsts.setdefault(waiting.item.conversation, waiting)
    openings = [waiting.item for waiting in firsts.values()]
    members = [(opening.conversation, member) for opening in openings for member in opening.members]
    notices = [(opening.conversation, notice) for opening in openings for notice in opening.notices]
    rows = await execute(
        pool,
        "chatd_open",
        plain_array(opening.conversation for opening in openings),
        plain_array(opening.kind for opening in openings),
        plain_array(conversation for conversation, _ in members),
        text_array(member for _, member in members),
        plain_array(conversation for conversation, _ in notices),
        plain_array(notice.conversation for _, notice in notices),
        text_array(next(iter(notice.roster.members)) for _, notice in notices),
        text_array(notice.kind for _, notice in notices),
        text_array(notice.author for _, notice in notices),
        text_array(notice.client_id for _, notice in notices),
        bytea_array(notice.sealed for _, notice in notices),
    )
    entries: dict[str, list[Entry]] = {}
    for n, seq, at in rows:
        conversation, notice = notices[n - 1]
        entries.setdefault(conversation, []).append(placed(notice, seq, at))
    for waiting in batch:
        first = firsts[waiting.item.conversation] is waiting
        waiting.settle(entries.get(waiting.item.conversation, []) if first else [])

"""How conversations are listed for a person, with what is unread in them: one statement for a page of any size.

What has to be found out of every conversation of the person is kept to a minimum, their order and whether they are
archived; only those that come onto the page are looked into.
"""

from typing import Any

from chatd.records.reading import MAX_UNREAD, Count, Listed
from chatd.state.ids import direct
from chatd.store.conversations import COLUMNS, read_conversation
from chatd.store.pages import read_kept
from chatd.store.personal import ARCHIVED

MAX_LOOKED_AT = 5_000
"""How many messages are looked at to count them: those of the reader's own and deleted ones are among these."""

PAGE = """
WHERE m.user_id = %(user)s AND m.standing = 'member' AND c.kind <> 'queue' AND c.last_seq > 0
  AND (%(at)s::timestamptz IS NULL OR (c.last_at, c.conversation_id) < (%(at)s, %(id)s::uuid))
"""
ONE = """
WHERE m.conversation_id = %(id)s AND m.user_id = %(user)s AND m.standing = 'member' AND c.opened
"""
"""Which conversations are meant: all of a person's behind a place in their list, or a single one."""

# Counting stops early: where enough is found, or enough has been looked at, whose last row then stands for the rest.
# What is looked up row by row has a LIMIT or is a subquery in its place, so that no plan reads a whole table or log to
# join to it. Mentions are compared by person and place together: so only the index that begins with both will do.
LISTED = """
WITH chosen AS MATERIALIZED (
    SELECT c.conversation_id, m.user_id, greatest(m.since_seq, m.read_seq) AS low, c.last_seq AS high,
           CASE c.history WHEN 'all' THEN 0 ELSE m.since_seq END AS since, m.delivered_seq, m.read_seq,
           p.muted AND (p.muted_until IS NULL OR p.muted_until > now()) AS muted, p.muted_until,
           {archived} AS archived, p.private_reading
    FROM chatd.members AS m
    CROSS JOIN LATERAL (
        SELECT * FROM chatd.conversations AS o WHERE o.conversation_id = m.conversation_id LIMIT 1
    ) AS c
    LEFT JOIN chatd.personal AS p ON p.user_id = m.user_id AND p.conversation_id = m.conversation_id
    {chosen}
    ORDER BY c.last_at DESC, c.conversation_id DESC LIMIT %(limit)s
), mine AS MATERIALIZED (
    SELECT chosen.*, EXISTS (
        SELECT FROM chatd.hidden AS h
        WHERE h.conversation_id = chosen.conversation_id AND h.user_id = chosen.user_id
    ) AS hides FROM chosen
)
SELECT {columns}, mine.delivered_seq, mine.read_seq, u.number, u.more, n.number, n.more, coalesce(mine.muted, false),
       mine.muted_until, mine.archived, coalesce(mine.private_reading, false),
       l.seq, l.at, l.author, l.client_id, 'message.created', l.sealed, NULL, l.deleted_seq IS NOT NULL,
       mine.hides AND EXISTS (
           SELECT FROM chatd.hidden AS h
           WHERE h.conversation_id = mine.conversation_id AND h.user_id = mine.user_id AND h.seq = l.seq
       ),
       l.thread_seq, l.edited_seq, l.pinned_seq, l.deleted_seq,
       e.seq, e.at, e.author, e.client_id, e.kind, e.sealed, e.target_seq, e.erased
FROM mine JOIN chatd.conversations AS c USING (conversation_id)
LEFT JOIN LATERAL (
    SELECT * FROM chatd.messages AS s
    WHERE s.conversation_id = mine.conversation_id AND s.seq > mine.since AND s.seq <= mine.high
    ORDER BY s.seq DESC LIMIT 1
) AS l ON true
LEFT JOIN LATERAL (
    SELECT * FROM chatd.changes AS s
    WHERE s.conversation_id = mine.conversation_id AND s.seq = l.edited_seq LIMIT 1
) AS e ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE n <= %(looked_at)s) AS number, coalesce(max(n) > %(looked_at)s, false) AS more
    FROM (
        SELECT * FROM (
            SELECT s.author, s.deleted_seq, s.seq, row_number() OVER (ORDER BY s.seq) AS n FROM chatd.messages AS s
            WHERE s.conversation_id = mine.conversation_id AND mine.conversation_id <> %(notes)s
              AND s.seq > mine.low AND s.seq <= mine.high
            ORDER BY s.seq LIMIT %(looked_at)s + 1
        ) AS looked_at
        WHERE n > %(looked_at)s OR author <> mine.user_id AND deleted_seq IS NULL AND (
            NOT mine.hides OR NOT EXISTS (
                SELECT FROM chatd.hidden AS h
                WHERE h.conversation_id = mine.conversation_id AND h.user_id = mine.user_id AND h.seq = looked_at.seq
            )
        ) LIMIT %(counted)s + 1
    ) AS counted
) AS u
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE n <= %(looked_at)s) AS number, coalesce(max(n) > %(looked_at)s, false) AS more
    FROM (
        SELECT * FROM (
            SELECT t.seq, row_number() OVER (ORDER BY t.user_id, t.seq) AS n FROM chatd.mentions AS t
            WHERE t.conversation_id = mine.conversation_id
              AND (t.user_id, t.seq) > (mine.user_id, mine.low) AND (t.user_id, t.seq) <= (mine.user_id, mine.high)
            ORDER BY t.user_id, t.seq LIMIT %(looked_at)s + 1
        ) AS looked_at
        WHERE n > %(looked_at)s OR mine.user_id <> (
            SELECT s.author FROM chatd.messages AS s
            WHERE s.conversation_id = mine.conversation_id AND s.seq = looked_at.seq
        ) AND (
            NOT mine.hides OR NOT EXISTS (
                SELECT FROM chatd.hidden AS h
                WHERE h.conversation_id = mine.conversation_id AND h.user_id = mine.user_id AND h.seq = looked_at.seq
            )
        ) LIMIT %(counted)s + 1
    ) AS counted
) AS n
ORDER BY c.last_at DESC, c.conversation_id DESC
"""


def statement(*, archived: bool | None) -> str:
    """What reads a page of archived conversations or of the others; with None, what reads one conversation."""
    if archived is None:
        return LISTED.format(columns=COLUMNS, archived=ARCHIVED, chosen=ONE)
    chosen = PAGE + ("  AND " if archived else "  AND NOT ") + ARCHIVED
    return LISTED.format(columns=COLUMNS, archived=archived, chosen=chosen)


def parameters(user: str, **more: object) -> dict[str, object]:
    """What the statement is run with, besides ``id``, and ``at`` and ``limit`` of a page."""
    bounds = {"counted": MAX_UNREAD, "looked_at": MAX_LOOKED_AT}
    return {"user": user, "notes": direct(user, user), "limit": 1, **bounds, **more}


def read_listed(row: tuple[Any, ...]) -> Listed:
    """From the columns of the statement."""
    conversation = read_conversation(row)
    delivered, read, unread, more_unread, mentions, more_mentions, muted, muted_until, archived, private = row[8:18]
    return Listed(
        conversation=conversation,
        delivered=delivered,
        read=read,
        unread=counted(unread, more_unread),
        mentions=counted(mentions, more_mentions),
        last=None if row[18] is None else read_kept((conversation.conversation, *row[18:])),
        muted=muted,
        muted_until=muted_until if muted else None,
        archived=archived,
        private_reading=private,
    )


def counted(number: int, more: bool) -> Count:
    """So many were found; one beyond the bound stands for all others."""
    return Count(number=min(number, MAX_UNREAD), more=more or number > MAX_UNREAD)

"""How messages are read as they are now."""

from collections.abc import Iterable
from typing import Any

from chatd.records.logs import Entry, KeptMessage, Page
from chatd.store.changes import message_state
from chatd.store.pool import Pool

# What the reader may see is one range of the log. The scalar subqueries are run once, so the page still comes in the
# order of its index and costs the same wherever it stands. Whoever has left is shown the edits and pins up to then.
MESSAGES = """
WITH visible AS MATERIALIZED (
    SELECT CASE WHEN c.history = 'all' AND m.standing = 'member' THEN 0 ELSE m.since_seq END AS low,
           least(c.last_seq, m.until_seq) AS high,
           EXISTS (SELECT FROM chatd.hidden AS h
                   WHERE h.conversation_id = %(conversation)s AND h.user_id = %(reader)s) AS hides
    FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
    WHERE m.conversation_id = %(conversation)s AND m.user_id = %(reader)s
)
SELECT m.conversation_id, m.seq, m.at, m.author, m.client_id, 'message.created', m.sealed, NULL,
       m.deleted_seq IS NOT NULL,
       CASE WHEN (SELECT hides FROM visible)
            THEN (SELECT count(*) > 0 FROM chatd.hidden AS h
                  WHERE h.conversation_id = m.conversation_id AND h.user_id = %(reader)s AND h.seq = m.seq)
            ELSE false END,
       m.thread_seq, e.seq, CASE WHEN m.pinned_seq <= (SELECT high FROM visible) THEN m.pinned_seq END, m.deleted_seq,
       e.seq, e.at, e.author, e.client_id, e.kind, e.sealed, e.target_seq, e.erased
FROM chatd.messages AS m
LEFT JOIN chatd.changes AS e ON e.conversation_id = m.conversation_id AND e.seq = CASE
    WHEN m.edited_seq <= (SELECT high FROM visible) THEN m.edited_seq
    WHEN m.edited_seq IS NOT NULL THEN (
        SELECT max(o.seq) FROM chatd.changes AS o
        WHERE o.conversation_id = m.conversation_id AND o.target_seq = m.seq AND o.kind = 'message.edited'
          AND o.seq <= (SELECT high FROM visible)
    ) END
WHERE m.conversation_id = %(conversation)s AND m.seq > %(low)s AND m.seq < %(high)s
  AND m.seq > (SELECT low FROM visible) AND m.seq <= (SELECT high FROM visible){narrowed}
ORDER BY m.seq {direction} LIMIT %(limit)s
"""
EDITS = """
SELECT conversation_id, seq, at, author, client_id, kind, sealed, target_seq, erased FROM chatd.changes
WHERE conversation_id = %s AND target_seq = %s AND kind = 'message.edited' ORDER BY seq
"""
THREAD = " AND m.thread_seq = %(thread)s"
PINNED = " AND m.pinned_seq IS NOT NULL AND m.pinned_seq <= (SELECT high FROM visible)"


async def read_messages(pool: Pool, page: Page) -> list[KeptMessage]:
    """One page by ``seq``."""
    return kept(page, await pool.query(statement(page), parameters(page)))


def kept(page: Page, rows: Iterable[tuple[Any, ...]]) -> list[KeptMessage]:
    """The messages of a page, by ``seq``, from the rows of its statement."""
    messages = [read_kept(row) for row in rows]
    return messages[::-1] if page.newest else messages


def statement(page: Page) -> str:
    """What reads a page, from its end towards the other."""
    narrowed = (THREAD if page.thread is not None else "") + (PINNED if page.pinned else "")
    return MESSAGES.format(narrowed=narrowed, direction="DESC" if page.newest else "ASC")


def parameters(page: Page) -> dict[str, object]:
    """What the statement is run with."""
    return {name: getattr(page, name) for name in ("conversation", "reader", "low", "high", "limit", "thread")}


def read_entry(row: tuple[Any, ...]) -> Entry:
    """An entry from its nine columns, and whether it is hidden, where that was asked."""
    conversation, seq, at, author, client_id, kind, sealed, target, erased = row[:9]
    hidden = len(row) > 9 and row[9]
    return Entry(
        conversation=conversation,
        seq=seq,
        time=at,
        author=author,
        client_id=client_id,
        kind=kind,
        sealed=b"" if hidden else bytes(sealed),
        target=target,
        erased=erased,
        hidden=hidden,
    )


def read_kept(row: tuple[Any, ...]) -> KeptMessage:
    """A message as it is now, from its columns and those of its latest edit."""
    entry = read_entry(row[:10])
    state = message_state((entry.author, entry.time, *row[10:14]))
    edit = None if row[14] is None or entry.hidden else read_entry((entry.conversation, *row[14:]))
    return KeptMessage(entry=entry, state=state, edit=edit)

"""The index of messages, in PostgreSQL: how it is looked through in bounded steps."""

from typing import Any

from zope.interface import implementer

from chatd.interfaces.messages import ISearchStore
from chatd.records.search import Finding, FoundAt, Match, Search
from chatd.state.ids import NIL
from chatd.store.arrays import plain_array
from chatd.store.entries import EDITED, MESSAGE
from chatd.store.pages import read_entry
from chatd.store.pool import Pool

SEARCHABLE = """
SELECT m.conversation_id FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
WHERE m.user_id = %s AND m.conversation_id > %s::uuid AND c.kind <> 'queue'
  AND (m.until_seq IS NULL OR m.until_seq > m.since_seq)
ORDER BY m.conversation_id LIMIT %s
"""

# Each conversation is walked down from its newest message. A step asks for each token where it occurs next, and goes
# to the lowest of these places: no message above it has all of them. Where it is the same place for all, that is a
# hit. So the rarest token sets the pace. "at" and "seq" of a step bound what is still to be looked at.
#
# The recursion goes once around all conversations before it takes the next step in any of them, and ends after so many
# steps; each conversation has then come to some place, or to its end. What lies above the highest of these places is
# known, whatever the conversation: that is the horizon. Hits below it are left to the next search.
#
# A message that was edited after the reader had left is known by words that are none of theirs: it is left out, as is
# what they have hidden. What the reader may see is a range that no index serves, so that none is taken for it: what
# lies outside of it is passed over in the index of the tokens, whatever the statistics say.
SEARCH = """
WITH RECURSIVE visible AS (
    SELECT a.conversation_id, (%(tokens)s::bigint[])[(a.n - 1) * %(width)s + 1 : a.n * %(width)s] AS tokens,
           CASE WHEN c.history = 'all' AND m.standing = 'member' THEN 0 ELSE m.since_seq END AS low,
           least(c.last_seq, m.until_seq) AS high
    FROM unnest(%(conversations)s::uuid[]) WITH ORDINALITY AS a (conversation_id, n)
    JOIN chatd.members AS m ON m.conversation_id = a.conversation_id AND m.user_id = %(reader)s
    JOIN chatd.conversations AS c ON c.conversation_id = a.conversation_id
), asked AS MATERIALIZED (
    SELECT conversation_id, tokens, int8range(low, greatest(low, high), '(]') AS seqs FROM visible
), walk AS (
    SELECT conversation_id, tokens, seqs, 0 AS step, 0 AS hits, false AS hit, false AS ended,
           %(time)s::timestamptz AS at,
           CASE WHEN conversation_id < %(conversation)s::uuid THEN 9223372036854775807
                WHEN conversation_id = %(conversation)s::uuid THEN %(seq)s::bigint ELSE 0 END AS seq
    FROM asked
    UNION ALL
    SELECT w.conversation_id, w.tokens, w.seqs, w.step + 1, w.hits + (next.hit IS TRUE)::int, next.hit IS TRUE,
           next.seq IS NULL, next.at, CASE WHEN next.hit THEN next.seq ELSE next.seq + 1 END
    FROM walk AS w
    LEFT JOIN LATERAL (
        SELECT found.at, found.seq, count(*) OVER () AS tokens,
               max(found.at) OVER () = found.at AND max(found.seq) OVER () = found.seq AS hit
        FROM unnest(w.tokens) AS sought (token)
        CROSS JOIN LATERAL (
            SELECT t.at, t.seq FROM chatd.search_tokens AS t
            WHERE t.conversation_id = w.conversation_id AND t.token = sought.token
              AND (t.at, t.seq) < (w.at, w.seq) AND t.at > %(after)s AND t.seq <@ w.seqs
            ORDER BY t.at DESC, t.seq DESC LIMIT 1
        ) AS found
        ORDER BY found.at, found.seq LIMIT 1
    ) AS next ON next.tokens = %(width)s
    WHERE NOT w.ended AND w.hits < %(limit)s
), walked AS MATERIALIZED (
    SELECT * FROM walk LIMIT %(steps)s
), come_to AS (
    SELECT DISTINCT ON (conversation_id) conversation_id, at, seq, ended FROM walked
    ORDER BY conversation_id, step DESC
), horizon AS MATERIALIZED (
    SELECT at, conversation_id, seq FROM come_to WHERE NOT ended
    ORDER BY at DESC, conversation_id DESC, seq DESC LIMIT 1
), hit AS MATERIALIZED (
    SELECT m.conversation_id, m.seq, m.at, m.author, m.client_id, m.sealed, m.edited_seq
    FROM (
        SELECT walked.conversation_id, walked.at, walked.seq, walked.seqs FROM walked LEFT JOIN horizon AS h ON true
        WHERE walked.hit AND (h.at IS NULL
                       OR (walked.at, walked.conversation_id, walked.seq) >= (h.at, h.conversation_id, h.seq))
        ORDER BY walked.at DESC, walked.conversation_id DESC, walked.seq DESC
    ) AS w
    JOIN chatd.messages AS m ON m.conversation_id = w.conversation_id AND m.seq = w.seq
    WHERE (%(sender)s::text IS NULL OR m.author = %(sender)s)
      AND (m.edited_seq IS NULL OR m.edited_seq < upper(w.seqs))
      AND NOT EXISTS (
        SELECT FROM chatd.hidden AS d
        WHERE d.conversation_id = m.conversation_id AND d.user_id = %(reader)s AND d.seq = m.seq
    )
    ORDER BY w.at DESC, w.conversation_id DESC, w.seq DESC LIMIT %(limit)s
)
SELECT h.at, h.conversation_id, h.seq,
       m.conversation_id, m.seq, m.at, m.author, m.client_id, m.sealed,
       e.seq, e.at, e.author, e.client_id, e.sealed, e.target_seq
FROM (SELECT) AS always LEFT JOIN horizon AS h ON true LEFT JOIN hit AS m ON true
LEFT JOIN chatd.changes AS e ON e.conversation_id = m.conversation_id AND e.seq = m.edited_seq
ORDER BY m.at DESC, m.conversation_id DESC, m.seq DESC
"""


@implementer(ISearchStore)
class PostgresSearch:
    """See :class:`~chatd.interfaces.messages.ISearchStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def searchable(self, reader: str, after: str, limit: int) -> list[str]:
        """See :class:`~chatd.interfaces.messages.ISearchStore`."""
        rows = await self._pool.query(SEARCHABLE, (reader, after, limit))
        return [conversation for (conversation,) in rows]

    async def search(self, search: Search) -> Finding:
        """See :class:`~chatd.interfaces.messages.ISearchStore`."""
        if not search.tokens:
            return Finding(matches=[], end=None)
        rows = await self._pool.query(SEARCH, parameters(search))
        matches = [read_match(row[3:]) for row in rows if row[3] is not None]
        if len(matches) == search.limit:
            last = matches[-1].entry
            return Finding(matches=matches, end=FoundAt(time=last.time, conversation=last.conversation, seq=last.seq))
        at, conversation, seq = rows[0][:3]
        end = None if at is None else FoundAt(time=at, conversation=conversation, seq=seq)
        return Finding(matches=matches, end=end)


def parameters(search: Search) -> dict[str, object]:
    """What the statement is run with."""
    before, width = search.before, len(next(iter(search.tokens.values())))
    return {
        "reader": search.reader,
        "conversations": plain_array(search.tokens),
        "tokens": plain_array(token for tokens in search.tokens.values() for token in tokens),
        "width": width,
        "time": "infinity" if before is None else before.time,
        "conversation": NIL if before is None else before.conversation,
        "seq": 0 if before is None else before.seq,
        "after": "-infinity" if search.after is None else search.after,
        "sender": search.sender,
        "limit": search.limit,
        # The first of each conversation is where it begins, and the second brings each a step further, which is what
        # a search needs to come to an end some time.
        "steps": 2 * len(search.tokens) + search.probes // width,
    }


def read_match(row: tuple[Any, ...]) -> Match:
    """From the columns of a message, and of its edit behind them."""
    conversation, seq, at, author, client_id, sealed, *edit = row
    entry = read_entry((conversation, seq, at, author, client_id, MESSAGE, sealed, None, False))
    if edit[0] is None:
        return Match(entry=entry)
    seq, at, author, client_id, sealed, target = edit
    return Match(
        entry=entry, edit=read_entry((conversation, seq, at, author, client_id, EDITED, sealed, target, False))
    )

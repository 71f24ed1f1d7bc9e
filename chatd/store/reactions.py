"""How reactions are written in PostgreSQL: looked at and changed with the changes of a log."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from chatd.records.logs import Entry
from chatd.records.reactions import Reaction
from chatd.store.arrays import bytea_array, plain_array, text_array
from chatd.store.decisions import Place
from chatd.store.reacted import Marks, Reactor
from chatd.store.transaction import Cursor

PRESENT = """
SELECT t.conversation_id, t.target_seq, t.user_id, c.mark, c.reactors, r.seq IS NOT NULL
FROM unnest(%s::uuid[], %s::bigint[], %s::text[]) AS t (conversation_id, target_seq, user_id)
JOIN chatd.reaction_counts AS c ON c.conversation_id = t.conversation_id AND c.target_seq = t.target_seq
LEFT JOIN chatd.reactions AS r
    ON r.conversation_id = c.conversation_id AND r.target_seq = c.target_seq
    AND r.user_id = t.user_id COLLATE "C" AND r.mark = c.mark
"""
REMOVE = """
DELETE FROM chatd.reactions AS r USING unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[])
    AS g (conversation_id, target_seq, user_id, mark)
WHERE r.conversation_id = g.conversation_id AND r.target_seq = g.target_seq
  AND r.user_id = g.user_id COLLATE "C" AND r.mark = g.mark
"""
ADD = """
INSERT INTO chatd.reactions (conversation_id, target_seq, user_id, mark, seq)
SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[], %s::bigint[])
"""
MORE = """
INSERT INTO chatd.reaction_counts AS c (conversation_id, target_seq, mark, reactors)
SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[], %s::integer[])
ON CONFLICT (conversation_id, target_seq, mark) DO UPDATE SET reactors = c.reactors + excluded.reactors
"""
FEWER = """
UPDATE chatd.reaction_counts AS c SET reactors = c.reactors + n.change
FROM unnest(%s::uuid[], %s::bigint[], %s::bytea[], %s::integer[]) AS n (conversation_id, target_seq, mark, change)
WHERE c.conversation_id = n.conversation_id AND c.target_seq = n.target_seq AND c.mark = n.mark
"""
NONE_LEFT = """
DELETE FROM chatd.reaction_counts AS c USING unnest(%s::uuid[], %s::bigint[], %s::bytea[])
    AS n (conversation_id, target_seq, mark)
WHERE c.conversation_id = n.conversation_id AND c.target_seq = n.target_seq AND c.mark = n.mark AND c.reactors = 0
"""
ERASE = """
WITH deleted AS (
    SELECT * FROM unnest(%s::uuid[], %s::bigint[]) AS d (conversation_id, seq)
), counted AS (
    DELETE FROM chatd.reaction_counts AS c USING deleted AS d
    WHERE c.conversation_id = d.conversation_id AND c.target_seq = d.seq
)
DELETE FROM chatd.reactions AS r USING deleted AS d WHERE r.conversation_id = d.conversation_id AND r.target_seq = d.seq
"""

Key = tuple[str, int, str, bytes]
"""A conversation, a ``seq`` in it, a person and a mark: one row."""


async def present(cursor: Cursor, wanted: Sequence[Reactor]) -> Mapping[Place, Marks]:
    """The marks on the messages that these people are about to react to."""
    found: dict[Place, Marks] = {}
    if wanted:
        conversations, seqs, users = zip(*wanted, strict=True)
        rows = await cursor.query(PRESENT, (plain_array(conversations), plain_array(seqs), text_array(users)))
        for conversation, target, user, mark, count, own in rows:
            found.setdefault((conversation, target), Marks()).load(user, bytes(mark), count, own=own)
    return found


async def write_reactions(cursor: Cursor, written: Sequence[tuple[Reaction, Entry]]) -> None:
    """Write what came of these in their order. Of one person and emoji they take turns: added, taken away, added."""
    last: dict[Key, tuple[Reaction, Entry]] = {}
    removed: dict[Key, None] = {}
    changes: Counter[tuple[str, int, bytes]] = Counter()
    for reaction, entry in written:
        key = entry.conversation, reaction.target, entry.author, reaction.mark
        last[key] = reaction, entry
        changes[entry.conversation, reaction.target, reaction.mark] += 1 if reaction.added else -1
        if not reaction.added:
            removed[key] = None
    added = {key: entry.seq for key, (reaction, entry) in last.items() if reaction.added}
    if removed:
        await cursor.execute(REMOVE, _keys(removed))
    if added:
        await cursor.execute(ADD, (*_keys(added), plain_array(added.values())))
    if more := +changes:
        await cursor.execute(MORE, (*_marks(more), plain_array(more.values())))
    if fewer := {key: change for key, change in changes.items() if change < 0}:
        await cursor.execute(FEWER, (*_marks(fewer), plain_array(fewer.values())))
        await cursor.execute(NONE_LEFT, _marks(fewer))


def _keys(keys: Iterable[Key]) -> tuple[str, ...]:
    conversations, seqs, users, marks = zip(*keys, strict=True)
    return plain_array(conversations), plain_array(seqs), text_array(users), bytea_array(marks)


def _marks(keys: Iterable[tuple[str, int, bytes]]) -> tuple[str, ...]:
    conversations, seqs, marks = zip(*keys, strict=True)
    return plain_array(conversations), plain_array(seqs), bytea_array(marks)

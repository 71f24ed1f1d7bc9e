"""What is kept of a person's words besides what is sealed under their key, and how it is deleted.

The tokens that messages are found by and the marks of reactions are made under the server's key, so they outlive
their author's. No index leads from authors to what they wrote: each conversation of theirs is gone through in steps of
so many places, each by the primary key and in a transaction of its own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from chatd.records.base import Record
from chatd.store.arrays import bytea_array, plain_array, text_array
from chatd.store.outcomes import FORGET
from chatd.store.pool import Pool
from chatd.store.reactions import FEWER, NONE_LEFT, REMOVE
from chatd.store.transaction import Cursor

STEP = 2_000

CONVERSATIONS = """
SELECT c.conversation_id, c.last_seq FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
WHERE m.user_id = %s AND c.kind <> 'queue' ORDER BY c.conversation_id
"""
# Nothing is sealed under a key that is not there, nor under one before it was made.
UNTIL = """
SELECT greatest(destroyed_at + %s * interval '1 s', CASE WHEN wrapped IS NULL THEN now() ELSE created_at END)
FROM chatd.data_keys WHERE user_id = %s
"""
PROFILE = "DELETE FROM chatd.profiles WHERE user_id = %s AND at <= %s"
# What was written later, or became of a message by a later edit, is sealed under another key.
NAMED = """
SELECT m.seq FROM chatd.messages AS m
LEFT JOIN chatd.changes AS e ON e.conversation_id = m.conversation_id AND e.seq = m.edited_seq
WHERE m.conversation_id = %(conversation)s AND m.seq > %(low)s AND m.seq <= %(high)s AND m.author = %(user)s
  AND coalesce(e.at, m.at) <= %(until)s
  AND (EXISTS (SELECT FROM chatd.search_tokens AS t WHERE t.conversation_id = m.conversation_id AND t.seq = m.seq)
       OR EXISTS (SELECT FROM chatd.mentions AS n WHERE n.conversation_id = m.conversation_id AND n.seq = m.seq))
"""
# One look into the primary key for each place, however many others have reacted there.
REACTED = """
SELECT reaction.target_seq, reaction.mark FROM generate_series(%(low)s + 1, %(high)s) AS t (seq) CROSS JOIN LATERAL (
    SELECT r.target_seq, r.mark, r.seq FROM chatd.reactions AS r
    WHERE r.conversation_id = %(conversation)s AND r.target_seq = t.seq AND r.user_id = %(user)s OFFSET 0
) AS reaction
JOIN chatd.changes AS e ON e.conversation_id = %(conversation)s AND e.seq = reaction.seq AND e.at <= %(until)s
"""
LOCK = "SELECT FROM chatd.conversations WHERE conversation_id = %s FOR UPDATE"
# Copies of its messages go by where the log ends. No entry tells of this, so its time moves, by as little as there is.
MOVE_END = "UPDATE chatd.conversations SET last_at = last_at + interval '1 microsecond' WHERE conversation_id = %s"


class Erased(Record, frozen=True, kw_only=True, gc=False):
    """How many messages are no longer found or counted as a mention, and how many reactions were taken back."""

    messages: int = 0
    reactions: int = 0

    def __add__(self, other: "Erased") -> "Erased":
        return Erased(messages=self.messages + other.messages, reactions=self.reactions + other.reactions)


class PostgresErasure:
    """Deletes in steps of ``step`` places. To do it once more does no harm."""

    def __init__(self, pool: Pool, step: int = STEP) -> None:
        self._pool = pool
        self.step = step

    async def until(self, user: str, settle: float) -> datetime:
        """Until when all that a person wrote, whose key was destroyed, is sealed under no key that there is.

        What they write in the first ``settle`` seconds after it counts as sealed under the old one.
        """
        [[until]] = await self._pool.query(UNTIL, (settle, user))
        assert isinstance(until, datetime)
        return until

    async def conversations(self, user: str) -> list[tuple[str, int]]:
        """The conversations that a person has or had to do with, and where each of them ends."""
        return [(conversation, last) for conversation, last in await self._pool.query(CONVERSATIONS, (user,))]

    async def profile(self, user: str, until: datetime) -> None:
        """Delete the profile of a person, if it was given before ``until``."""
        await self._pool.query(PROFILE, (user, until), writes=True, retry=True)

    async def erase(self, user: str, conversation: str, low: int, until: datetime) -> Erased:
        """What was written before ``until``, and stands behind ``low``, as far as one step goes."""
        place = {"conversation": conversation, "user": user, "low": low, "high": low + self.step, "until": until}
        return await self._pool.interact(_erase, place)


async def _erase(cursor: Cursor, place: Mapping[str, Any]) -> Erased:
    if not (await cursor.query(NAMED, place) or await cursor.query(REACTED, place)):
        return Erased()
    # Whoever edits or reacts holds this too: what was found is looked for once more.
    await cursor.execute(LOCK, (place["conversation"],))
    messages = [seq for (seq,) in await cursor.query(NAMED, place)]
    if messages:
        await cursor.execute(FORGET, (plain_array([place["conversation"]] * len(messages)), plain_array(messages)))
    marks = [(target, bytes(mark)) for target, mark in await cursor.query(REACTED, place)]
    if marks:
        await _take_back(cursor, place, marks)
    return Erased(messages=len(messages), reactions=len(marks))


async def _take_back(cursor: Cursor, place: Mapping[str, Any], marks: Sequence[tuple[int, bytes]]) -> None:
    """Delete reactions and count one less of each, as if they were taken back one by one."""
    conversations = plain_array([place["conversation"]] * len(marks))
    targets, kinds = plain_array(target for target, _ in marks), bytea_array(mark for _, mark in marks)
    await cursor.execute(REMOVE, (conversations, targets, text_array([place["user"]] * len(marks)), kinds))
    await cursor.execute(FEWER, (conversations, targets, kinds, plain_array([-1] * len(marks))))
    await cursor.execute(NONE_LEFT, (conversations, targets, kinds))
    await cursor.execute(MOVE_END, (place["conversation"],))

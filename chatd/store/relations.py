"""Who follows and who blocks whom, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from zope.interface import implementer

from chatd.interfaces.people import IRelationStore
from chatd.records.logs import Entry
from chatd.records.people import Acquaintance, Blocks, Related, Side, Tie
from chatd.store.arrays import plain_array, text_array
from chatd.store.decisions import Pair, mirrored
from chatd.store.pool import Pool
from chatd.store.transaction import Cursor

TIES = """
SELECT t.user_id, t.other_id,
       EXISTS (SELECT FROM chatd.follows AS r WHERE r.user_id = t.user_id AND r.other_id = t.other_id),
       EXISTS (SELECT FROM chatd.followers AS r WHERE r.user_id = t.user_id AND r.other_id = t.other_id),
       EXISTS (SELECT FROM chatd.blocks AS r WHERE r.user_id = t.user_id AND r.other_id = t.other_id),
       EXISTS (SELECT FROM chatd.blockers AS r WHERE r.user_id = t.user_id AND r.other_id = t.other_id)
FROM unnest(%s::text[], %s::text[]) AS t (user_id, other_id)
"""

# What is there already keeps its time.
WRITE = """
WITH tie AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::boolean[]) AS t (user_id, other_id, wanted)
), ended AS (
    DELETE FROM chatd.{table} AS r USING tie
    WHERE r.user_id = tie.user_id AND r.other_id = tie.other_id AND NOT tie.wanted
), ended_there AS (
    DELETE FROM chatd.{mirror} AS r USING tie
    WHERE r.user_id = tie.other_id AND r.other_id = tie.user_id AND NOT tie.wanted
), begun AS (
    INSERT INTO chatd.{table} (user_id, other_id, at)
    SELECT user_id, other_id, now() FROM tie WHERE wanted ON CONFLICT (user_id, other_id) DO NOTHING
)
INSERT INTO chatd.{mirror} (user_id, other_id, at)
SELECT other_id, user_id, now() FROM tie WHERE wanted ON CONFLICT (user_id, other_id) DO NOTHING
"""
WRITE_FOLLOWS = WRITE.format(table="follows", mirror="followers")
WRITE_BLOCKS = WRITE.format(table="blocks", mirror="blockers")

BLOCKS = """
SELECT other_id, true FROM chatd.blocks WHERE user_id = %(user)s
UNION ALL SELECT other_id, false FROM chatd.blockers WHERE user_id = %(user)s
"""

PAGES: Final[Mapping[Side, str]] = {
    side: f"SELECT other_id, at FROM chatd.{side} WHERE user_id = %s AND other_id > %s ORDER BY other_id LIMIT %s"
    for side in ("follows", "followers", "blocks")
}


async def load_ties(cursor: Cursor, pairs: Sequence[Pair]) -> dict[Pair, Tie]:
    """How these stand to each other, seen from both ends."""
    ties: dict[Pair, Tie] = {}
    for row in await cursor.query(TIES, _columns(pairs)) if pairs else ():
        tie = _tie(row)
        ties[row[0], row[1]], ties[row[1], row[0]] = tie, mirrored(tie)
    return ties


def _columns(pairs: Sequence[Pair]) -> tuple[str, str]:
    return text_array(user for user, _ in pairs), text_array(other for _, other in pairs)


def _tie(row: Sequence[Any]) -> Tie:
    follows, followed, blocks, blocked = row[2:]
    return Tie(follows=follows, followed=followed, blocks=blocks, blocked=blocked)


async def write_ties(cursor: Cursor, written: Sequence[tuple[Related, Entry]]) -> None:
    """Write how people stand to each other after these changes, the last of which counts for each two."""
    ties: dict[Pair, Tie] = {}
    for effect, _ in written:
        ties[effect.user, effect.other], ties[effect.other, effect.user] = effect.tie, mirrored(effect.tie)
    pairs = list(ties)
    await cursor.execute(WRITE_FOLLOWS, (*_columns(pairs), plain_array(tie.follows for tie in ties.values())))
    await cursor.execute(WRITE_BLOCKS, (*_columns(pairs), plain_array(tie.blocks for tie in ties.values())))


@implementer(IRelationStore)
class PostgresRelations:
    """See :class:`~chatd.interfaces.people.IRelationStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def tie(self, user: str, other: str) -> Tie:
        """See :class:`~chatd.interfaces.people.IRelationStore`."""
        [row] = await self._pool.query(TIES, _columns([(user, other)]))
        return _tie(row)

    async def blocks(self, user: str) -> Blocks:
        """See :class:`~chatd.interfaces.people.IRelationStore`."""
        rows = await self._pool.query(BLOCKS, {"user": user})
        return Blocks(
            blocked=frozenset(other for other, own in rows if own),
            blockers=frozenset(other for other, own in rows if not own),
        )

    async def page(self, side: Side, user: str, after: str, limit: int) -> list[Acquaintance]:
        """See :class:`~chatd.interfaces.people.IRelationStore`."""
        rows = await self._pool.query(PAGES[side], (user, after, limit))
        return [Acquaintance(user=other, since=at) for other, at in rows]

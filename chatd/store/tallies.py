"""How reactions are read in PostgreSQL."""

from collections.abc import Iterable, Sequence
from typing import Any

from zope.interface import implementer

from chatd.interfaces.messages import IReactionStore
from chatd.records.logs import Entry, KeptMessage, Page
from chatd.records.reactions import Tally
from chatd.store import pages
from chatd.store.arrays import plain_array
from chatd.store.pages import kept, read_entry
from chatd.store.pool import Pool
from chatd.store.reacted import SAMPLES
from chatd.store.transaction import Cursor

# What it costs depends on how many emojis there are on the messages, not on how many people have put them there.
TALLIES = f"""
SELECT c.target_seq, c.mark, c.reactors, own.seq IS NOT NULL,
       e.conversation_id, e.seq, e.at, e.author, e.client_id, e.kind, e.sealed, e.target_seq, e.erased
FROM unnest(%(seqs)s::bigint[]) AS t (seq)
JOIN chatd.reaction_counts AS c ON c.conversation_id = %(conversation)s AND c.target_seq = t.seq
LEFT JOIN chatd.reactions AS own
    ON own.conversation_id = c.conversation_id AND own.target_seq = c.target_seq
    AND own.user_id = %(reader)s AND own.mark = c.mark
CROSS JOIN LATERAL (
    SELECT r.seq FROM chatd.reactions AS r
    WHERE r.conversation_id = c.conversation_id AND r.target_seq = c.target_seq AND r.mark = c.mark
    ORDER BY r.seq LIMIT {SAMPLES}
) AS sample
JOIN chatd.changes AS e ON e.conversation_id = c.conversation_id AND e.seq = sample.seq
ORDER BY t.seq, e.seq
"""
REACTIONS = """
SELECT e.conversation_id, e.seq, e.at, e.author, e.client_id, e.kind, e.sealed, e.target_seq, e.erased
FROM chatd.reactions AS r JOIN chatd.changes AS e ON e.conversation_id = r.conversation_id AND e.seq = r.seq
WHERE r.conversation_id = %(conversation)s AND r.target_seq = %(target)s AND r.seq > %(after)s{narrowed}
ORDER BY r.seq LIMIT %(limit)s
"""
ONE_MARK = " AND r.mark = %(mark)s"


@implementer(IReactionStore)
class PostgresReactions:
    """See :class:`~chatd.interfaces.messages.IReactionStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def tallies(self, conversation: str, reader: str, seqs: Sequence[int]) -> list[Tally]:
        """See :class:`~chatd.interfaces.messages.IReactionStore`."""
        return _tallies(await self._pool.query(TALLIES, _parameters(conversation, reader, seqs)))

    async def page(self, page: Page) -> tuple[list[KeptMessage], list[Tally]]:
        """See :class:`~chatd.interfaces.messages.IReactionStore`."""
        return await self._pool.several(_page, page)

    async def reactions(
        self, conversation: str, seq: int, *, after: int, limit: int, mark: bytes | None
    ) -> list[Entry]:
        """See :class:`~chatd.interfaces.messages.IReactionStore`."""
        statement = REACTIONS.format(narrowed="" if mark is None else ONE_MARK)
        parameters = {"conversation": conversation, "target": seq, "after": after, "limit": limit, "mark": mark}
        return [read_entry(row) for row in await self._pool.query(statement, parameters)]


async def _page(cursor: Cursor, page: Page) -> tuple[list[KeptMessage], list[Tally]]:
    found = kept(page, await cursor.query(pages.statement(page), pages.parameters(page)))
    shown = [one.entry.seq for one in found if not one.entry.withheld]
    if not shown:
        return found, []
    return found, _tallies(await cursor.query(TALLIES, _parameters(page.conversation, page.reader, shown)))


def _parameters(conversation: str, reader: str, seqs: Sequence[int]) -> dict[str, object]:
    return {"conversation": conversation, "reader": reader, "seqs": plain_array(seqs)}


def _tallies(rows: Iterable[tuple[Any, ...]]) -> list[Tally]:
    return [
        Tally(target=target, count=rows[0][2], mine=rows[0][3], samples=tuple(read_entry(row[4:]) for row in rows))
        for (target, _), rows in grouped(rows).items()
    ]


def grouped(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[int, bytes], list[tuple[Any, ...]]]:
    """The rows of ``TALLIES`` by message and mark."""
    found: dict[tuple[int, bytes], list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault((row[0], bytes(row[1])), []).append(row)
    return found

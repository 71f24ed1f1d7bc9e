"""What people have of their conversations, in PostgreSQL."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from zope.interface import implementer

from chatd.interfaces.conversations import IReadingStore
from chatd.records.reading import Listed, Mark, Moved, Read, Receipts
from chatd.store.batcher import Batcher
from chatd.store.listing import parameters, read_listed, statement
from chatd.store.pool import Pool
from chatd.store.reads import READ, commit_reads

MARKS = """
SELECT user_id, delivered_seq, shown_seq, since_seq FROM chatd.members
WHERE conversation_id = %s AND standing = 'member' ORDER BY user_id COLLATE "C"
"""
# Marks are not indexed, since they move all the time: a group of ten thousand is read through, in milliseconds.
RECEIPTS = """
SELECT count(*), count(*) FILTER (WHERE delivered_seq >= %(seq)s), count(*) FILTER (WHERE shown_seq >= %(seq)s)
FROM chatd.members
WHERE conversation_id = %(conversation)s AND standing = 'member' AND user_id <> %(author)s AND since_seq < %(seq)s
"""

PREPARED = (READ,)


@implementer(IReadingStore)
class PostgresReading:
    """See :class:`~chatd.interfaces.conversations.IReadingStore`. Reads are committed in batches.

    At most ``max_waiting`` of them wait; ``failed`` is told of every unforeseen exception. Statements of ``PREPARED``
    are prepared on each connection of the pool.
    """

    def __init__(self, pool: Pool, *, max_waiting: int, failed: Callable[[BaseException], None]) -> None:
        self._pool = pool
        self._reads: Batcher[Read, Moved] = Batcher(partial(commit_reads, pool), max_waiting=max_waiting, failed=failed)

    async def page(self, user: str, before: tuple[datetime, str] | None, limit: int, archived: bool) -> list[Listed]:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        at, id = before or (None, None)
        asked = parameters(user, at=at, id=id, limit=limit)
        return [read_listed(row) for row in await self._pool.query(statement(archived=archived), asked)]

    async def view(self, user: str, conversation: str) -> Listed | None:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        rows = await self._pool.query(statement(archived=None), parameters(user, id=conversation))
        return read_listed(rows[0]) if rows else None

    async def marks(self, conversation: str) -> list[Mark]:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        rows = await self._pool.query(MARKS, (conversation,))
        return [Mark(user=user, delivered=delivered, read=read, since=since) for user, delivered, read, since in rows]

    async def receipts(self, conversation: str, seq: int, author: str) -> Receipts:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        asked = {"conversation": conversation, "seq": seq, "author": author}
        [[recipients, delivered, read]] = await self._pool.query(RECEIPTS, asked)
        return Receipts(recipients=recipients, delivered=delivered, read=read)

    async def read(self, read: Read) -> Moved:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        return await self._reads.submit(read)

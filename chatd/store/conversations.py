"""Conversations, members and cursors in PostgreSQL."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from zope.interface import implementer

from chatd.interfaces import IConversationStore
from chatd.records import Ack, Conversation, ConversationKind, Delivered, Draft, Entry, Listed, Position
from chatd.store.acks import ACKNOWLEDGE, acknowledge
from chatd.store.batcher import Batcher
from chatd.store.opening import OPEN, Opening, open_conversations
from chatd.store.pool import Pool

GET = """
SELECT c.conversation_id, c.kind, c.last_seq, c.created_at, c.last_at,
       ARRAY(SELECT user_id FROM chatd.members AS m
             WHERE m.conversation_id = c.conversation_id ORDER BY user_id COLLATE "C")
FROM chatd.conversations AS c WHERE c.conversation_id = %s
"""
MARKS = 'SELECT user_id, delivered_seq FROM chatd.members WHERE conversation_id = %s ORDER BY user_id COLLATE "C"'

PAGE = """
SELECT c.conversation_id, c.kind, c.last_seq, c.created_at, c.last_at,
       ARRAY(SELECT user_id FROM chatd.members AS o
             WHERE o.conversation_id = c.conversation_id ORDER BY user_id COLLATE "C"),
       m.delivered_seq
FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
WHERE m.user_id = %(user)s AND c.kind <> 'queue' AND c.last_seq > 0
  AND (%(at)s::timestamptz IS NULL OR (c.last_at, c.conversation_id) < (%(at)s, %(id)s::uuid))
ORDER BY c.last_at DESC, c.conversation_id DESC LIMIT %(limit)s
"""

POSITIONS = """
SELECT c.conversation_id, c.last_seq, d.seq, c.last_at > now() - interval '1 minute'
FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
LEFT JOIN chatd.device_cursors AS d
    ON d.user_id = m.user_id AND d.device_id = %s AND d.conversation_id = m.conversation_id
WHERE m.user_id = %s ORDER BY c.last_at DESC, c.conversation_id DESC
"""

PREPARED = (OPEN, ACKNOWLEDGE)


@implementer(IConversationStore)
class PostgresConversations:
    """See :class:`~chatd.interfaces.IConversationStore`. Openings and acks are committed in batches, like the log.

    At most ``max_waiting`` of each wait; ``failed`` is told of every unforeseen exception. Statements of ``PREPARED``
    are prepared on each connection of the pool.
    """

    def __init__(self, pool: Pool, *, max_waiting: int, failed: Callable[[BaseException], None]) -> None:
        self._pool = pool
        self._openings: Batcher[Opening, list[Entry]] = Batcher(
            partial(open_conversations, pool), max_waiting=max_waiting, failed=failed
        )
        self._acks: Batcher[Ack, bool] = Batcher(partial(acknowledge, pool), max_waiting=max_waiting, failed=failed)

    async def open(
        self, conversation: str, kind: ConversationKind, members: Sequence[str], notices: Sequence[Draft]
    ) -> list[Entry]:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        return await self._openings.submit(
            Opening(conversation=conversation, kind=kind, members=tuple(members), notices=tuple(notices))
        )

    async def get(self, conversation: str) -> Conversation | None:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        rows = await self._pool.query(GET, (conversation,))
        return _conversation(rows[0]) if rows else None

    async def marks(self, conversation: str) -> list[Delivered]:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        rows = await self._pool.query(MARKS, (conversation,))
        return [Delivered(user=user, seq=seq) for user, seq in rows]

    async def page(self, user: str, before: tuple[datetime, str] | None, limit: int) -> list[Listed]:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        at, id = before or (None, None)
        rows = await self._pool.query(PAGE, {"user": user, "at": at, "id": id, "limit": limit})
        return [Listed(conversation=_conversation(row), delivered=row[6]) for row in rows]

    async def positions(self, user: str, device: str) -> list[Position]:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        rows = await self._pool.query(POSITIONS, (device, user))
        return [
            Position(conversation=conversation, last_seq=last_seq, acknowledged=seq, recent=recent)
            for conversation, last_seq, seq, recent in rows
        ]

    async def acknowledge(self, ack: Ack) -> bool:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        return await self._acks.submit(ack)


def _conversation(row: tuple[Any, ...]) -> Conversation:
    conversation, kind, last_seq, created_at, last_at, members = row[:6]
    return Conversation(
        conversation=conversation,
        kind=kind,
        members=tuple(members),
        last_seq=last_seq,
        created_at=created_at,
        last_at=last_at,
    )

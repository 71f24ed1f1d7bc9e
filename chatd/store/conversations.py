"""Conversations, members and cursors in PostgreSQL."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from zope.interface import implementer

from chatd.interfaces.conversations import IConversationStore
from chatd.records.bus import Reach
from chatd.records.logs import Ack, Draft, Entry, Position
from chatd.records.rosters import Conversation, ConversationKind, Membership, Roster
from chatd.store.acks import ACKNOWLEDGE, acknowledge
from chatd.store.arrays import plain_array, text_array
from chatd.store.batcher import Batcher
from chatd.store.changes import read_membership, rosters
from chatd.store.opening import OPEN, Opening, open_conversations
from chatd.store.pool import Pool

COLUMNS = """
c.conversation_id, c.kind, c.last_seq, c.created_at, c.last_at, c.member_count, c.profile_seq,
CASE c.kind WHEN 'group' THEN '{}' ELSE
    ARRAY(SELECT user_id FROM chatd.members AS o
          WHERE o.conversation_id = c.conversation_id ORDER BY user_id COLLATE "C")
END
"""
GET = f"SELECT {COLUMNS} FROM chatd.conversations AS c WHERE c.conversation_id = %s"

# In one statement, since both tables are to be seen at one moment.
ROSTERS = """
SELECT c.conversation_id, c.kind, c.access, c.posting, c.inviting, c.editing, c.joining, c.history, c.profile_seq,
       c.opened, c.closed,
       m.user_id, m.standing, m.role, m.since_seq, m.until_seq, m.muted_until, m.expires_at, m.by_user, m.blocking
FROM chatd.conversations AS c
LEFT JOIN chatd.members AS m
    ON m.conversation_id = c.conversation_id AND (m.standing <> 'left' OR m.muted_until > now())
WHERE c.conversation_id = ANY (%s::uuid[])
"""

MEMBERSHIP = """
SELECT standing, role, since_seq, until_seq, muted_until, expires_at, by_user, blocking
FROM chatd.members JOIN chatd.conversations AS c USING (conversation_id)
WHERE conversation_id = %s AND user_id = %s AND c.opened
"""

POSITIONS = """
SELECT c.conversation_id, least(c.last_seq, m.until_seq), d.seq, c.last_at > now() - interval '1 minute', m.since_seq,
       m.standing = 'member'
FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
LEFT JOIN chatd.device_cursors AS d
    ON d.user_id = m.user_id AND d.device_id = %s AND d.conversation_id = m.conversation_id
WHERE m.user_id = %s AND c.opened AND (m.until_seq IS NULL OR m.until_seq > m.since_seq)
ORDER BY c.last_at DESC, c.conversation_id DESC
"""

REACHES = """
SELECT m.user_id, c.conversation_id, least(c.last_seq, m.until_seq), m.since_seq, m.standing = 'member'
FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
WHERE m.user_id = ANY (%s::text[]) AND c.last_at > now() - %s * interval '1 second'
  AND c.opened AND (m.until_seq IS NULL OR m.until_seq > m.since_seq)
"""

PREPARED = (OPEN, ACKNOWLEDGE)


@implementer(IConversationStore)
class PostgresConversations:
    """See :class:`~chatd.interfaces.conversations.IConversationStore`.

    Openings and acks are committed in batches, like the log. At most ``max_waiting`` of each wait; ``failed`` is told
    of every unforeseen exception. Statements of ``PREPARED`` are prepared on each connection of the pool.
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
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        return await self._openings.submit(
            Opening(conversation=conversation, kind=kind, members=tuple(members), notices=tuple(notices))
        )

    async def get(self, conversation: str) -> Conversation | None:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        rows = await self._pool.query(GET, (conversation,))
        return read_conversation(rows[0]) if rows else None

    async def roster(self, conversation: str) -> Roster | None:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        return next(iter(await self.rosters([conversation])), None)

    async def rosters(self, conversations: Sequence[str]) -> list[Roster]:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        rows = await self._pool.query(ROSTERS, (plain_array(conversations),))
        people = [(row[0], *row[11:]) for row in rows if row[11] is not None]
        return [*rosters({row[0]: row for row in rows}.values(), people).values()]

    async def membership(self, conversation: str, user: str) -> Membership | None:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        rows = await self._pool.query(MEMBERSHIP, (conversation, user))
        return read_membership(rows[0]) if rows else None

    async def positions(self, user: str, device: str) -> list[Position]:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        rows = await self._pool.query(POSITIONS, (device, user))
        return [
            Position(
                conversation=conversation,
                last_seq=last_seq,
                acknowledged=seq,
                recent=recent,
                since=since,
                present=present,
            )
            for conversation, last_seq, seq, recent, since, present in rows
        ]

    async def reaches(self, users: Sequence[str], seconds: float) -> list[Reach]:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        rows = await self._pool.query(REACHES, (text_array(users), seconds))
        return [
            Reach(user=user, conversation=conversation, last_seq=last_seq, since=since, present=present)
            for user, conversation, last_seq, since, present in rows
        ]

    async def acknowledge(self, ack: Ack) -> bool:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        return await self._acks.submit(ack)


def read_conversation(row: tuple[Any, ...]) -> Conversation:
    """From ``COLUMNS``."""
    conversation, kind, last_seq, created_at, last_at, member_count, profile, members = row[:8]
    return Conversation(
        conversation=conversation,
        kind=kind,
        members=tuple(members),
        member_count=member_count or len(members),
        profile=profile,
        last_seq=last_seq,
        created_at=created_at,
        last_at=last_at,
    )

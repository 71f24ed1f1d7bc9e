"""Groups and the people in and around them, in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from zope.interface import implementer

from chatd.interfaces.conversations import IGroupStore
from chatd.records.rosters import Enlisted, Group, Invitation, Rules, Standing
from chatd.store.changes import read_membership
from chatd.store.pool import Pool

MEMBERSHIP = """
m.standing, m.role, m.since_seq, m.until_seq, m.muted_until, m.expires_at, m.by_user, m.blocking
"""

GROUP = f"""
SELECT c.profile_seq, c.member_count, c.created_at, c.closed,
       c.posting, c.inviting, c.editing, c.joining, c.history, {MEMBERSHIP}
FROM chatd.conversations AS c
LEFT JOIN chatd.members AS m ON m.conversation_id = c.conversation_id AND m.user_id = %s
WHERE c.conversation_id = %s AND c.kind = 'group'
"""

# Both ends are compared and none is equal, so that only the index by standing gives this order. In that of the primary
# key those who stand otherwise would be passed over one by one, however many have left.
PEOPLE = f"""
SELECT m.user_id, m.joined_at, {MEMBERSHIP}
FROM chatd.members AS m
WHERE m.conversation_id = %(conversation)s AND (m.standing, m.user_id) > (%(standing)s, %(after)s)
  AND m.standing <= %(standing)s AND (m.standing <> 'invited' OR m.expires_at > %(now)s)
ORDER BY m.standing, m.user_id LIMIT %(limit)s
"""

INVITATIONS = """
SELECT m.conversation_id, c.profile_seq, m.by_user, m.joined_at, m.expires_at
FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
WHERE m.user_id = %(user)s AND m.standing = 'invited' AND m.expires_at > %(now)s AND NOT c.closed
  AND (%(after)s::uuid IS NULL OR m.conversation_id > %(after)s::uuid)
ORDER BY m.conversation_id LIMIT %(limit)s
"""


@implementer(IGroupStore)
class PostgresGroups:
    """See :class:`~chatd.interfaces.conversations.IGroupStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def group(self, conversation: str, user: str) -> Group | None:
        """See :class:`~chatd.interfaces.conversations.IGroupStore`."""
        rows = await self._pool.query(GROUP, (user, conversation))
        return _group(conversation, rows[0]) if rows else None

    async def people(
        self, conversation: str, standing: Standing, after: str, now: datetime, limit: int
    ) -> list[Enlisted]:
        """See :class:`~chatd.interfaces.conversations.IGroupStore`."""
        page = {"conversation": conversation, "standing": standing, "after": after, "now": now, "limit": limit}
        rows = await self._pool.query(PEOPLE, page)
        return [Enlisted(user=user, at=at, membership=read_membership(columns)) for user, at, *columns in rows]

    async def invitations(self, user: str, after: str | None, now: datetime, limit: int) -> list[Invitation]:
        """See :class:`~chatd.interfaces.conversations.IGroupStore`."""
        rows = await self._pool.query(INVITATIONS, {"user": user, "after": after, "now": now, "limit": limit})
        return [
            Invitation(conversation=conversation, profile=profile, by=by, at=at, expires_at=expires_at)
            for conversation, profile, by, at, expires_at in rows
        ]


def _group(conversation: str, row: Sequence[Any]) -> Group:
    profile, member_count, created_at, closed, posting, inviting, editing, joining, history, *membership = row
    return Group(
        conversation=conversation,
        rules=Rules(posting=posting, inviting=inviting, editing=editing, joining=joining, history=history),
        profile=profile,
        member_count=member_count,
        created_at=created_at,
        closed=closed,
        membership=None if membership[0] is None else read_membership(membership),
    )

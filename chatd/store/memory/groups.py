"""Groups in memory: the people in and around them, and what must be read."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from zope.interface import implementer

from chatd.errors import NotFound
from chatd.interfaces.conversations import IAnnouncementStore, IGroupStore
from chatd.records.logs import Entry
from chatd.records.reading import Confirmation, MustRead
from chatd.records.rosters import Enlisted, Group, Invitation, Membership, Standing

if TYPE_CHECKING:
    from chatd.store.memory.database import MemoryDatabase


def add_must_read(database: "MemoryDatabase", effect: MustRead, entry: Entry) -> None:
    """Note that a message must be read."""
    database.must_reads[entry.conversation, entry.seq] = {}


def _behind(after: str, users: Iterable[str]) -> list[str]:
    return sorted(user for user in users if user > after)


def _lapsed(membership: Membership, now: datetime) -> bool:
    return membership.expires_at is not None and membership.expires_at <= now


@implementer(IGroupStore)
class MemoryGroups:
    """See :class:`~chatd.interfaces.conversations.IGroupStore`."""

    def __init__(self, database: "MemoryDatabase") -> None:
        self._database = database

    async def group(self, conversation: str, user: str) -> Group | None:
        """See :class:`~chatd.interfaces.conversations.IGroupStore`."""
        log = self._database.logs.get(conversation)
        if log is None or log.roster.kind != "group":
            return None
        return Group(
            conversation=conversation,
            rules=log.roster.rules,
            profile=log.roster.profile,
            member_count=len(log.roster.members),
            created_at=log.created_at,
            closed=log.roster.closed,
            membership=log.people.get(user),
        )

    async def people(
        self, conversation: str, standing: Standing, after: str, now: datetime, limit: int
    ) -> list[Enlisted]:
        """See :class:`~chatd.interfaces.conversations.IGroupStore`."""
        log = self._database.logs.get(conversation)
        if log is None:
            return []
        alike = [user for user, one in log.people.items() if one.standing == standing]
        wanted = [user for user in alike if standing != "invited" or not _lapsed(log.people[user], now)]
        found = _behind(after, wanted)[:limit]
        return [Enlisted(user=user, membership=log.people[user], at=log.since[user]) for user in found]

    async def invitations(self, user: str, after: str | None, now: datetime, limit: int) -> list[Invitation]:
        """See :class:`~chatd.interfaces.conversations.IGroupStore`."""
        found = []
        for conversation in _behind(after or "", self._database.logs):
            log = self._database.logs[conversation]
            one = log.people.get(user)
            if one is None or one.standing != "invited" or one.expires_at is None or log.roster.closed:
                continue
            if not _lapsed(one, now):
                found.append(
                    Invitation(
                        conversation=conversation,
                        profile=log.roster.profile,
                        by=one.by or "",
                        at=log.since[user],
                        expires_at=one.expires_at,
                    )
                )
        return found[:limit]


@implementer(IAnnouncementStore)
class MemoryAnnouncements:
    """See :class:`~chatd.interfaces.conversations.IAnnouncementStore`."""

    def __init__(self, database: "MemoryDatabase") -> None:
        self._database = database

    async def confirm(self, conversation: str, seq: int, user: str) -> bool:
        """See :class:`~chatd.interfaces.conversations.IAnnouncementStore`."""
        readers = self._database.must_reads.get((conversation, seq))
        if readers is None:
            raise NotFound
        log = self._database.logs[conversation]
        membership = log.people.get(user)
        if membership is None or membership.standing != "member" or log.states[seq].deleted is not None:
            raise NotFound
        if seq <= log.visible(user, history=True)[0]:
            raise NotFound
        new = user not in readers
        readers.setdefault(user, self._database.now())
        return new

    async def confirmed(self, conversation: str, seq: int) -> int | None:
        """See :class:`~chatd.interfaces.conversations.IAnnouncementStore`."""
        readers = self._database.must_reads.get((conversation, seq))
        return None if readers is None else len(readers)

    async def confirmations(self, conversation: str, seq: int, after: str, limit: int) -> list[Confirmation]:
        """See :class:`~chatd.interfaces.conversations.IAnnouncementStore`."""
        readers = self._database.must_reads.get((conversation, seq), {})
        return [Confirmation(user=user, at=readers[user]) for user in _behind(after, readers)[:limit]]

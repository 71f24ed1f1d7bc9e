"""What people have of their conversations, in memory."""

from datetime import datetime
from typing import Any

from zope.interface import implementer

from chatd.errors import Invalid, NotFound
from chatd.interfaces.conversations import IReadingStore
from chatd.records.logs import KeptMessage, Page
from chatd.records.reading import Count, Listed, Mark, Moved, Read, Receipts
from chatd.store.listing import MAX_LOOKED_AT, counted
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.log import MemoryLog
from chatd.store.memory.personal import NOTHING_SET, is_archived


@implementer(IReadingStore)
class MemoryReading:
    """See :class:`~chatd.interfaces.conversations.IReadingStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._log = MemoryLog(database)

    async def page(self, user: str, before: tuple[datetime, str] | None, limit: int, archived: bool) -> list[Listed]:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        found = [
            log
            for log in self._database.logs_of(user)
            if log.roster.kind != "queue"
            and user in log.roster.members
            and log.entries
            and (before is None or (log.last_at, log.conversation) < before)
            and self._archived(user, log) is archived
        ]
        return [await self._listed(user, log) for log in found[:limit]]

    async def view(self, user: str, conversation: str) -> Listed | None:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        log = self._database.logs.get(conversation)
        there = log is not None and log.roster.opened and user in log.roster.members
        return await self._listed(user, log) if there else None

    def _archived(self, user: str, log: Any) -> bool:
        return is_archived(self._database.personal.get((user, log.conversation), NOTHING_SET), log)

    async def _listed(self, user: str, log: Any) -> Listed:
        personal = self._database.personal.get((user, log.conversation), NOTHING_SET)
        until = personal.muted_until
        muted = personal.muted and (until is None or until > self._database.now())
        read, _ = self._database.reads.get((user, log.conversation), (0, 0))
        low = max(read, log.people[user].since)
        hidden = self._database.hidden
        behind = [seq for seq in sorted(log.states) if seq > low]
        own = {seq for seq in behind if (log.conversation, user, seq) in hidden}
        return Listed(
            conversation=log.row,
            delivered=log.marks[user],
            read=read,
            unread=_unread(user, log, behind, own),
            mentions=_unread(user, log, [seq for seq in behind if user in log.mentions.get(seq, ())], own),
            last=await self._last(user, log.conversation),
            muted=muted,
            muted_until=until if muted else None,
            archived=is_archived(personal, log),
            private_reading=personal.private_reading,
        )

    async def _last(self, user: str, conversation: str) -> KeptMessage | None:
        page = Page(conversation=conversation, reader=user, low=0, high=2**63 - 1, limit=1, newest=True)
        found = await self._log.messages(page)
        return found[0] if found else None

    async def marks(self, conversation: str) -> list[Mark]:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        log = self._database.logs.get(conversation)
        if log is None:
            return []
        return [
            Mark(
                user=user,
                delivered=log.marks[user],
                read=self._database.reads.get((user, conversation), (0, 0))[1],
                since=log.people[user].since,
            )
            for user in sorted(log.roster.members)
        ]

    async def receipts(self, conversation: str, seq: int, author: str) -> Receipts:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        marks = [mark for mark in await self.marks(conversation) if mark.user != author and mark.since < seq]
        return Receipts(
            recipients=len(marks),
            delivered=sum(mark.delivered >= seq for mark in marks),
            read=sum(mark.read >= seq for mark in marks),
        )

    async def read(self, read: Read) -> Moved:
        """See :class:`~chatd.interfaces.conversations.IReadingStore`."""
        log = self._database.logs.get(read.conversation)
        if log is None or not log.roster.opened or read.user not in log.roster.members:
            raise NotFound
        if read.seq > len(log.entries):
            raise Invalid("`seq` is beyond the end of the log.")
        key = read.user, read.conversation
        private = read.private or self._database.personal.get(key, NOTHING_SET).private_reading
        was_read, was_shown = self._database.reads.get(key, (0, 0))
        was_delivered, shown = log.marks[read.user], 0 if private else read.seq
        self._database.reads[key] = max(was_read, read.seq), max(was_shown, shown)
        log.marks[read.user] = max(was_delivered, read.seq)
        return Moved(read=read.seq > was_read, shown=shown > was_shown, delivered=read.seq > was_delivered)


def _unread(user: str, log: Any, seqs: list[int], hidden: set[int]) -> Count:
    """Of these messages, those that others wrote and that stand, but for what this person has hidden."""
    looked_at = [log.states[seq] for seq in seqs[:MAX_LOOKED_AT] if seq not in hidden]
    found = sum(state.author != user and state.deleted is None for state in looked_at)
    return counted(found, len(seqs) > MAX_LOOKED_AT)

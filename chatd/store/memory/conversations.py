"""Conversations in memory."""

from collections.abc import Sequence
from datetime import timedelta

from msgspec.structs import replace
from zope.interface import implementer

from chatd.errors import Invalid, NotFound
from chatd.interfaces.conversations import IConversationStore
from chatd.records.bus import Reach
from chatd.records.logs import Ack, Draft, Entry, Position
from chatd.records.rosters import Conversation, ConversationKind, Membership, Roster
from chatd.store.memory.database import MemoryDatabase

RECENT = timedelta(minutes=1)


@implementer(IConversationStore)
class MemoryConversations:
    """See :class:`~chatd.interfaces.conversations.IConversationStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def open(
        self, conversation: str, kind: ConversationKind, members: Sequence[str], notices: Sequence[Draft]
    ) -> list[Entry]:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        log = self._database.logs.get(conversation)
        if log is None:
            self._database.create(conversation, kind, members)
        elif log.roster.opened or log.roster.blocked:
            return []
        else:
            log.roster = replace(log.roster, opened=True, access=log.roster.access + 1)
        return [self._notify(notice) for notice in notices]

    def _notify(self, notice: Draft) -> Entry:
        queue = self._database.logs.get(notice.conversation)
        if queue is None:
            queue = self._database.begin(notice.roster)
        return queue.add(notice, self._database.now())

    async def get(self, conversation: str) -> Conversation | None:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        log = self._database.logs.get(conversation)
        return None if log is None else log.row

    async def roster(self, conversation: str) -> Roster | None:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        log = self._database.logs.get(conversation)
        return None if log is None else log.roster

    async def rosters(self, conversations: Sequence[str]) -> list[Roster]:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        logs = self._database.logs
        return [logs[conversation].roster for conversation in conversations if conversation in logs]

    async def membership(self, conversation: str, user: str) -> Membership | None:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        log = self._database.logs.get(conversation)
        return None if log is None or not log.roster.opened else log.people.get(user)

    async def positions(self, user: str, device: str) -> list[Position]:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        recent = self._database.now() - RECENT
        return [
            Position(
                conversation=log.conversation,
                last_seq=log.visible(user)[1],
                acknowledged=log.cursors.get((user, device)),
                recent=log.last_at > recent,
                since=log.people[user].since,
                present=log.people[user].standing == "member",
            )
            for log in self._database.logs_of(user)
            if log.roster.opened and _sees_anything(log.people[user])
        ]

    async def reaches(self, users: Sequence[str], seconds: float) -> list[Reach]:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        earliest = self._database.now() - timedelta(seconds=seconds)
        return [
            Reach(
                user=user,
                conversation=log.conversation,
                last_seq=log.visible(user)[1],
                since=log.people[user].since,
                present=log.people[user].standing == "member",
            )
            for user in users
            for log in self._database.logs_of(user)
            if log.last_at > earliest and log.roster.opened and _sees_anything(log.people[user])
        ]

    async def acknowledge(self, ack: Ack) -> bool:
        """See :class:`~chatd.interfaces.conversations.IConversationStore`."""
        log = self._database.logs.get(ack.conversation)
        if log is None or ack.user not in log.people:
            raise NotFound
        if ack.seq > log.visible(ack.user)[1]:
            raise Invalid("`seq` is beyond the end of the log.")
        device = ack.user, ack.device
        log.cursors[device] = max(ack.seq, log.cursors.get(device, 0))
        moved = ack.seq > log.marks[ack.user]
        if moved:
            log.marks[ack.user] = ack.seq
        return moved


def _sees_anything(membership: Membership) -> bool:
    return membership.until is None or membership.until > membership.since

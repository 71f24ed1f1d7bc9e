"""The store in memory: the twin of PostgreSQL's, for tests and for embedding. It ends with the process.

Nothing in it waits, so every call is a transaction by itself.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from zope.interface import implementer

from chatd.errors import ChatdError, Conflict, Invalid, NotFound
from chatd.interfaces import IConversationStore, IKeyStore, ILogStore
from chatd.records import (
    Ack,
    Appended,
    Conversation,
    ConversationKind,
    Cursor,
    Delivered,
    Draft,
    Entry,
    Listed,
    Position,
    WrappedKey,
)
from chatd.store.entries import placed
from chatd.store.refusals import Repeated

MESSAGE = "message.created"
RECENT = timedelta(minutes=1)


class _Log:
    """One conversation. The entry with ``seq`` n stands at index n - 1."""

    def __init__(self, conversation: str, kind: ConversationKind, members: Sequence[str], at: datetime) -> None:
        self.conversation = conversation
        self.kind = kind
        self.created_at = self.last_at = at
        self.entries: list[Entry] = []
        self.marks = dict.fromkeys(sorted(members), 0)
        self.cursors: dict[tuple[str, str], int] = {}

    def add(self, draft: Draft, at: datetime) -> Entry:
        entry = placed(draft, len(self.entries) + 1, at)
        self.entries.append(entry)
        self.last_at = at
        return entry

    @property
    def row(self) -> Conversation:
        return Conversation(
            conversation=self.conversation,
            kind=self.kind,
            members=tuple(self.marks),
            last_seq=len(self.entries),
            created_at=self.created_at,
            last_at=self.last_at,
        )


class MemoryDatabase:
    """What the three stores share. ``now`` gives times that know their zone; order never depends on them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.logs: dict[str, _Log] = {}
        self.by_user: dict[str, list[_Log]] = {}
        self.receipts: dict[tuple[str, str], tuple[Appended, bytes]] = {}
        self.keys: dict[str, WrappedKey] = {}

    def create(self, conversation: str, kind: ConversationKind, members: Sequence[str]) -> _Log:
        log = self.logs[conversation] = _Log(conversation, kind, members, self.now())
        for member in log.marks:
            self.by_user.setdefault(member, []).append(log)
        return log

    def logs_of(self, user: str) -> list[_Log]:
        """The logs that a person reads, the latest first."""
        return sorted(self.by_user.get(user, ()), key=lambda log: (log.last_at, log.conversation), reverse=True)


@implementer(ILogStore)
class MemoryLog:
    """See :class:`~chatd.interfaces.ILogStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError]:
        """See :class:`~chatd.interfaces.ILogStore`."""
        present = [draft for draft in drafts if draft.conversation in self._database.logs]
        if any((draft.author, draft.client_id) in self._database.receipts for draft in present):
            raise Repeated
        at = self._database.now()
        return [self._append(draft, at) for draft in drafts]

    def _append(self, draft: Draft, at: datetime) -> Appended | ChatdError:
        log = self._database.logs.get(draft.conversation)
        if log is None:
            return NotFound()
        entry = log.add(draft, at)
        appended = Appended(conversation=entry.conversation, seq=entry.seq, time=entry.time)
        self._database.receipts[draft.author, draft.client_id] = appended, draft.digest
        return appended

    async def repeats(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError | None]:
        """See :class:`~chatd.interfaces.ILogStore`."""
        return [self._repeat(draft) for draft in drafts]

    def _repeat(self, draft: Draft) -> Appended | ChatdError | None:
        receipt = self._database.receipts.get((draft.author, draft.client_id))
        if receipt is None:
            return None
        appended, digest = receipt
        return appended if digest == draft.digest else Conflict()

    async def entries(self, cursors: Sequence[Cursor], limit: int) -> list[Entry]:
        """See :class:`~chatd.interfaces.ILogStore`."""
        found: list[Entry] = []
        for cursor in cursors:
            log = self._database.logs.get(cursor.conversation)
            if log is not None:
                found += log.entries[cursor.seq : cursor.seq + limit - len(found)]
        return found

    async def messages(self, conversation: str, low: int, high: int, limit: int, newest: bool) -> list[Entry]:
        """See :class:`~chatd.interfaces.ILogStore`."""
        log = self._database.logs.get(conversation)
        if log is None:
            return []
        found = [entry for entry in log.entries[max(low, 0) : max(high - 1, 0)] if entry.kind == MESSAGE]
        return found[max(len(found) - limit, 0) :] if newest else found[:limit]


@implementer(IConversationStore)
class MemoryConversations:
    """See :class:`~chatd.interfaces.IConversationStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def open(
        self, conversation: str, kind: ConversationKind, members: Sequence[str], notices: Sequence[Draft]
    ) -> list[Entry]:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        if conversation in self._database.logs:
            return []
        self._database.create(conversation, kind, members)
        return [self._notify(notice) for notice in notices]

    def _notify(self, notice: Draft) -> Entry:
        queue = self._database.logs.get(notice.conversation)
        if queue is None:
            queue = self._database.create(notice.conversation, "queue", notice.audience)
        return queue.add(notice, self._database.now())

    async def get(self, conversation: str) -> Conversation | None:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        log = self._database.logs.get(conversation)
        return None if log is None else log.row

    async def marks(self, conversation: str) -> list[Delivered]:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        log = self._database.logs.get(conversation)
        return [] if log is None else [Delivered(user=user, seq=seq) for user, seq in log.marks.items()]

    async def page(self, user: str, before: tuple[datetime, str] | None, limit: int) -> list[Listed]:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        found = [
            log
            for log in self._database.logs_of(user)
            if log.kind != "queue" and log.entries and (before is None or (log.last_at, log.conversation) < before)
        ]
        return [Listed(conversation=log.row, delivered=log.marks[user]) for log in found[:limit]]

    async def positions(self, user: str, device: str) -> list[Position]:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        recent = self._database.now() - RECENT
        return [
            Position(
                conversation=log.conversation,
                last_seq=len(log.entries),
                acknowledged=log.cursors.get((user, device)),
                recent=log.last_at > recent,
            )
            for log in self._database.logs_of(user)
        ]

    async def acknowledge(self, ack: Ack) -> bool:
        """See :class:`~chatd.interfaces.IConversationStore`."""
        log = self._database.logs.get(ack.conversation)
        if log is None or ack.user not in log.marks:
            raise NotFound
        if ack.seq > len(log.entries):
            raise Invalid("`seq` is beyond the end of the log.")
        device = ack.user, ack.device
        log.cursors[device] = max(ack.seq, log.cursors.get(device, 0))
        moved = ack.seq > log.marks[ack.user]
        if moved:
            log.marks[ack.user] = ack.seq
        return moved


@implementer(IKeyStore)
class MemoryKeys:
    """See :class:`~chatd.interfaces.IKeyStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def keys(self, users: Sequence[str]) -> list[WrappedKey]:
        """See :class:`~chatd.interfaces.IKeyStore`."""
        return [self._database.keys[user] for user in dict.fromkeys(users) if user in self._database.keys]

    async def add(self, key: WrappedKey) -> WrappedKey:
        """See :class:`~chatd.interfaces.IKeyStore`."""
        return self._database.keys.setdefault(key.user, key)

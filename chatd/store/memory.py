"""The store in memory: the twin of PostgreSQL's, for tests and for embedding. It ends with the process.

Nothing in it waits, so every call is a transaction by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace
from zope.interface import implementer

from chatd.errors import ChatdError, Conflict, Invalid, NotFound
from chatd.interfaces.conversations import IConversationStore
from chatd.interfaces.keys import IKeyStore
from chatd.interfaces.log import ILogStore
from chatd.records.bus import Reach, Tail
from chatd.records.keys import WrappedKey
from chatd.records.logs import Ack, Appended, Cursor, Draft, Entry, KeptMessage, MessageState, Page, Position
from chatd.records.rosters import Conversation, ConversationKind, Membership, Roster, plain_roster
from chatd.store.decisions import LogState, Outcome, beginnings, decide, named, pairs, targets
from chatd.store.entries import EDITED, MESSAGE, REACTED, placed
from chatd.store.memory_devices import DeviceTables
from chatd.store.memory_effects import WRITERS
from chatd.store.memory_people import People
from chatd.store.memory_personal import Personal
from chatd.store.memory_reactions import Reacted, present
from chatd.store.reacted import reactors
from chatd.store.refusals import Repeated

RECENT = timedelta(minutes=1)


class _Log:
    """One conversation. The entry with ``seq`` n stands at index n - 1."""

    def __init__(self, roster: Roster, at: datetime) -> None:
        self.roster = roster
        self.created_at = self.last_at = at
        self.entries: list[Entry] = []
        self.people: dict[str, Membership] = {**roster.members, **roster.others}
        self.since = dict.fromkeys(self.people, at)
        self.marks = dict.fromkeys(sorted(roster.members), 0)
        self.cursors: dict[tuple[str, str], int] = {}
        self.states: dict[int, MessageState] = {}
        self.mentions: dict[int, tuple[str, ...]] = {}
        self.tokens: dict[int, frozenset[int]] = {}

    @property
    def conversation(self) -> str:
        return self.roster.conversation

    def add(self, draft: Draft, at: datetime, thread: int | None = None) -> Entry:
        entry = placed(draft, len(self.entries) + 1, at)
        self.entries.append(entry)
        self.last_at = at
        if draft.kind == MESSAGE:
            self.states[entry.seq] = MessageState(author=draft.author, time=at, thread=thread)
            self.mentions[entry.seq] = draft.mentions
            self.tokens[entry.seq] = frozenset(draft.tokens)
        elif draft.kind == EDITED and draft.revision is not None:
            self.mentions[draft.revision.target] = draft.mentions
            self.tokens[draft.revision.target] = frozenset(draft.tokens)
        return entry

    def stand(self, user: str, membership: Membership, at: datetime) -> None:
        """How somebody stands to it from now on. Whoever has left keeps the part of the log that was theirs."""
        before = self.people.get(user)
        if membership.until == 0 and before is not None and before.until:
            membership = replace(membership, since=before.since, until=before.until)
        if before is None or before.standing != membership.standing:
            self.since[user] = at
        self.people[user] = membership
        self.marks.setdefault(user, 0)

    def revise(self, seq: int, state: MessageState) -> None:
        """What becomes of a message; a deleted one is overwritten, and its edits and the reactions to it too."""
        self.states[seq] = state
        if state.deleted is not None:
            self.mentions.pop(seq, None)
            self.tokens.pop(seq, None)
            self.entries = [
                replace(entry, sealed=b"", erased=True) if entry.seq == seq or _goes_with(entry, seq) else entry
                for entry in self.entries
            ]

    def visible(self, user: str, *, history: bool = False) -> tuple[int, int]:
        """The log is theirs behind the first and up to the second."""
        membership = self.people.get(user)
        if membership is None:
            return 0, 0
        everything = history and self.roster.rules.history == "all" and membership.standing == "member"
        end = len(self.entries)
        return 0 if everything else membership.since, end if membership.until is None else min(end, membership.until)

    @property
    def row(self) -> Conversation:
        return Conversation(
            conversation=self.conversation,
            kind=self.roster.kind,
            members=() if self.roster.kind == "group" else tuple(sorted(self.people)),
            member_count=len(self.roster.members),
            profile=self.roster.profile,
            last_seq=len(self.entries),
            created_at=self.created_at,
            last_at=self.last_at,
        )


def _edits(entry: Entry, seq: int) -> bool:
    return entry.kind == EDITED and entry.target == seq


def _goes_with(entry: Entry, seq: int) -> bool:
    """Whether it says something that goes when the message does."""
    return (entry.kind == EDITED or entry.kind in REACTED) and entry.target == seq


class MemoryDatabase:
    """What the three stores share. ``now`` gives times that know their zone; order never depends on them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.logs: dict[str, _Log] = {}
        self.receipts: dict[tuple[str, str], tuple[Appended, bytes]] = {}
        self.keys: dict[str, WrappedKey] = {}
        self.reactions: dict[tuple[str, int], Reacted] = {}
        self.hidden: set[tuple[str, str, int]] = set()
        self.reads: dict[tuple[str, str], tuple[int, int]] = {}
        self.personal: dict[tuple[str, str], Personal] = {}
        self.device_tables = DeviceTables()
        self.must_reads: dict[tuple[str, int], dict[str, datetime]] = {}
        self.people = People(now)

    def create(self, conversation: str, kind: ConversationKind, members: Sequence[str]) -> _Log:
        return self.begin(plain_roster(conversation, kind, sorted(members)))

    def begin(self, roster: Roster) -> _Log:
        log = self.logs[roster.conversation] = _Log(roster, self.now())
        return log

    def logs_of(self, user: str) -> list[_Log]:
        """The logs that a person has to do with, the latest first."""
        found = [log for log in self.logs.values() if user in log.people]
        return sorted(found, key=lambda log: (log.last_at, log.conversation), reverse=True)


@implementer(ILogStore)
class MemoryLog:
    """See :class:`~chatd.interfaces.log.ILogStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Appended | None]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        fit = [draft for draft in drafts if self._fits(draft)]
        if any((draft.author, draft.client_id) in self._database.receipts for draft in fit):
            raise Repeated
        at = self._database.now()
        return [self._append(draft, at) if draft in fit else None for draft in drafts]

    def _fits(self, draft: Draft) -> bool:
        log = self._database.logs.get(draft.conversation)
        if log is None or log.roster.access != draft.roster.access:
            return False
        return draft.reply_to is None or draft.reply_to in log.states

    def _append(self, draft: Draft, at: datetime) -> Appended:
        log = self._database.logs[draft.conversation]
        thread = None if draft.reply_to is None else log.states[draft.reply_to].thread or draft.reply_to
        entry = log.add(draft, at, thread)
        return self._receipt(draft, entry)

    def _receipt(self, draft: Draft, entry: Entry) -> Appended:
        appended = Appended(conversation=entry.conversation, seq=entry.seq, time=entry.time)
        self._database.receipts[draft.author, draft.client_id] = appended, draft.digest
        return appended

    async def change(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        database, begun = self._database, beginnings(drafts)
        states = {}
        for conversation in named(drafts):
            log = database.logs.get(conversation)
            if log is not None:
                states[conversation] = LogState(log.roster, len(log.entries))
            elif conversation in begun:
                states[conversation] = LogState(begun[conversation], 0, begun=True)
        messages = {
            (conversation, seq): database.logs[conversation].states[seq]
            for conversation, seq in targets(drafts)
            if conversation in database.logs and seq in database.logs[conversation].states
        }
        known = [self._repeat(draft) for draft in drafts]
        marks, ties = present(database, reactors(drafts)), database.people.ties(pairs(drafts))
        outcome = decide(drafts, known, states, messages, database.now(), marks, ties)
        self._write(outcome, states)
        return outcome.verdicts

    def _write(self, outcome: Outcome, states: Mapping[str, LogState]) -> None:
        if not outcome.entries:
            return
        database = self._database
        for conversation, state in states.items():
            log = database.logs.get(conversation) or database.begin(state.roster)
            log.people.update(state.first_members)
            log.roster = state.roster
        for (conversation, user), membership in outcome.memberships.items():
            database.logs[conversation].stand(user, membership, outcome.entries[0].time)
        for draft, entry in zip(outcome.written, outcome.entries, strict=True):
            thread = outcome.threads.get((entry.conversation, entry.seq))
            database.logs[entry.conversation].add(draft, entry.time, thread)
        for draft, entry in outcome.receipts:
            self._receipt(draft, entry)
        for (conversation, seq), revised in outcome.revised.items():
            database.logs[conversation].revise(seq, revised)
        for effect, entry in outcome.effects:
            WRITERS[type(effect)](database, effect, entry)
        for place, revised in outcome.revised.items():
            if revised.deleted is not None:
                database.reactions.pop(place, None)

    async def repeats(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError | None]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        return [self._repeat(draft) for draft in drafts]

    def _repeat(self, draft: Draft) -> Appended | ChatdError | None:
        receipt = self._database.receipts.get((draft.author, draft.client_id))
        if receipt is None:
            return None
        appended, digest = receipt
        return appended if digest == draft.digest else Conflict()

    async def entries(self, reader: str, cursors: Sequence[Cursor], limit: int) -> list[Entry]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        found: list[Entry] = []
        for cursor in cursors:
            log = self._database.logs.get(cursor.conversation)
            if log is not None:
                low, high = log.visible(reader)
                visible = log.entries[max(low, cursor.seq) : high]
                found += [self._shown(entry, reader) for entry in visible[: limit - len(found)]]
        return found

    async def tails(self, cursors: Sequence[Cursor], limit: int) -> list[Tail]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        found: list[Tail] = []
        for cursor in cursors:
            log = self._database.logs.get(cursor.conversation)
            if log is not None:
                entries = tuple(log.entries[cursor.seq :][:limit])
                limit -= len(entries)
                found.append(
                    Tail(
                        conversation=log.conversation,
                        last_seq=len(log.entries),
                        access=log.roster.access,
                        entries=entries,
                    )
                )
        return found

    async def messages(self, page: Page) -> list[KeptMessage]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        log = self._database.logs.get(page.conversation)
        if log is None:
            return []
        low, high = log.visible(page.reader, history=True)
        entries = log.entries[max(low, page.low, 0) : max(min(high, page.high - 1), 0)]
        found = [self._kept(log, self._shown(entry, page.reader), high) for entry in entries if entry.kind == MESSAGE]
        found = [kept for kept in found if self._wanted(kept, page)]
        return found[max(len(found) - page.limit, 0) :] if page.newest else found[: page.limit]

    async def edits(self, conversation: str, seq: int) -> list[Entry]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        log = self._database.logs.get(conversation)
        return [] if log is None else [entry for entry in log.entries if _edits(entry, seq)]

    def _shown(self, entry: Entry, reader: str) -> Entry:
        """As ``reader`` is shown it, who may have deleted it for themselves."""
        place = {MESSAGE: entry.seq, EDITED: entry.target}.get(entry.kind)
        if (entry.conversation, reader, place) in self._database.hidden:
            return replace(entry, sealed=b"", hidden=True)
        return entry

    async def at(self, places: Sequence[tuple[str, int]]) -> list[Entry]:
        """See :class:`~chatd.interfaces.log.ILogStore`."""
        logs = self._database.logs
        return [
            logs[conversation].entries[seq - 1]
            for conversation, seq in places
            if conversation in logs and 0 < seq <= len(logs[conversation].entries)
        ]

    def _kept(self, log: _Log, entry: Entry, high: int) -> KeptMessage:
        """As whoever may see the log up to ``high`` is shown it."""
        state, edit = log.states[entry.seq], None
        if state.edited is not None and not entry.hidden:
            edit = next((one for one in reversed(log.entries[:high]) if _edits(one, entry.seq)), None)
        pinned = state.pinned if state.pinned is not None and state.pinned <= high else None
        return KeptMessage(entry=entry, state=replace(state, edited=edit and edit.seq, pinned=pinned), edit=edit)

    def _wanted(self, kept: KeptMessage, page: Page) -> bool:
        if page.pinned and kept.state.pinned is None:
            return False
        return page.thread is None or kept.state.thread == page.thread


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


@implementer(IKeyStore)
class MemoryKeys:
    """See :class:`~chatd.interfaces.keys.IKeyStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def keys(self, users: Sequence[str]) -> list[WrappedKey]:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return [self._database.keys[user] for user in dict.fromkeys(users) if user in self._database.keys]

    async def add(self, key: WrappedKey) -> WrappedKey:
        """See :class:`~chatd.interfaces.keys.IKeyStore`."""
        return self._database.keys.setdefault(key.user, key)

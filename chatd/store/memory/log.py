"""The log in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace
from zope.interface import implementer

from chatd.errors import ChatdError, Conflict
from chatd.interfaces.log import ILogStore
from chatd.records.bus import Tail
from chatd.records.logs import Appended, Cursor, Draft, Entry, KeptMessage, Page
from chatd.store.decisions import LogState, Outcome, beginnings, decide, named, pairs, targets
from chatd.store.entries import EDITED, MESSAGE
from chatd.store.memory.database import KeptLog, MemoryDatabase
from chatd.store.memory.effects import WRITERS
from chatd.store.memory.reactions import present
from chatd.store.reacted import reactors
from chatd.store.refusals import Repeated


def _edits(entry: Entry, seq: int) -> bool:
    return entry.kind == EDITED and entry.target == seq


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

    def _kept(self, log: KeptLog, entry: Entry, high: int) -> KeptMessage:
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

"""The newest messages of conversations in the store in memory."""

from collections.abc import Iterator, Sequence

from zope.interface import implementer

from chatd.interfaces.recent import IRecentStore
from chatd.records.logs import KeptMessage
from chatd.records.recent import Count, End, Outlook, Recent
from chatd.store.entries import MESSAGE
from chatd.store.memory.database import KeptLog, MemoryDatabase
from chatd.store.reacted import SAMPLES


@implementer(IRecentStore)
class MemoryRecent:
    """See :class:`~chatd.interfaces.recent.IRecentStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def outlook(self, conversation: str, reader: str) -> Outlook | None:
        """See :class:`~chatd.interfaces.recent.IRecentStore`."""
        log = self._database.logs.get(conversation)
        if log is None or reader not in log.people:
            return None
        low, high = log.visible(reader, history=True)
        hides = any(one[:2] == (conversation, reader) for one in self._database.hidden)
        return Outlook(end=_end(log), low=low, high=high, hides=hides)

    async def recent(self, conversation: str, limit: int) -> Recent | None:
        """See :class:`~chatd.interfaces.recent.IRecentStore`."""
        log = self._database.logs.get(conversation)
        if log is None:
            return None
        messages = tuple(_messages(log))[-limit:]
        shown = [one.entry.seq for one in messages if not one.entry.withheld]
        counts = tuple(count for seq in shown for count in self._counts(log, seq))
        return Recent(end=_end(log), messages=messages, counts=counts)

    async def own(self, conversation: str, reader: str, seqs: Sequence[int]) -> set[tuple[int, bytes]]:
        """See :class:`~chatd.interfaces.recent.IRecentStore`."""
        reactions = self._database.reactions
        return {(seq, mark) for seq in seqs for user, mark in reactions.get((conversation, seq), {}) if user == reader}

    def _counts(self, log: KeptLog, seq: int) -> Iterator[Count]:
        places: dict[bytes, list[int]] = {}
        reacted = self._database.reactions.get((log.conversation, seq), {})
        for (_, mark), place in sorted(reacted.items(), key=lambda one: one[1]):
            places.setdefault(mark, []).append(place)
        for mark, found in places.items():
            samples = tuple(log.entries[place - 1] for place in found[:SAMPLES])
            yield Count(target=seq, mark=mark, count=len(found), samples=samples)


def _end(log: KeptLog) -> End:
    return End(seq=len(log.entries), at=log.last_at)


def _messages(log: KeptLog) -> Iterator[KeptMessage]:
    """All of them as they are now."""
    for entry in log.entries:
        if entry.kind == MESSAGE:
            state = log.states[entry.seq]
            edit = None if state.edited is None else log.entries[state.edited - 1]
            yield KeptMessage(entry=entry, state=state, edit=edit)

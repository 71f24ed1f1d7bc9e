"""The index of messages, in memory."""

from datetime import datetime

from zope.interface import implementer

from chatd.interfaces.messages import ISearchStore
from chatd.records.rosters import Membership
from chatd.records.search import Finding, FoundAt, Match, Search
from chatd.store.memory.database import MemoryDatabase


@implementer(ISearchStore)
class MemorySearch:
    """See :class:`~chatd.interfaces.messages.ISearchStore`.

    It looks through everything, however many ``probes`` are allowed.
    """

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def searchable(self, reader: str, after: str, limit: int) -> list[str]:
        """See :class:`~chatd.interfaces.messages.ISearchStore`."""
        found = [
            log.conversation
            for log in self._database.logs_of(reader)
            if log.conversation > after and log.roster.kind != "queue" and _sees_anything(log.people[reader])
        ]
        return sorted(found)[:limit]

    async def search(self, search: Search) -> Finding:
        """See :class:`~chatd.interfaces.messages.ISearchStore`."""
        found = [match for conversation in search.tokens for match in self._in(conversation, search)]
        found.sort(key=_order, reverse=True)
        matches = found[: search.limit]
        if len(found) == len(matches):
            return Finding(matches=matches, end=None)
        time, conversation, seq = _order(matches[-1])
        return Finding(matches=matches, end=FoundAt(time=time, conversation=conversation, seq=seq))

    def _in(self, conversation: str, search: Search) -> list[Match]:
        log = self._database.logs.get(conversation)
        if log is None:
            return []
        low, high = log.visible(search.reader, history=True)
        wanted = frozenset(search.tokens[conversation])
        found = []
        for seq, tokens in log.tokens.items():
            edited = log.states[seq].edited
            if (conversation, search.reader, seq) in self._database.hidden or (edited or 0) > high:
                continue
            match = Match(entry=log.entries[seq - 1], edit=None if edited is None else log.entries[edited - 1])
            if wanted <= tokens and low < seq <= high and _is_wanted(match, search):
                found.append(match)
        return found


def _is_wanted(match: Match, search: Search) -> bool:
    entry, before = match.entry, search.before
    if before is not None and _order(match) >= (before.time, before.conversation, before.seq):
        return False
    if search.after is not None and entry.time <= search.after:
        return False
    return search.sender is None or entry.author == search.sender


def _order(match: Match) -> tuple[datetime, str, int]:
    return match.entry.time, match.entry.conversation, match.entry.seq


def _sees_anything(membership: Membership) -> bool:
    return membership.until is None or membership.until > membership.since

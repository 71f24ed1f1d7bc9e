"""Reactions and hidden messages in the store in memory."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from chatd.interfaces.log import ILogStore
from chatd.interfaces.messages import IReactionStore
from chatd.records.logs import Entry, KeptMessage, Page
from chatd.records.personal import Hiding
from chatd.records.reactions import Reaction, Tally
from chatd.store.reacted import SAMPLES, Marks, Reactor

if TYPE_CHECKING:
    from chatd.store.memory.database import MemoryDatabase

Reacted = dict[tuple[str, bytes], int]
"""The reactions to one message: by person and mark, where the reaction stands in the log."""


def present(database: "MemoryDatabase", wanted: Sequence[Reactor]) -> dict[tuple[str, int], Marks]:
    """The marks on the messages that these people are about to react to."""
    found: dict[tuple[str, int], Marks] = {}
    for conversation, target, user in wanted:
        place = conversation, target
        marks = found.setdefault(place, Marks())
        reacted = database.reactions.get(place, {})
        for _, mark in reacted:
            marks.load(user, mark, _count(reacted, mark), own=(user, mark) in reacted)
    return found


def write_reaction(database: "MemoryDatabase", reaction: Reaction, entry: Entry) -> None:
    """Add a reaction or take it away."""
    reacted = database.reactions.setdefault((entry.conversation, reaction.target), {})
    if reaction.added:
        reacted[entry.author, reaction.mark] = entry.seq
    else:
        del reacted[entry.author, reaction.mark]


def write_hidden(database: "MemoryDatabase", hiding: Hiding, entry: Entry) -> None:
    """Hide a message from the author of this change."""
    database.hidden.add((hiding.conversation, entry.author, hiding.seq))


def _count(reacted: Reacted, mark: bytes) -> int:
    return sum(one == mark for _, one in reacted)


@implementer(IReactionStore)
class MemoryReactions:
    """See :class:`~chatd.interfaces.messages.IReactionStore`."""

    def __init__(self, database: "MemoryDatabase", log: ILogStore) -> None:
        self._database = database
        self._log = log

    async def tallies(self, conversation: str, reader: str, seqs: Sequence[int]) -> list[Tally]:
        """See :class:`~chatd.interfaces.messages.IReactionStore`."""
        return [tally for seq in sorted(set(seqs)) for tally in self._tallies(conversation, reader, seq)]

    async def page(self, page: Page) -> tuple[list[KeptMessage], list[Tally]]:
        """See :class:`~chatd.interfaces.messages.IReactionStore`."""
        found = await self._log.messages(page)
        shown = [one.entry.seq for one in found if not one.entry.withheld]
        return found, await self.tallies(page.conversation, page.reader, shown)

    def _tallies(self, conversation: str, reader: str, seq: int) -> Iterator[Tally]:
        reacted = self._database.reactions.get((conversation, seq), {})
        entries = self._database.logs[conversation].entries if reacted else []
        places: dict[bytes, list[int]] = {}
        for (_, mark), place in sorted(reacted.items(), key=lambda one: one[1]):
            places.setdefault(mark, []).append(place)
        for mark, found in places.items():
            yield Tally(
                target=seq,
                count=len(found),
                mine=(reader, mark) in reacted,
                samples=tuple(entries[place - 1] for place in found[:SAMPLES]),
            )

    async def reactions(
        self, conversation: str, seq: int, *, after: int, limit: int, mark: bytes | None
    ) -> list[Entry]:
        """See :class:`~chatd.interfaces.messages.IReactionStore`."""
        reacted = self._database.reactions.get((conversation, seq), {})
        places = sorted(place for (_, one), place in reacted.items() if place > after and mark in (None, one))
        return [self._database.logs[conversation].entries[place - 1] for place in places[:limit]]

"""The last page of a conversation, which is what people open first, from the cache.

What a page shows is the same for all who see the end of the log, but for what one has deleted for oneself and which
reactions are one's own. So it is kept once for each conversation, in the version that its log's end names. Where the
log ends, and what of it the reader may see, is looked up each time: so a page is as current, and access is checked as
well, as without the cache, and whatever else is found in the cache is of another version.
"""

from typing import Final

from zope.interface import implementer

from chatd.interfaces.messages import IReactionStore
from chatd.interfaces.recent import IRecentStore
from chatd.records.logs import KeptMessage, Page
from chatd.records.reactions import Tally
from chatd.records.recent import End, Recent
from chatd.state.shelf import Shelf
from chatd.wire.types import MAX_INTEGER

NEWEST: Final = 51
"""How many messages are kept of a conversation: a page of the usual size, and one to know whether there are more."""


@implementer(IReactionStore)
class RecentPages:
    """``store``, but for last pages, which are read by way of ``shelf`` from ``recent``.

    ``newest`` messages are kept of each conversation.
    """

    def __init__(
        self, store: IReactionStore, recent: IRecentStore, shelf: Shelf[Recent], *, newest: int = NEWEST
    ) -> None:
        self._store = store
        self._recent = recent
        self._shelf = shelf
        self._newest = newest
        self.tallies = store.tallies
        self.reactions = store.reactions

    async def page(self, page: Page) -> tuple[list[KeptMessage], list[Tally]]:
        """See :class:`~chatd.interfaces.messages.IReactionStore`."""
        shown = await self._shown(page) if self._keeps(page) else None
        return await self._store.page(page) if shown is None else shown

    async def _shown(self, page: Page) -> tuple[list[KeptMessage], list[Tally]] | None:
        """The page, or None where it is not as others see it, or changes meanwhile."""
        outlook = await self._recent.outlook(page.conversation, page.reader)
        if outlook is None or outlook.hides or outlook.high != outlook.end.seq:
            return None
        recent = await self._at(page.conversation, outlook.end)
        if recent is None:
            return None
        # As many as are asked for are kept, so what is missing lies before what this reader sees.
        messages = [one for one in recent.messages if one.entry.seq > outlook.low][-page.limit :]
        return messages, await self._tallies(page, recent, {one.entry.seq for one in messages})

    async def _at(self, conversation: str, end: End) -> Recent | None:
        """What is the same for all, as it was when the log ended there; None where it has moved on since."""
        version = f"{end.seq} {end.at.isoformat()}"
        found = await self._shelf.get([conversation], version)
        if conversation in found:
            return found[conversation].value
        as_of = self._shelf.now()
        recent = await self._recent.recent(conversation, self._newest)
        if recent is None or recent.end != end:
            return None
        self._shelf.put({conversation: recent}, as_of, version)
        return recent

    async def _tallies(self, page: Page, recent: Recent, shown: set[int]) -> list[Tally]:
        counts = [count for count in recent.counts if count.target in shown]
        targets = sorted({count.target for count in counts})
        own = await self._recent.own(page.conversation, page.reader, targets) if targets else set()
        return [
            Tally(
                target=count.target,
                count=count.count,
                mine=(count.target, count.mark) in own,
                samples=count.samples,
            )
            for count in counts
        ]

    def _keeps(self, page: Page) -> bool:
        everything = page.low == 0 and page.high == MAX_INTEGER and page.thread is None and not page.pinned
        return everything and page.newest and page.limit <= self._newest

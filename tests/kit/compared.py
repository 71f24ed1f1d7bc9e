"""Pages from the cache beside the same pages without it."""

from dataclasses import replace
from typing import Any

from chatd.handlers.assembly import Stores
from chatd.records.logs import KeptMessage, Page
from chatd.records.reactions import Tally
from chatd.records.recent import Recent
from chatd.state.recent import RecentPages
from tests.kit.shelves import Shelves


class Compared:
    """Reads each page both ways, and fails the test where one is not as the other."""

    def __init__(self, stores: Stores, newest: int) -> None:
        self._store = stores.reactions
        self.shelves = Shelves()
        self.shelf = self.shelves.make(Recent, use="messages", seconds=1e6)
        self.shelf._max_bytes = 1_000_000
        self.cached = RecentPages(stores.reactions, stores.recent, self.shelf, newest=newest)
        self.tallies, self.reactions = self.cached.tallies, self.cached.reactions

    async def page(self, page: Page) -> tuple[list[KeptMessage], list[Tally]]:
        found = await self.cached.page(page)
        assert found == await self._store.page(page), page
        return found


def compared(stores: Any, newest: int) -> tuple[Any, Compared]:
    """These stores, whose pages are compared."""
    pages = Compared(stores, newest)
    return replace(stores, reactions=pages), pages

"""Everything that is kept, in its two forms."""

from collections.abc import Callable

from chatd.handlers.assembly import Stores
from chatd.store import conversations, log
from chatd.store.conversations import PostgresConversations
from chatd.store.keys import PostgresKeys
from chatd.store.log import PostgresLog
from chatd.store.memory import MemoryConversations, MemoryDatabase, MemoryKeys, MemoryLog
from chatd.store.memory_search import MemorySearch
from chatd.store.pool import Pool
from chatd.store.search import PostgresSearch

PREPARED = log.PREPARED + conversations.PREPARED
"""What has to be prepared on each connection of the pool behind :func:`postgres_stores`."""


def postgres_stores(pool: Pool, *, max_waiting: int, failed: Callable[[BaseException], None]) -> Stores:
    """In PostgreSQL. ``max_waiting`` bounds each kind of writing; ``failed`` is told of every unforeseen exception."""
    return Stores(
        log=PostgresLog(pool),
        conversations=PostgresConversations(pool, max_waiting=max_waiting, failed=failed),
        keys=PostgresKeys(pool),
        search=PostgresSearch(pool),
    )


def memory_stores(database: MemoryDatabase) -> Stores:
    """In memory."""
    return Stores(
        log=MemoryLog(database),
        conversations=MemoryConversations(database),
        keys=MemoryKeys(database),
        search=MemorySearch(database),
    )

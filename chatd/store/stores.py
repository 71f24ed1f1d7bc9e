"""Everything that is kept, in its two forms."""

from collections.abc import Callable

from chatd.handlers.assembly import Stores
from chatd.store import conversations, devices, log, reading, recent
from chatd.store.announcements import PostgresAnnouncements
from chatd.store.conversations import PostgresConversations
from chatd.store.devices import PostgresDevices
from chatd.store.groups import PostgresGroups
from chatd.store.keys import PostgresKeys
from chatd.store.log import PostgresLog
from chatd.store.memory.conversations import MemoryConversations
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.devices import MemoryDevices
from chatd.store.memory.groups import MemoryAnnouncements, MemoryGroups
from chatd.store.memory.keys import MemoryKeys
from chatd.store.memory.log import MemoryLog
from chatd.store.memory.people import MemoryProfiles, MemoryRelations
from chatd.store.memory.presence import MemoryPresence
from chatd.store.memory.reactions import MemoryReactions
from chatd.store.memory.reading import MemoryReading
from chatd.store.memory.recent import MemoryRecent
from chatd.store.memory.search import MemorySearch
from chatd.store.pool import Pool
from chatd.store.presence import PostgresPresence
from chatd.store.profiles import PostgresProfiles
from chatd.store.reading import PostgresReading
from chatd.store.recent import PostgresRecent
from chatd.store.relations import PostgresRelations
from chatd.store.search import PostgresSearch
from chatd.store.tallies import PostgresReactions

PREPARED = log.PREPARED + conversations.PREPARED + reading.PREPARED + devices.PREPARED + recent.PREPARED
"""What has to be prepared on each connection of the pool behind :func:`postgres_stores`."""


def postgres_stores(pool: Pool, *, max_waiting: int, failed: Callable[[BaseException], None]) -> Stores:
    """In PostgreSQL. ``max_waiting`` bounds each kind of writing; ``failed`` is told of every unforeseen exception."""
    return Stores(
        log=PostgresLog(pool),
        conversations=PostgresConversations(pool, max_waiting=max_waiting, failed=failed),
        keys=PostgresKeys(pool),
        reactions=PostgresReactions(pool),
        reading=PostgresReading(pool, max_waiting=max_waiting, failed=failed),
        devices=PostgresDevices(pool, max_waiting=max_waiting, failed=failed),
        groups=PostgresGroups(pool),
        announcements=PostgresAnnouncements(pool),
        relations=PostgresRelations(pool),
        profiles=PostgresProfiles(pool),
        presence=PostgresPresence(pool),
        search=PostgresSearch(pool),
        recent=PostgresRecent(pool),
    )


def memory_stores(database: MemoryDatabase) -> Stores:
    """In memory."""
    return Stores(
        log=MemoryLog(database),
        conversations=MemoryConversations(database),
        keys=MemoryKeys(database),
        reactions=MemoryReactions(database, MemoryLog(database)),
        reading=MemoryReading(database),
        devices=MemoryDevices(database),
        groups=MemoryGroups(database),
        announcements=MemoryAnnouncements(database),
        relations=MemoryRelations(database.people),
        profiles=MemoryProfiles(database.people),
        presence=MemoryPresence(database, database.now),
        search=MemorySearch(database),
        recent=MemoryRecent(database),
    )

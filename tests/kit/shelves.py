"""The cache of a test's own: in memory, and open to whoever wants to spoil it."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock

from chatd.cache.memory import MemoryCache
from chatd.security.keyring import Keyring, MasterKeys
from chatd.state.authors import Authors
from chatd.state.shelf import Shelf
from chatd.store.memory.database import MemoryDatabase
from chatd.store.stores import memory_stores
from tests.kit.delivery import NOON

MASTERS = MasterKeys({"1": bytes(range(32))})
EPOCH = 1_750_000_000.0


class OpenCache(MemoryCache):
    """A cache in memory of which all is seen. It ``loses`` what it is to forget, or finds nothing while ``away``."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock.seconds, 1_000_000)
        self.loses = self.away = False
        self.asked = 0

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        self.asked += len(names)
        return [None] * len(names) if self.away else await super().get(names)

    def forget(self, names: Sequence[str]) -> None:
        if not self.loses:
            super().forget(names)

    @property
    def values(self) -> dict[str, bytes]:
        return {name: value for name, (value, _) in self._values.items()}


class Shelves:
    """Makes the shelves of an installation's workers over one cache; their clocks stand still until advanced."""

    def __init__(self, masters: MasterKeys = MASTERS, database: MemoryDatabase | None = None) -> None:
        self.clock = Clock()
        self.cache = OpenCache(self.clock)
        self.keys = memory_stores(database or MemoryDatabase(lambda: NOON)).keys
        self.masters = masters
        self.refused: list[str] = []

    def make(
        self, kind: Any = str, *, use: str = "texts", seconds: float = 60.0, ahead: float = 0.0, epoch: str = ""
    ) -> Shelf[Any]:
        """One of a worker whose clock is so many seconds ahead."""
        return Shelf(
            self.cache,
            Authors(self.keys, Keyring(self.masters)),
            lambda: EPOCH + self.clock.seconds() + ahead,
            use=use,
            kind=kind,
            seconds=seconds,
            max_bytes=1000,
            refused=self.refused.append,
            epoch=lambda: epoch,
        )

"""Rotation: every data key is wrapped by the current master key, while workers add and destroy keys."""

import os
from collections.abc import Callable
from typing import Final

from chatd.ctl.terminal import Shown
from chatd.interfaces.keys import IKeyCare
from chatd.records.base import Record
from chatd.records.keys import Rewrapped, WrappedKey
from chatd.security.keyring import Keyring, MasterKeys
from chatd.security.sealing import Unreadable

BATCH: Final = 500
"""Keys that are read, and rewrapped in one transaction."""
NAMED: Final = 20
"""People that a report names, however many there are."""


class Left(Record, frozen=True, kw_only=True, gc=False):
    """A data key that does not open with the current master key alone, and why."""

    user: str
    why: str


class Proof(Record, frozen=True, kw_only=True, gc=False):
    """How many data keys open with the current master key alone, how many do not, and some of these.

    ``late`` are versions under which keys were added after their turn had passed.
    """

    current: str
    opened: int
    left: int
    some: tuple[Left, ...]
    late: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing depends on another master key."""
        return not self.left and not self.late


class Rotation:
    """Rewraps and proves. All that it goes by stands in the rows, so another one goes on where this one ended."""

    def __init__(
        self, store: IKeyCare, masters: MasterKeys, random: Callable[[int], bytes] = os.urandom, *, batch: int = BATCH
    ) -> None:
        self._store = store
        self._current = masters.current
        self._keyring = Keyring(masters, random)
        self._alone = Keyring(masters.alone(), random)
        self._batch = batch

    async def rewrap(self, shown: Shown) -> int:
        """Wrap what other master keys wrap by the current one; how many were.

        What does not open is left as it is, for `prove` to find.
        """
        counts = await self._store.counts()
        others = sorted(version for version in counts if version != self._current)
        total = sum(counts[version] for version in others)
        seen = done = 0
        for version in others:
            after = None
            while page := await self._store.page(version, after, self._batch):
                done += await self._rewrap(page)
                seen += len(page)
                shown(seen, max(total, seen))
                after = page[-1].user
        return done

    async def _rewrap(self, page: list[WrappedKey]) -> int:
        rewrapped = []
        for key in page:
            try:
                rewrapped.append(Rewrapped(before=key, after=self._keyring.rewrap(key)))
            except Unreadable:
                continue
        return await self._store.rewrap(rewrapped) if rewrapped else 0

    async def prove(self, shown: Shown) -> Proof:
        """Open every data key with a keyring that holds nothing but the current master key."""
        total = sum((await self._store.counts()).values())
        opened = left = 0
        some: list[Left] = []
        after = None
        while page := await self._store.page(None, after, self._batch):
            for key in page:
                try:
                    self._alone.open(key)
                except Unreadable as unreadable:
                    left += 1
                    some += [Left(user=key.user, why=str(unreadable))] if len(some) < NAMED else []
                else:
                    opened += 1
            shown(opened + left, max(total, opened + left))
            after = page[-1].user
        versions = await self._store.counts()
        late = () if left else tuple(version for version in versions if version != self._current)
        return Proof(current=self._current, opened=opened, left=left, some=tuple(some), late=late)

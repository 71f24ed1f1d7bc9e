"""How many of something each may have at once, on all workers together.

Every worker counts its own and hears from the others how many there are at theirs. It decides by what it knows; who
tells whom, and when, is :mod:`chatd.state.census`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

UNTOLD_PART: Final = 1 / 4
"""The part of a limit that all other workers together may have without telling, since few matter and many have few."""


class KeyedCount:
    """How many each has, and that nobody may have more than ``most``.

    ``refused`` counts what there was no room for, since the start. What other workers tell of one key is the number
    that they have of it, never a difference: so a lost word is made up for by the next one, and one that is heard twice
    changes nothing.
    """

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self.refused = 0
        # Those that have changed, and those that are to be told once more, which can wait.
        self._news: dict[bytes, None] = {}
        self._again: dict[bytes, None] = {}
        self._here: dict[bytes, int] = {}
        self._told: set[bytes] = set()
        self._elsewhere: dict[bytes, int] = {}
        # By worker and key: how many, and in which of its words. What was heard last stands last.
        self._heard: dict[bytes, dict[bytes, tuple[int, int]]] = {}

    @property
    def reviewing(self) -> bool:
        """Whether some of what is to be told once more has not been told yet."""
        return bool(self._again)

    @property
    def any_here(self) -> bool:
        """Whether this worker has any."""
        return bool(self._here)

    def known(self, key: bytes) -> int:
        """How many there are, as far as is known here."""
        return self._here.get(key, 0) + self._elsewhere.get(key, 0)

    def full(self, key: bytes) -> bool:
        """Whether there is no room for one more."""
        return self.known(key) >= self.most

    def enter(self, key: bytes) -> bool:
        """Count one more; False, and it is not counted, where there is no room."""
        if self.full(key):
            self.refused += 1
            return False
        self._here[key] = self._here.get(key, 0) + 1
        self._news[key] = None
        return True

    def leave(self, key: bytes) -> None:
        """One that was counted has gone."""
        left = self._here[key] - 1
        if left:
            self._here[key] = left
        else:
            del self._here[key]
        if left or key in self._told:
            self._news[key] = None
        else:
            self._news.pop(key, None)

    # -- what others are told --

    def review(self, workers: int) -> None:
        """All that is worth telling is to be told, be it once more."""
        floor = self._floor(workers)
        worth = (key for key, amount in self._here.items() if amount >= floor)
        self._again.update(dict.fromkeys((*worth, *self._told)))

    def tell(self, most: int, workers: int) -> list[tuple[bytes, int]]:
        """How many there are here of what is to be told, of ``most`` keys at most; what has changed does not wait long.

        Where a key has too few to matter among so many ``workers``, that is told once, as 0.
        """
        floor = self._floor(workers)
        # However much changes, some of the rest is told each time.
        news = most * 2 // 3 if self._again else most
        told = self._take(self._news, news, floor)
        return told + self._take(self._again, most - len(told), floor)

    def _take(self, queue: dict[bytes, None], most: int, floor: float) -> list[tuple[bytes, int]]:
        told: list[tuple[bytes, int]] = []
        looked_at: list[bytes] = []
        for key in queue:
            if len(told) == most:
                break
            looked_at.append(key)
            amount = self._here.get(key, 0)
            if amount >= floor:
                self._told.add(key)
                told.append((key, amount))
            elif key in self._told:
                self._told.remove(key)
                told.append((key, 0))
        for key in looked_at:
            self._news.pop(key, None)
            self._again.pop(key, None)
        return told

    def _floor(self, workers: int) -> float:
        return max(1.0, self.most * UNTOLD_PART / workers)

    # -- what others tell --

    def learn(self, worker: bytes, number: int, amounts: Iterable[tuple[bytes, int]]) -> None:
        """So many of each there are at ``worker``, as it tells in its word of this ``number``."""
        heard = self._heard.setdefault(worker, {})
        for key, amount in amounts:
            before, _ = heard.pop(key, (0, 0))
            if amount:
                heard[key] = (amount, number)
            self._count_elsewhere(key, amount - before)

    def outdate(self, worker: bytes, since: int) -> None:
        """What ``worker`` told before the word of this number, and not again, holds no longer."""
        heard = self._heard.get(worker, {})
        old: list[bytes] = []
        for key, (_, number) in heard.items():
            if number >= since:
                break
            old.append(key)
        self._drop(heard, old)

    def forget(self, worker: bytes) -> None:
        """Nothing that ``worker`` told holds any longer."""
        heard = self._heard.pop(worker, {})
        self._drop(heard, list(heard))

    def _drop(self, heard: dict[bytes, tuple[int, int]], keys: Sequence[bytes]) -> None:
        for key in keys:
            amount, _ = heard.pop(key)
            self._count_elsewhere(key, -amount)

    def _count_elsewhere(self, key: bytes, more: int) -> None:
        amount = self._elsewhere.get(key, 0) + more
        if amount:
            self._elsewhere[key] = amount
        else:
            self._elsewhere.pop(key, None)

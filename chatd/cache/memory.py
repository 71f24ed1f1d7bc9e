"""A cache in the worker's own memory."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from zope.interface import implementer

from chatd.interfaces.cache import ICache

OVERHEAD: Final = 300
"""Bytes that a value takes besides itself: its name, its place, its time."""


@implementer(ICache)
class MemoryCache:
    """See :class:`~chatd.interfaces.cache.ICache`. The least recently used go first.

    ``max_bytes`` bounds all values together, ``clock`` gives seconds.
    """

    def __init__(self, clock: Callable[[], float], max_bytes: int) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self.bytes = 0

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        """See :class:`~chatd.interfaces.cache.ICache`."""
        return [self._get(name) for name in names]

    def _get(self, name: str) -> bytes | None:
        kept = self._values.get(name)
        if kept is None:
            return None
        value, until = kept
        if self._clock() >= until:
            self._drop(name)
            return None
        self._values.move_to_end(name)
        return value

    def put(self, name: str, value: bytes, seconds: float) -> None:
        """See :class:`~chatd.interfaces.cache.ICache`."""
        self._drop(name)
        self._values[name] = value, self._clock() + seconds
        self.bytes += len(value) + OVERHEAD
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._values)))

    def forget(self, names: Sequence[str]) -> None:
        """See :class:`~chatd.interfaces.cache.ICache`."""
        for name in names:
            self._drop(name)

    def _drop(self, name: str) -> None:
        kept = self._values.pop(name, None)
        if kept is not None:
            self.bytes -= len(kept[0]) + OVERHEAD

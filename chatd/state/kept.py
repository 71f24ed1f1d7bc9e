"""What this worker has read about people of late."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Values by user, read through and kept, the least recently used going first.

    ``read`` gives the value of everybody it is asked for. A value is kept for ``seconds`` by ``clock``, which bounds
    what comes of a change that nobody told of. ``capacity`` bounds the ``size`` of all of them together.
    """

    def __init__(
        self,
        read: Callable[[Sequence[str]], Awaitable[Mapping[str, Value]]],
        *,
        clock: Callable[[], float],
        seconds: float,
        capacity: int,
        size: Callable[[Value], int] = lambda value: 1,
    ) -> None:
        self._read = read
        self._clock = clock
        self._seconds = seconds
        self._capacity = capacity
        self._size = size
        self._values: OrderedDict[str, tuple[Value, float]] = OrderedDict()
        self._total = 0
        self._forgotten = 0

    async def get(self, users: Iterable[str]) -> dict[str, Value]:
        """The values of all of these."""
        found, missing, now = dict[str, Value](), list[str](), self._clock()
        for user in dict.fromkeys(users):
            kept = self._values.get(user)
            if kept is not None and now < kept[1]:
                found[user] = kept[0]
                self._values.move_to_end(user)
            else:
                missing.append(user)
        if missing:
            forgotten = self._forgotten
            read = await self._read(missing)
            found |= read
            # What was read before something was forgotten may be what was to be forgotten.
            if forgotten == self._forgotten:
                self._keep(read, now + self._seconds)
        return found

    def forget(self, users: Iterable[str]) -> None:
        """What is known of these, or is being read, may be old."""
        self._forgotten += 1
        for user in users:
            self._drop(user)

    def _keep(self, values: Mapping[str, Value], until: float) -> None:
        for user, value in values.items():
            self._drop(user)
            self._values[user] = value, until
            self._total += self._size(value)
        while self._total > self._capacity and len(self._values) > 1:
            self._drop(next(iter(self._values)))

    def _drop(self, user: str) -> None:
        kept = self._values.pop(user, None)
        if kept is not None:
            self._total -= self._size(kept[0])

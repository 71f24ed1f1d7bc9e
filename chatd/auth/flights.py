"""One question at a time about the same thing: whoever asks meanwhile shares the answer."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class Flights(Generic[Key, Result]):
    """What is under way, by key."""

    def __init__(self) -> None:
        self._waiting: dict[Key, list[Deferred[Result]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    async def join(self, key: Key, begin: Callable[[], Awaitable[Result]]) -> Result:
        """The outcome of what is under way for ``key``, or else of what ``begin`` begins; its error too is shared."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            shared: Deferred[Result] = Deferred()
            waiting.append(shared)
            return await shared
        waiting = self._waiting[key] = []
        try:
            result = await begin()
        except Exception as error:
            del self._waiting[key]
            for one in waiting:
                one.errback(error)
            raise
        del self._waiting[key]
        for one in waiting:
            one.callback(result)
        return result

"""Coroutines that have nothing to wait for, and those that wait for what a test decides."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Result = TypeVar("Result")


class Watch:
    """What has become of a Deferred so far; a failure is kept for the test to look at."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self._outcomes: list[Any] = []
        deferred.addBoth(self._outcomes.append)

    @property
    def ended(self) -> bool:
        return bool(self._outcomes)

    @property
    def error(self) -> BaseException | None:
        """The exception it ended with, if that is how it ended."""
        outcome = self._outcomes[0] if self._outcomes else None
        return outcome.value if isinstance(outcome, Failure) else None

    @property
    def result(self) -> Any:
        """What it ended with; raises what it failed with."""
        assert self.ended, "it still waits"
        if self.error is not None:
            raise self.error
        return self._outcomes[0]


def watch(coroutine: Coroutine[Any, Any, Any]) -> Watch:
    """Start ``coroutine``; see how far it has come."""
    return Watch(Deferred.fromCoroutine(coroutine))


def at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that ends without waiting; raises what it raises."""
    result: Result = watch(coroutine).result
    return result

"""Bounded polling, for what another process decides."""

from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.kit.waiting import WITHIN_S


async def until(condition: Callable[[], object], *, within: float = WITHIN_S) -> None:
    """Return as soon as ``condition()`` holds; fail the test if it does not within so many seconds."""
    deadline = reactor.seconds() + within
    while not condition():
        assert reactor.seconds() < deadline, "it did not come about in time"
        await deferLater(reactor, 0.01)

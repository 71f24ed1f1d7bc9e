"""What is done of a token that holds, when somebody comes with it, without making anybody wait for it."""

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.edge.sightings import Sightings
from chatd.errors import ServerError
from chatd.handlers.introductions import Introductions
from chatd.records.tokens import Claims
from chatd.security.sealing import Unreadable

log = Logger()


class Arrivals:
    """Which device showed it is noted, and what it says of its person is taken for their profile."""

    def __init__(self, sightings: Sightings, introductions: Introductions) -> None:
        self._sightings = sightings
        self._introductions = introductions

    def note(self, claims: Claims, device: str) -> None:
        """Somebody came with a token that says this, from that device."""
        self._sightings.note(claims, device)
        if self._introductions.are_news(claims):
            Deferred.fromCoroutine(self._introductions.introduce(claims)).addErrback(_put_off)


def _put_off(failure: Failure) -> None:
    """It is done the next time that they come."""
    if isinstance(failure.value, ServerError | Unreadable):
        detail = failure.value.detail if isinstance(failure.value, ServerError) else str(failure.value)
        log.warn("a profile was not taken from a token: {detail}", detail=detail)
    else:
        log.failure("a profile could not be taken from a token", failure)

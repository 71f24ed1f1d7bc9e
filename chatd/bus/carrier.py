"""What all that carry the bus have in common: they link, notice that they are deaf, and link anew."""

import random as chance
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import psycopg2
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.bus.remote import PULSE_SECONDS, RemoteBus
from chatd.errors import ServerError
from chatd.security.sealing import AuthorKey, Unreadable
from chatd.state.authors import SERVER, Authors
from chatd.store.failures import SessionError, first_line
from chatd.store.slot import backoff

log = Logger()

DEAF_SECONDS: Final = 3 * PULSE_SECONDS
"""After how long a worker that did not hear itself is taken not to hear anybody."""

EXPECTED: Final = (psycopg2.Error, SessionError, ServerError, Unreadable, OSError)


class Carrier(Service, ABC):
    """Keeps ``bus`` linked, from its start to its stop. ``reactor`` also provides IReactorFDSet.

    ``deaf`` is what an operator is told where the bus does not bring back what this worker says.
    """

    name_of_bus: str
    deaf: str

    def __init__(
        self, reactor: IReactorTime, bus: RemoteBus, authors: Authors, *, random: Callable[[], float] = chance.random
    ) -> None:
        self._reactor = reactor
        self._bus = bus
        self._authors = authors
        self._random = random
        self._task: Deferred[None] | None = None
        self._pulse = LoopingCall(self._beat)
        self._pulse.clock = reactor

    @abstractmethod
    async def _live(self, key: AuthorKey) -> None:
        """Link, and return or raise when that has ended, for whatever reason; nothing is left open."""

    @abstractmethod
    def _end(self, cause: Exception) -> None:
        """End the link, if there is one."""

    def startService(self) -> None:
        """Begin to link, in the background."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted does not annotate it
        self._task = Deferred.fromCoroutine(self._tend())
        self._task.addErrback(_ended)
        self._pulse.start(PULSE_SECONDS, now=False).addErrback(_ended)

    def stopService(self) -> Deferred[None]:
        """Say what is still to be said, and unlink."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted does not annotate it
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._pulse.running:
            self._pulse.stop()
        await self._bus.leave()
        self._end(SessionError("the bus was stopped"))
        if self._task is not None:
            self._task.cancel()

    async def _tend(self) -> None:
        failures = 0
        while self.running:
            since = self._reactor.seconds()
            try:
                await self._live(await self._authors.writing(SERVER))
            except CancelledError:
                raise
            except EXPECTED as error:
                reason = first_line(error)
            except Exception:  # an edge: a worker without its bus would be deaf for as long as it lives
                log.failure("the bus failed")
                reason = "see above"
            else:
                reason = "its connection ended"
            self._bus.unlink()
            failures = 1 if self._reactor.seconds() - since > DEAF_SECONDS else failures + 1
            if self.running:
                if failures & (failures - 1) == 0:
                    log.warn("the bus is away: {reason}", reason=reason, failures=failures)
                await deferLater(self._reactor, backoff(failures, self._random))

    def _linked(self) -> None:
        log.info("the bus is linked over {name}", name=self.name_of_bus)

    def _beat(self) -> None:
        if self._bus.linked and self._reactor.seconds() - self._bus.echoed_at > DEAF_SECONDS:
            log.error("the bus does not hear what it says: {advice}", advice=self.deaf)
            self._end(SessionError("it does not hear what it says"))
        self._bus.pulse()


def _ended(failure: Failure) -> None:
    if not isinstance(failure.value, CancelledError):
        log.failure("the bus ended", failure)

"""What a worker does again and again while it runs."""

# Twisted's LoopingCall and Service are only partly annotated.
# mypy: allow-untyped-calls

from collections.abc import Awaitable, Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from chatd.errors import ServerError
from chatd.interfaces.bus import IRhythm

log = Logger()

Beat = Callable[[], Awaitable[None]]


@implementer(IRhythm)
class Rhythm(Service):
    """See :class:`~chatd.interfaces.bus.IRhythm`. Start it when the database is there, stop it while that still is.

    ``failed`` is told of every unforeseen exception.
    """

    def __init__(self, reactor: IReactorTime, failed: Callable[[BaseException], None]) -> None:
        self._reactor = reactor
        self._failed = failed
        self._beats: list[tuple[float, LoopingCall, DeferredLock]] = []
        self._farewells: list[Beat] = []

    def seconds(self) -> float:
        """See :class:`~chatd.interfaces.bus.IRhythm`."""
        return self._reactor.seconds()

    def every(self, seconds: float, beat: Beat) -> Callable[[], None]:
        """See :class:`~chatd.interfaces.bus.IRhythm`."""
        wanted, under_way = False, DeferredLock()

        async def once_more() -> None:
            nonlocal wanted
            wanted = True
            if under_way.locked:
                return
            await under_way.acquire()
            while wanted:
                wanted = False
                await self._bear(beat)
            under_way.release()

        def now() -> None:
            # Not lost: whatever goes wrong is borne.
            Deferred.fromCoroutine(once_more())

        looping = LoopingCall(lambda: Deferred.fromCoroutine(once_more()))
        looping.clock = self._reactor
        self._beats.append((seconds, looping, under_way))
        return now

    def at_end(self, farewell: Beat) -> None:
        """See :class:`~chatd.interfaces.bus.IRhythm`."""
        self._farewells.append(farewell)

    def startService(self) -> None:
        """Begin."""
        super().startService()
        for seconds, looping, _ in self._beats:
            # Not lost: whatever goes wrong is borne.
            looping.start(seconds)

    def stopService(self) -> Deferred[None]:
        """End, and say farewell when what is under way has ended."""
        begun = self.running
        super().stopService()
        return Deferred.fromCoroutine(self._end(self._beats if begun else []))

    async def _end(self, begun: Sequence[tuple[float, LoopingCall, DeferredLock]]) -> None:
        for _, looping, _ in begun:
            looping.stop()
        for _, _, under_way in begun:
            # Never given back: whoever prompts from now on prompts in vain.
            await under_way.acquire()
        for farewell in self._farewells:
            await self._bear(farewell)

    async def _bear(self, beat: Beat) -> None:
        """An edge: whatever goes wrong, the next time comes."""
        try:
            await beat()
        except ServerError as error:
            log.debug("put off: {detail}", detail=error.detail)
        except Exception as unforeseen:
            self._failed(unforeseen)
